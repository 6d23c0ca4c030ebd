--[[
The one place where the state of sessions changes. Takes an array of entries and answers each by itself.

KEYS  for each partition concerned: home, timers, outbox; then for each entry: its session key, its command keys' key
ARGV  node, command key TTL in ms, number of partitions, per partition its key base `<prefix>:{<tag>}:`, then the
      entries one after another (see persistence/commit-arguments.ts, which writes what is read here):
        kind, partition (1…), id, number, reserve (0|1), key count, { digest, fingerprint }…,
        check:  base epoch, base version                  ('' and 0: none)
        end:    reason, audit
        commit: base epoch, base version, machine, machine version, ttl, done ttl (ms, 0: unlimited), done (0|1),
                internals, feed head, transition count, { audit kind, audit, state, index of its key or 0 }…
Result  an array with one array an entry, its first member a word (persistence/commit-results.ts reads them):
        committed, epoch, first version, version, time, created, expires (0: never)
        duplicate, epoch, first version, version, effective epoch, record or ''
        known, effective epoch, record or '', { index, reused (0|1), epoch, version }…
        current | stale, effective epoch, record | gone, reason or '', epoch or '', version
        fenced, machine version | wait, ms | early, expires | error, message

Invariants
  CM1  all validation stands before the first write of an entry; a script does not roll back.
  CM2  a version is written only over the one before it, of the same epoch.
  CM3  an entry that is not `committed` leaves the session as it was (a reservation is not part of its state).
  CM4  a commit number that the record or tombstone knows is never applied again, whoever wrote between.
  CM5  a command key that is known is never applied again.
A record is `<header>\n<state>\n<internals>`, see actors/record-text.ts; only the header is decoded. A tombstone is a
header with `t`. Further members of the header: `w` writers { node: [number, first, last, time, epoch] },
`r` reservation [node, until], `d` 1 once the machine has ended.
]]

local FORMAT = 1
local TOMBSTONE_MS = 600000
local WRITER_MS = 600000
local RESERVATION_MS = 20
-- A record outlives its expiry by this, so that the sweep still finds it.
local KEY_TTL_MARGIN_MS = 600000
-- hash-max-listpack-entries: up to here Redis keeps a hash in one piece, and HSCAN returns all of it.
local SMALL_HASH = 128

local node = ARGV[1]
local commandKeyTtl = tonumber(ARGV[2])
local partitionCount = tonumber(ARGV[3])
local a = 3
local k = 0

local time = redis.call('TIME')
local nowMs = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local nowMsText = string.format('%.0f', nowMs)
local nowEpoch = string.format('%s%06d', time[1], tonumber(time[2]))

-- Positions are text of equal length for three centuries; the length is compared all the same.
local function olderEpoch(x, y)
  if #x ~= #y then return #x < #y end
  return x < y
end

-- The server may have taken back commits if it is not the one that this partition knew: epochs below the floor end.
local serverId = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
local partitions = {}
for p = 1, partitionCount do
  local home = KEYS[k + 1]
  local known = redis.call('HMGET', home, 'server', 'floor')
  local floor = known[2] or ''
  if known[1] ~= serverId then
    if known[1] then floor = nowEpoch end
    redis.call('HSET', home, 'server', serverId, 'floor', floor)
  end
  partitions[p] = { timers = KEYS[k + 2], outbox = KEYS[k + 3], base = ARGV[a + p], floor = floor }
  k = k + 3
end
a = a + partitionCount

local function readHeader(raw)
  if not raw then return nil end
  local feed = string.find(raw, '\n', 1, true)
  return cjson.decode(feed and string.sub(raw, 1, feed - 1) or raw)
end

-- The position stands first, so that whoever compares positions reads the first bytes only (GETRANGE).
local function encodeHeader(epoch, version, rest)
  return string.format('{"e":"%s","v":%.0f,', epoch, version) .. string.sub(cjson.encode(rest), 2)
end

