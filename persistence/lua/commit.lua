--[[
The one place where the state of sessions changes. Takes an array of entries and answers each by itself.

KEYS  for each partition concerned: home, timers, outbox; then for each entry: its session key, its command keys' key
ARGV  node, command key TTL in ms, number of partitions, per partition its key base `<prefix>:{<tag>}:`, then the
      entries one after another (see persistence/commit-arguments.ts, which writes what is read here):
        kind, partition (1…), id, number, reserve (0|1), key count, { digest, fingerprint }…
        check:  base epoch, base version                  ('' and 0: none)
        end:    reason, audit (a JSON object; what machine it was is put in front here)
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
  CM4  a commit number that the record or tombstone knows, or one before it of the same process, is never applied
       again, whoever wrote between.
  CM5  a command key that is known is never applied again.

A record is `<header>\n<state>\n<internals>`, a tombstone a header alone; actors/record-text.ts describes both. Headers
are words in a fixed order and not JSON: this script reads and writes one at each commit, and cjson took half its time.
]]

local TOMBSTONE_MS = 600000
local WRITER_MS = 600000
local RESERVATION_MS = 20
-- A record outlives its expiry by this, so that the sweep still finds it.
local KEY_TTL_MARGIN_MS = 600000
-- hash-max-listpack-entries: up to here Redis keeps a hash in one piece, and HSCAN returns all of it.
local SMALL_HASH = 128

local RECORD = '^1 (%d+) (%d+) (%S+) (%S+) (%d+) (%d+) %d+ (%d+) %d+ %d+ ([01]) (%S+) (%S+)\n()'
local TOMBSTONE = '^1t (%d+) (%d+) %S+ (%a+) (%S+)$'

local call = redis.call
local match = string.match
local node = ARGV[1]
local commandKeyTtl = tonumber(ARGV[2])
local partitionCount = tonumber(ARGV[3])
-- How far ARGV and KEYS are read.
local a = 3
local k = 0

local time = call('TIME')
local nowMs = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local nowEpoch = string.format('%s%06d', time[1], tonumber(time[2]))
local mine = ';' .. node .. ':(%d+):(%d+):(%d+):%d+:(%d+)'

-- Epochs are text of equal length for three centuries; the length is compared all the same.
local function olderEpoch(x, y)
  if #x ~= #y then return #x < #y end
  return x < y
end

-- The server may have taken back commits if it is not the one that this partition knew: epochs below the floor end.
local serverId = match(call('INFO', 'replication'), 'master_replid:(%w+)')
local partitions = {}
for p = 1, partitionCount do
  local home = KEYS[k + 1]
  local known = call('HMGET', home, 'server', 'floor')
  local floor = known[2] or ''
  if known[1] ~= serverId then
    if known[1] then floor = nowEpoch end
    call('HSET', home, 'server', serverId, 'floor', floor)
  end
  partitions[p] = { timers = KEYS[k + 2], outbox = KEYS[k + 3], base = ARGV[a + p], floor = floor }
  k = k + 3
end
a = a + partitionCount

-- The entry under way, as far as every kind has it.
local kind, partition, id, number, reserve, firstKey, keyCount, sessionKey, commandKeysKey
-- Where what only its kind has begins in ARGV.
local own
-- The session as it is found: the record or tombstone, its words, and whether it is a session that lives.
local raw, isLive, isTombstone, formatProblem
local epoch, version, commitId, machine, machineVersion, created, expires, done, reservation, writers, bodyAt, endReason