local function effectiveEpoch(header, partition)
  if olderEpoch(header.e, partition.floor) then return partition.floor end
  return header.e
end

local function rememberWriter(writers, number, first, last, epoch)
  for writer, seen in pairs(writers) do
    if seen[4] + WRITER_MS < nowMs then writers[writer] = nil end
  end
  if number > 0 then writers[node] = { number, first, last, nowMs, epoch } end
  return writers
end

local function publish(partition, id, message)
  redis.call('SPUBLISH', partition.base .. 'feed:' .. id, message)
  redis.call('SPUBLISH', partition.base .. 'feed', message)
end

-- Ends a session as its next version: row, tombstone and notice. `header` is nil where the record has vanished.
local function finish(partition, sessionKey, id, header, number, reason, audit)
  local epoch, version, previous = nowEpoch, 0, ''
  if header then
    epoch, version, previous = effectiveEpoch(header, partition), header.v + 1, header.c
  end
  local commitId = node .. '-' .. (number > 0 and string.format('%.0f', number) or ('x' .. nowEpoch))
  local writers = rememberWriter(header and header.w or {}, number, version, version, epoch)
  local tombstone = encodeHeader(epoch, version, { f = FORMAT, t = reason, c = commitId, w = writers })
  redis.call('SET', sessionKey, tombstone, 'PX', TOMBSTONE_MS)
  redis.call('ZREM', partition.timers, 'x:' .. id)
  redis.call('XADD', partition.outbox, '*', 'i', id, 'e', epoch, 'v', version, 'c', commitId, 'p', previous,
    't', nowMsText, 'k', reason, 'm', audit, 's', '')
  publish(partition, id, 'e' .. id .. '\n' .. epoch .. '\n' .. version .. '\n' .. reason)
  return epoch, version
end

local function expiryAudit(header)
  return cjson.encode({ machine = header and header.m or '', machineVersion = header and header.mv or 0, node = node })
end

local function readEntry()
  local entry = { kind = ARGV[a + 1], partition = partitions[tonumber(ARGV[a + 2])], id = ARGV[a + 3],
    number = tonumber(ARGV[a + 4]), reserve = ARGV[a + 5] == '1', keys = {},
    sessionKey = KEYS[k + 1], commandKeysKey = KEYS[k + 2] }
  k = k + 2
  local keyCount = tonumber(ARGV[a + 6])
  a = a + 6
  for i = 1, keyCount do
    entry.keys[i] = { ARGV[a + 1], ARGV[a + 2] }
    a = a + 2
  end
  if entry.kind == 'end' then
    entry.reason, entry.audit = ARGV[a + 1], ARGV[a + 2]
    a = a + 2
    return entry
  end
  entry.epoch, entry.version = ARGV[a + 1], tonumber(ARGV[a + 2])
  a = a + 2
  if entry.kind == 'commit' then
    entry.machine, entry.machineVersion = ARGV[a + 1], tonumber(ARGV[a + 2])
    entry.ttl, entry.doneTtl, entry.done = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
    entry.internals, entry.feedHead, entry.count = ARGV[a + 6], ARGV[a + 7], tonumber(ARGV[a + 8])
    entry.from = a + 8
    a = entry.from + 4 * entry.count
  end
  return entry
end

-- Command keys of the entry that were committed before: { index, reused, epoch, version }…
local function knownKeys(entry)
  local hits = {}
  for i, key in ipairs(entry.keys) do
    local found = redis.call('HGET', entry.commandKeysKey, key[1])
    if found then
      local fingerprint, epoch, version, expires = string.match(found, '^(%S+) (%d+) (%d+) (%d+)$')
      if tonumber(expires) > nowMs then
        hits[#hits + 1] = { i, fingerprint ~= key[2] and 1 or 0, epoch, tonumber(version) }
      end
    end
  end
  return hits
end

-- Looks at a few old keys at each new one, so that a busy session's hash stays bounded and is never walked whole.
-- Field '' holds the cursor. A small hash needs no cleaning: it vanishes with its own TTL.
local function forgetOldKeys(commandKeysKey)
  if redis.call('HLEN', commandKeysKey) <= SMALL_HASH then return end
  local scanned = redis.call('HSCAN', commandKeysKey, redis.call('HGET', commandKeysKey, '') or '0', 'COUNT', 4)
  for i = 1, #scanned[2], 2 do
    local expires = string.match(scanned[2][i + 1], ' (%d+)$')
    if expires and tonumber(expires) <= nowMs then redis.call('HDEL', commandKeysKey, scanned[2][i]) end
  end
  redis.call('HSET', commandKeysKey, '', scanned[1])
end

local function rememberKey(commandKeysKey, key, epoch, version)
  forgetOldKeys(commandKeysKey)
  redis.call('HSET', commandKeysKey, key[1],
    string.format('%s %s %.0f %.0f', key[2], epoch, version, nowMs + commandKeyTtl))
  redis.call('PEXPIRE', commandKeysKey, commandKeyTtl)
end

local function write(entry, header)
  local partition, id = entry.partition, entry.id
  local epoch = nowEpoch
  local created, first, previous, writers, wasDone = nowMs, 1, '', {}, nil
  if header and header.t then
    writers = header.w
    -- The new life must be newer than the one before, whatever happened to the server's clock.
    if not olderEpoch(header.e, epoch) then epoch = string.format('%.0f', tonumber(header.e) + 1) end
  elseif header then
    epoch, created, first, previous = effectiveEpoch(header, partition), header.ca, header.v + 1, header.c
    writers, wasDone = header.w, header.d
  end
  if olderEpoch(epoch, partition.floor) then epoch = partition.floor end
  local version = first + entry.count - 1
  local commitId = node .. '-' .. string.format('%.0f', entry.number)
  local ttl = entry.done == 1 and entry.doneTtl or entry.ttl
  local expires = ttl > 0 and nowMs + ttl or 0

  local recordHeader = encodeHeader(epoch, version, { f = FORMAT, c = commitId, m = entry.machine,
    mv = entry.machineVersion, ca = created, ua = nowMs, xa = expires, tl = entry.ttl, dt = entry.doneTtl,
    d = entry.done, w = rememberWriter(writers, entry.number, first, version, epoch) })
  local state = ARGV[entry.from + 4 * (entry.count - 1) + 3]
  local record = recordHeader .. '\n' .. state .. '\n' .. entry.internals
  if expires > 0 then
    redis.call('SET', entry.sessionKey, record, 'PX', string.format('%.0f', ttl + KEY_TTL_MARGIN_MS))
  else
    redis.call('SET', entry.sessionKey, record)
  end
  -- The expiry entry is written once; the sweep moves it on. Only a lifetime of another kind needs it anew.
  if wasDone ~= entry.done then
    if expires > 0 then
      redis.call('ZADD', partition.timers, string.format('%.0f', expires), 'x:' .. id)
    else
      redis.call('ZREM', partition.timers, 'x:' .. id)
    end
  end
  for i = 0, entry.count - 1 do
    local at = entry.from + 4 * i
    redis.call('XADD', partition.outbox, '*', 'i', id, 'e', epoch, 'v', first + i, 'c', commitId, 'p', previous,
      't', nowMsText, 'k', ARGV[at + 1], 'm', ARGV[at + 2], 's', ARGV[at + 3])
    local key = entry.keys[tonumber(ARGV[at + 4])]
    if key then rememberKey(entry.commandKeysKey, key, epoch, first + i) end
  end
  publish(partition, id, entry.feedHead .. record)
  return { 'committed', epoch, first, version, nowMsText, string.format('%.0f', created), string.format('%.0f', expires) }
end

local function reserveTurn(entry, header, raw)
  local feed = string.find(raw, '\n', 1, true)
  header.r = { node, nowMs + RESERVATION_MS }
  local epoch, version = header.e, header.v
  header.e, header.v = nil, nil
  redis.call('SET', entry.sessionKey, encodeHeader(epoch, version, header) .. string.sub(raw, feed), 'KEEPTTL')
end

local function answer(entry)
  local partition = entry.partition
  local raw = redis.call('GET', entry.sessionKey)
  local header = readHeader(raw)
  if header and header.f ~= FORMAT then
    return { 'error', 'the record of session ' .. entry.id .. ' has format ' .. tostring(header.f) .. ', this process knows ' .. FORMAT }
  end
  local isLive = header and not header.t and (header.xa == 0 or header.xa > nowMs)

  local mine = header and header.w[node]
  if mine and entry.number > 0 and mine[1] == entry.number then
    return { 'duplicate', mine[5], mine[2], mine[3], isLive and effectiveEpoch(header, partition) or '', isLive and raw or '' }
  end

  if entry.kind == 'end' and entry.reason == 'expired' then
    if isLive then
      if header.xa == 0 then
        redis.call('ZREM', partition.timers, 'x:' .. entry.id)
      else
        redis.call('ZADD', partition.timers, string.format('%.0f', header.xa), 'x:' .. entry.id)
      end
      return { 'early', string.format('%.0f', header.xa) }
    end
    if header and header.t then
      redis.call('ZREM', partition.timers, 'x:' .. entry.id)
      return { 'gone', header.t, header.e, header.v }
    end
    -- Another process may have finished a vanished one just now; its timers entry tells.
    if not header and not redis.call('ZSCORE', partition.timers, 'x:' .. entry.id) then return { 'gone', '', '', 0 } end
    local epoch, version = finish(partition, entry.sessionKey, entry.id, header, entry.number, 'expired', expiryAudit(header))
    return { 'committed', epoch, version, version, nowMsText, nowMsText, '0' }
  end

  -- Whoever meets a session past its time ends it first; then it is absent like any other.
  if header and not header.t and not isLive then
    finish(partition, entry.sessionKey, entry.id, header, 0, 'expired', expiryAudit(header))
    header = readHeader(redis.call('GET', entry.sessionKey))
  end

  local hits = knownKeys(entry)
  if #hits > 0 then
    return { 'known', isLive and effectiveEpoch(header, partition) or '', isLive and raw or '', unpack(hits) }
  end

  if not isLive then
    if entry.kind == 'commit' and entry.epoch == '' then return write(entry, header) end
    if header then return { 'gone', header.t, header.e, header.v } end
    return { 'gone', '', '', 0 }
  end

  if entry.kind == 'end' then
    local epoch, version = finish(partition, entry.sessionKey, entry.id, header, entry.number, entry.reason, entry.audit)
    return { 'committed', epoch, version, version, nowMsText, string.format('%.0f', header.ca), '0' }
  end

  local epoch = effectiveEpoch(header, partition)
  if entry.kind == 'check' then
    if entry.epoch == epoch and entry.version == header.v then return { 'current' } end
    return { 'stale', epoch, raw }
  end

  if entry.epoch ~= '' and header.m == entry.machine and header.mv > entry.machineVersion then
    return { 'fenced', header.mv }
  end
  local reserved = header.r and header.r[1] ~= node and header.r[2] > nowMs
  if reserved and entry.epoch ~= '' then return { 'wait', header.r[2] - nowMs } end
  if entry.epoch ~= epoch or entry.version ~= header.v then
    if entry.reserve and entry.epoch ~= '' then reserveTurn(entry, header, raw) end
    return { 'stale', epoch, raw }
  end
  return write(entry, header)
end

local results = {}
while a < #ARGV do
  local entry = readEntry()
  local ok, result = pcall(answer, entry)
  -- An entry fails alone; a refused write (out of memory, read-only) is told as it came.
  if not ok then result = { 'error', type(result) == 'table' and (result.err or '') or tostring(result) } end
  results[#results + 1] = result
end
return results