local function readSession()
  raw = call('GET', sessionKey)
  isLive, isTombstone, formatProblem, bodyAt, endReason, writers = false, false, false, nil, nil, '-'
  epoch, version, machine, machineVersion, expires, done = nil, nil, '', 0, 0, nil
  if not raw then return end
  epoch, version, commitId, machine, machineVersion, created, expires, done, reservation, writers, bodyAt =
    match(raw, RECORD)
  if epoch then
    version, machineVersion, expires = tonumber(version), tonumber(machineVersion), tonumber(expires)
    if olderEpoch(epoch, partition.floor) then epoch = partition.floor end
    isLive = expires == 0 or expires > nowMs
    return
  end
  epoch, version, endReason, writers = match(raw, TOMBSTONE)
  if epoch then
    version, isTombstone = tonumber(version), true
  else
    formatProblem = true
  end
end

-- The writers of the last minutes, this process with what it does now: `;node:number:first:last:time:epoch`, or `-`.
-- An expiry (number 0) happens once by itself: it must not push out a commit of this process that may be sent again.
local function withMe(first, last, ofEpoch)
  local kept = ''
  for writer, name, at in string.gmatch(writers, '(;(%w+):%d+:%d+:%d+:(%d+):%d+)') do
    if (name ~= node or number == 0) and tonumber(at) + WRITER_MS >= nowMs then kept = kept .. writer end
  end
  if number > 0 then
    return ';' .. node .. ':' .. number .. ':' .. first .. ':' .. last .. ':' .. nowMs .. ':' .. ofEpoch .. kept
  end
  return kept == '' and '-' or kept
end

local function publish(message)
  call('SPUBLISH', partition.base .. 'feed:' .. id, message)
  call('SPUBLISH', partition.base .. 'feed', message)
end

-- Ends the session as its next version: row, tombstone and notice. A vanished record has no version: 0 of a new epoch.
local function finish(reason, audit, ofCommit)
  local ofEpoch, last, previous = nowEpoch, 0, ''
  if bodyAt then ofEpoch, last, previous = epoch, version + 1, commitId end
  local members = string.sub(audit, 2)
  local row = '{"machine":"' .. machine .. '","machineVersion":' .. machineVersion ..
    (members == '}' and '}' or ',' .. members)
  call('SET', sessionKey, '1t ' .. ofEpoch .. ' ' .. last .. ' ' .. ofCommit .. ' ' .. reason .. ' ' ..
    withMe(last, last, ofEpoch), 'PX', TOMBSTONE_MS)
  call('ZREM', partition.timers, 'x:' .. id)
  call('XADD', partition.outbox, '*', 'i', id, 'e', ofEpoch, 'v', last, 'c', ofCommit, 'p', previous,
    't', nowMs, 'k', reason, 'm', row, 's', '')
  publish('e' .. id .. '\n' .. ofEpoch .. '\n' .. last .. '\n' .. reason)
  return { 'committed', ofEpoch, last, last, nowMs .. '', (created or nowMs) .. '', '0' }
end

local function finishExpired(ofCommit)
  return finish('expired', '{"node":"' .. node .. '"}', ofCommit)
end

-- Command keys of the entry that were committed before: { index, reused, epoch, version }…
local function knownKeys()
  local hits = nil
  for i = 1, keyCount do
    local found = call('HGET', commandKeysKey, ARGV[firstKey + 2 * i - 1])
    if found then
      local fingerprint, ofEpoch, ofVersion, expiry = match(found, '^(%S+) (%d+) (%d+) (%d+)$')
      if tonumber(expiry) > nowMs then
        hits = hits or {}
        hits[#hits + 1] = { i, fingerprint ~= ARGV[firstKey + 2 * i] and 1 or 0, ofEpoch, tonumber(ofVersion) }
      end
    end
  end
  return hits
end

-- Looks at a few old keys at each new one, so that a busy session's hash stays bounded and is never walked whole.
-- Field '' holds the cursor. A small hash needs no cleaning: it vanishes with its own TTL.
local function forgetOldKeys()
  if call('HLEN', commandKeysKey) <= SMALL_HASH then return end
  local scanned = call('HSCAN', commandKeysKey, call('HGET', commandKeysKey, '') or '0', 'COUNT', 4)
  for i = 1, #scanned[2], 2 do
    local expiry = match(scanned[2][i + 1], ' (%d+)$')
    if expiry and tonumber(expiry) <= nowMs then call('HDEL', commandKeysKey, scanned[2][i]) end
  end
  call('HSET', commandKeysKey, '', scanned[1])
end

local function rememberKey(index, ofEpoch, ofVersion)
  forgetOldKeys()
  local at = firstKey + 2 * index
  call('HSET', commandKeysKey, ARGV[at - 1],
    ARGV[at] .. ' ' .. ofEpoch .. ' ' .. ofVersion .. ' ' .. (nowMs + commandKeyTtl))
  call('PEXPIRE', commandKeysKey, commandKeyTtl)
end

local function write()
  local ofMachine, ofMachineVersion = ARGV[own + 3], ARGV[own + 4]
  local ttl, doneTtl, isDone = ARGV[own + 5], ARGV[own + 6], ARGV[own + 7]
  local count = tonumber(ARGV[own + 10])
  local steps = own + 10
  local first, previous, wasDone = 1, '', nil
  if isLive then
    first, previous, wasDone = version + 1, commitId, done
  else
    -- The new life must be newer than the one before, whatever happened to the server's clock.
    if isTombstone and not olderEpoch(epoch, nowEpoch) then
      epoch = string.format('%.0f', tonumber(epoch) + 1)
    else
      epoch = nowEpoch
    end
    if olderEpoch(epoch, partition.floor) then epoch = partition.floor end
    created = nowMs
  end
  local last = first + count - 1
  local ofCommit = node .. '-' .. number
  local lifetime = tonumber(isDone == '1' and doneTtl or ttl)
  local ends = lifetime > 0 and nowMs + lifetime or 0

  local record = '1 ' .. epoch .. ' ' .. last .. ' ' .. ofCommit .. ' ' .. ofMachine .. ' ' .. ofMachineVersion .. ' ' ..
    created .. ' ' .. nowMs .. ' ' .. ends .. ' ' .. ttl .. ' ' .. doneTtl .. ' ' .. isDone .. ' - ' ..
    withMe(first, last, epoch) .. '\n' .. ARGV[steps + 4 * count - 1] .. '\n' .. ARGV[own + 8]
  if ends > 0 then
    call('SET', sessionKey, record, 'PX', lifetime + KEY_TTL_MARGIN_MS)
  else
    call('SET', sessionKey, record)
  end
  -- The expiry entry is written once; the sweep moves it on. Only a lifetime of another kind needs it anew.
  if wasDone ~= isDone then
    if ends > 0 then
      call('ZADD', partition.timers, ends, 'x:' .. id)
    else
      call('ZREM', partition.timers, 'x:' .. id)
    end
  end
  for i = 0, count - 1 do
    local at = steps + 4 * i
    call('XADD', partition.outbox, '*', 'i', id, 'e', epoch, 'v', first + i, 'c', ofCommit, 'p', previous,
      't', nowMs, 'k', ARGV[at + 1], 'm', ARGV[at + 2], 's', ARGV[at + 3])
    if ARGV[at + 4] ~= '0' then rememberKey(tonumber(ARGV[at + 4]), epoch, first + i) end
  end
  publish(ARGV[own + 9] .. record)
  return { 'committed', epoch, first, last, nowMs .. '', created .. '', ends .. '' }
end

-- Gives this process the next turn: the same record with another word in it.
local function reserveTurn()
  local header = string.sub(raw, 1, bodyAt - 1)
  local before, after = match(header, '^(1 %d+ %d+ %S+ %S+ %d+ %d+ %d+ %d+ %d+ %d+ [01] )%S+( %S+\n)$')
  call('SET', sessionKey, before .. node .. ':' .. (nowMs + RESERVATION_MS) .. after .. string.sub(raw, bodyAt), 'KEEPTTL')
end

local function answerExpiry()
  if isLive then
    if expires == 0 then
      call('ZREM', partition.timers, 'x:' .. id)
    else
      call('ZADD', partition.timers, expires, 'x:' .. id)
    end
    return { 'early', expires .. '' }
  end
  if isTombstone then
    call('ZREM', partition.timers, 'x:' .. id)
    return { 'gone', endReason, epoch, version }
  end
  -- Another process may have finished a vanished one just now; its timers entry tells.
  if not raw and not call('ZSCORE', partition.timers, 'x:' .. id) then return { 'gone', '', '', 0 } end
  local ofCommit = node .. '-' .. number
  number = 0
  return finishExpired(ofCommit)
end

local function gone()
  if isTombstone then return { 'gone', endReason, epoch, version } end
  return { 'gone', '', '', 0 }
end

local function answer()
  readSession()
  if formatProblem then
    return { 'error', 'the record of session ' .. id .. ' is of a format that this version does not know' }
  end
  local liveEpoch, liveRecord = isLive and epoch or '', isLive and raw or ''

  if kind == 'end' and ARGV[own + 1] == 'expired' then return answerExpiry() end

  local known, first, last, ofEpoch = match(writers, mine)
  known = tonumber(known)
  if known and number > 0 then
    if known == number then
      return { 'duplicate', ofEpoch, tonumber(first), tonumber(last), liveEpoch, liveRecord }
    end
    -- A copy that a dying connection delivered late: this process has had its answer and gone on since.
    if known > number then
      if isLive then return { 'stale', epoch, raw } end
      return gone()
    end
  end

  -- Whoever meets a session past its time ends it first; then it is absent like any other.
  if bodyAt and not isLive then
    local ofNumber = number
    number = 0
    finishExpired(node .. '-x' .. nowEpoch)
    number = ofNumber
    readSession()
  end

  local hits = keyCount > 0 and knownKeys()
  if hits then return { 'known', liveEpoch, liveRecord, unpack(hits) } end

  if kind == 'end' then
    if isLive then return finish(ARGV[own + 1], ARGV[own + 2], node .. '-' .. number) end
    return gone()
  end

  local baseEpoch, baseVersion = ARGV[own + 1], tonumber(ARGV[own + 2])
  if not isLive then
    if kind == 'commit' and baseEpoch == '' then return write() end
    return gone()
  end

  local isThere = baseEpoch == epoch and baseVersion == version
  if kind == 'check' then
    if isThere then return { 'current' } end
    return { 'stale', epoch, raw }
  end
  if baseEpoch ~= '' then
    if machine == ARGV[own + 3] and machineVersion > tonumber(ARGV[own + 4]) then return { 'fenced', machineVersion } end
    if reservation ~= '-' then
      local holder, untilMs = match(reservation, '^(%w+):(%d+)$')
      if holder ~= node and tonumber(untilMs) > nowMs then return { 'wait', tonumber(untilMs) - nowMs } end
    end
  end
  if isThere then return write() end
  if reserve and baseEpoch ~= '' then reserveTurn() end
  return { 'stale', epoch, raw }
end

local results = {}
local argumentCount = #ARGV
while a < argumentCount do
  kind, partition, id, number, reserve = ARGV[a + 1], partitions[tonumber(ARGV[a + 2])], ARGV[a + 3],
    tonumber(ARGV[a + 4]), ARGV[a + 5] == '1'
  keyCount, firstKey = tonumber(ARGV[a + 6]), a + 6
  own = firstKey + 2 * keyCount
  sessionKey, commandKeysKey = KEYS[k + 1], KEYS[k + 2]
  k = k + 2
  a = own + 2
  if kind == 'commit' then a = own + 10 + 4 * tonumber(ARGV[own + 10]) end

  local ok, result = pcall(answer)
  -- An entry fails alone; a refused write (out of memory, read-only) is told as it came.
  if not ok then result = { 'error', type(result) == 'table' and (result.err or '') or tostring(result) } end
  results[#results + 1] = result
end
return results
