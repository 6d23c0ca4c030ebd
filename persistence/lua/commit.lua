--[[
The one place where the state of sessions changes. Takes an array of entries and answers each by itself.

KEYS  for each partition concerned: home, timers, outbox; then for each entry: its session key; its command keys' key, where it has
      command keys, may begin a life or sends mail; the partition's mail, where it sends some
ARGV  node, command key TTL in ms, number of partitions, per partition its key base `<prefix>:{<tag>}:`, then the
      entries one after another (see persistence/commit-arguments.ts, which writes what is read here). An entry begins
      with a line of words, because an argument of its own costs more than a word:
        span(how many arguments it has) kind partition(1…) span of KEYS, command keys, id
        and of a commit: lifetime(ms, 0: unlimited) state(which of its own arguments is the record's) transitions mails
        history(how many commits the session keeps)
        and of all: number reserve(0|1) baseEpoch baseVersion(`-` and 0: none), firesAt of a commit(ms, or `-`: refused as early before)
      then for each command key: digest, fingerprint, version that it is remembered with (0: none)
      and what is its kind's own:
        end:    reason, audit (a JSON object; what machine it was is put in front here)
        commit: glance, rest, feed head, { outbox header; audit; state for it }…,
          { version, number within it, receiver, hops; event }…, state of the record if it is not the audit's last
      `glance` is how the session's record begins if all is as its writer knows it, up to the commit id (''; it does not know, or
      more changes than state and internals), `rest` the new record from its reservation to its internals. Without a glance
      its epoch (of a new life), its creation and its writers are `-`, and timers may be `+delay`: all that is decided here.
Result  an answer an entry. `<time> <expires>` for a commit that was known at a glance; else an array, its first member a word
      (persistence/commit-results.ts reads them):
        committed, epoch, version, time, created, expires (0: never), timers, writers
        duplicate, epoch, first version, version, effective epoch, record or ''
        known, effective epoch, record or '', { index, reused (0|1), epoch, version }…
        current | stale, effective epoch, record | gone, reason or '', epoch or '', version
        fenced, machine version | wait, ms | early, due (0: never) | error, message

Invariants
  CM1  all validation stands before the first write of an entry; a script does not roll back.
  CM2  a version is written only over the one before it, of the same epoch.
  CM3  an entry that is not committed leaves the session as it was (a reservation is not part of its state).
  CM4  a commit number that the record or tombstone knows, or one before it of the same process, is never applied
       again, whoever wrote between. (At a glance: the record is of the commit before, so it knows no later one.)
  CM5  a command key that is known is never applied again.

A record is `<header>\n<internals>\n<state>`, a tombstone a header alone; actors/record-text.ts describes both. Headers
are words in a fixed order and not JSON: this script reads and writes one at each commit, and cjson took half its time.
]]

local TOMBSTONE_MS = 600000
local WRITER_MS = 600000
local RESERVATION_MS = 20
local LEASE_MS = 15000
local KEY_TTL_MARGIN_MS = 600000
-- hash-max-listpack-entries: up to here Redis keeps a hash in one piece, and HSCAN returns all of it.
local SMALL_HASH = 128

-- Numbers stay text wherever they are only compared or copied: to print one costs as much as to append to a stream.
local RECORD = '^3 (%d+) (%d+) (%S+) (%d+) (%d+) (%S+) (%S+) (%d+) (%d+) %d+ %d+ ([01]) (%S+) (%S+) (%S+)\n'
local TOMBSTONE = '^3t (%d+) (%d+) %S+ (%a+) (%S+)$'
local GLANCE = '^3 %d+ (%d+) %- (%d+) '
local REST = '^ %- %S+ (%d+) (%S+) (%S+) (%d+) %S+ (%d+ %d+) ([01]) (%S+) (%S+) %S+(\n.*)$'

local HEAD = '^(%d+) (%l+) (%d+) (%d) (%d+) (%S+) ()'
local COMMIT = '^(%d+) (%d+) (%d+) (%d+) (%d+) ()'
local ORDER = '^(%d+) ([01]) (%S+) (%d+) ?(%S*)$'

local call = redis.call
local match = string.match
local node = ARGV[1]
local commandKeyTtl = tonumber(ARGV[2])
local partitionCount = tonumber(ARGV[3])
-- How far ARGV and KEYS are read.
local a = 3
local k = 0

local time = call('TIME')
local nowEpoch = string.format('%s%06d', time[1], tonumber(time[2]))
local nowText = string.sub(nowEpoch, 1, -4)
local nowMs = tonumber(nowText)
local me = ';' .. node .. ':'
local mine = ';' .. node .. ':(%d+):(%d+):(%d+):[%d%-]+:(%d+)'

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
  local known = call('HMGET', home, 'server', 'floor', 'listeners')
  local floor = known[2] or ''
  if known[1] ~= serverId then
    if known[1] then floor = nowEpoch end
    call('HSET', home, 'server', serverId, 'floor', floor)
  end
  partitions[p] = { timers = KEYS[k + 2], outbox = KEYS[k + 3], base = ARGV[a + p], floor = floor, listeners = known[3] }
  k = k + 3
end
a = a + partitionCount

-- By lifetime: when what is committed now expires, and how long its key is kept; what is told of a commit with that expiry.
local expiries, keyTtls, told = { ['0'] = '0' }, {}, { ['0'] = nowText .. ' 0' }
local function expiryAfter(lifetime)
  local known = expiries[lifetime]
  if not known then
    known = nowMs + tonumber(lifetime) .. ''
    expiries[lifetime], keyTtls[lifetime], told[known] = known, lifetime + KEY_TTL_MARGIN_MS .. '', nowText .. ' ' .. known
  end
  return known
end

-- The entry under way, as far as every kind has it, and what a commit has besides.
local kind, partition, id, number, reserve, firstKey, keyCount, baseEpoch, baseVersion, sessionKey, commandKeysKey, mailKey
local lifetime, stateAt, count, mailCount, history, firesAt
-- Its line of words and where in it those begin that a glance does not need, and where in ARGV what only its kind has.
local line, orderAt, own
-- The session as it is found: the record or tombstone, its words, and whether it is a session that lives.
local raw, isLive, isTombstone, formatProblem
local updated, expires, reservation, epoch, version, commitId, machine, machineVersion, created, done, timers, runs, writers, endReason

local function readSession()
  raw = call('GET', sessionKey)
  isLive, isTombstone, formatProblem, endReason, writers = false, false, false, nil, '-'
  epoch, version, machine, machineVersion, created, expires, done, timers, runs = nil, nil, '', '0', nowText, '0', nil, '-', '-'
  updated = nil
  if not raw then return end
  updated, expires, reservation, epoch, version, commitId, machine, machineVersion, created, done, timers, runs, writers =
    match(raw, RECORD)
  if epoch then
    if olderEpoch(epoch, partition.floor) then epoch = partition.floor end
    -- An armed timer fires, however late, and a promise is run to its end: until then the session does not end by itself.
    isLive = expires == '0' or timers ~= '-' or runs ~= '-' or tonumber(expires) > nowMs
    return
  end
  epoch, version, endReason, writers = match(raw, TOMBSTONE)
  isTombstone, formatProblem = epoch ~= nil, epoch == nil
end

-- The writers of the last minutes, this process with what it does now: `;node:number:first:last:time:epoch`, or `-`.
-- Its time is that of the record (`-`), a tombstone has none (`time` is nowText).
-- An expiry (number 0) happens once by itself: it must not push out a commit of this process that may be sent again.
local function withMe(first, last, time, ofEpoch)
  local kept = ''
  -- Mostly nobody else has written lately.
  if writers ~= '-' and (string.sub(writers, 1, #me) ~= me or string.find(writers, ';', 2, true) or number == '0') then
    for before, name, at, after in string.gmatch(writers, '(;(%w+):%d+:%d+:%d+:)([%d%-]+)(:%d+)') do
      if at == '-' then at = updated end
      if (name ~= node or number == '0') and tonumber(at) + WRITER_MS >= nowMs then kept = kept .. before .. at .. after end
    end
  end
  if number ~= '0' then return me .. number .. ':' .. first .. ':' .. last .. ':' .. time .. ':' .. ofEpoch .. kept end
  return kept == '' and '-' or kept
end

-- The partition's channel is for processes that want to hear of every session; they say so in its home.
local function publish(message)
  call('SPUBLISH', partition.base .. 'feed:' .. id, message)
  if partition.listeners then call('SPUBLISH', partition.base .. 'feed', message) end
end

-- Keeps the last commits for who comes back, as long as the record. It goes with the life that it is of.
local function remember(message, keepsForEver)
  local key = partition.base .. 'history:' .. id
  if not isLive then call('DEL', key) end
  call('RPUSH', key, message)
  call('LTRIM', key, '-' .. history, -1)
  if keepsForEver then call('PERSIST', key) else call('PEXPIRE', key, keyTtls[lifetime]) end
end

-- Appends one transition to the outbox; persistence/audit/entry.ts reads it. Few fields: each costs here, and there again.
local function append(header, audit, state)
  call('XADD', partition.outbox, '*', 'h', header .. ' ' .. nowText, 'm', audit, 's', state)
end

-- Each process that runs promise actors of the session has a lease on them: an entry of its own among the timers.
local function holdLeases(before, after)
  if before == after then return end
  local held = {}
  for owner in string.gmatch(after, ':(%w+)') do
    held[owner] = true
    -- One's own is renewed, that of another only made.
    call('ZADD', partition.timers, owner == node and 'GT' or 'NX', nowMs + LEASE_MS .. '', 'r:' .. id .. ' ' .. owner)
  end
  for owner in string.gmatch(before, ':(%w+)') do
    if not held[owner] then call('ZREM', partition.timers, 'r:' .. id .. ' ' .. owner) end
  end
end

-- Ends the session as its next version: row, tombstone and notice. A vanished record has no version: 0 of a new epoch.
local function finish(reason, audit, ofCommit)
  local ofEpoch, last, previous = nowEpoch, '0', '-'
  if updated then ofEpoch, last, previous = epoch, tonumber(version) + 1 .. '', commitId end
  local members = string.sub(audit, 2)
  local row = '{"machine":"' .. machine .. '","machineVersion":' .. machineVersion ..
    (members == '}' and '}' or ',' .. members)
  call('SET', sessionKey, '3t ' .. ofEpoch .. ' ' .. last .. ' ' .. ofCommit .. ' ' .. reason .. ' ' ..
    withMe(last, last, nowText, ofEpoch), 'PX', TOMBSTONE_MS)
  call('ZREM', partition.timers, 'x:' .. id, 't:' .. id)
  call('UNLINK', partition.base .. 'history:' .. id)
  holdLeases(runs, '-')
  append(id .. ' ' .. ofEpoch .. ' ' .. last .. ' ' .. ofCommit .. ' ' .. previous .. ' ' .. reason, row, '')
  publish('e' .. id .. '\n' .. ofEpoch .. '\n' .. last .. '\n' .. reason)
  return { 'committed', ofEpoch, last, nowText, created, '0', '-', '-' }
end

local function finishExpired(ofCommit)
  return finish('expired', '{"node":"' .. node .. '"}', ofCommit)
end

-- Command keys of the entry that were committed before: { index, reused, epoch, version }…
local function knownKeys()
  local hits = nil
  for i = 1, keyCount do
    local found = call('HGET', commandKeysKey, ARGV[firstKey + 3 * i - 2])
    if found then
      local fingerprint, ofEpoch, ofVersion, expiry = match(found, '^(%S+) (%d+) (%d+) (%d+)$')
      if tonumber(expiry) > nowMs then
        hits = hits or {}
        hits[#hits + 1] = { i, fingerprint ~= ARGV[firstKey + 3 * i - 1] and 1 or 0, ofEpoch, tonumber(ofVersion) }
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

local function rememberKeys()
  for at = firstKey + 1, firstKey + 3 * keyCount, 3 do
    if ARGV[at + 2] ~= '0' then
      forgetOldKeys()
      call('HSET', commandKeysKey, ARGV[at], ARGV[at + 1] .. ' ' .. epoch .. ' ' .. ARGV[at + 2] .. ' ' .. (nowMs + commandKeyTtl))
    end
  end
  call('PEXPIRE', commandKeysKey, commandKeyTtl)
end

-- The timers' word with the times decided, the soonest of them and the furthest.
local function decideTimers(ofTimers)
  if ofTimers == '-' then return ofTimers, nil, 0 end
  local word = string.gsub(ofTimers, '%+(%d+)', function(delay) return nowMs + tonumber(delay) .. '' end)
  local soonest, furthest = nil, 0
  for due in string.gmatch(word, ':(%d+)') do
    local at = tonumber(due)
    if not soonest or at < soonest then soonest = at end
    if at > furthest then furthest = at end
  end
  return word, soonest, furthest
end

local function setRecord(record, keepsForEver)
  if keepsForEver then
    call('SET', sessionKey, record)
  else
    call('SET', sessionKey, record, 'PX', keyTtls[lifetime])
  end
end

-- What every commit does besides: outbox, command keys, mail, feed and history. `headerOf` makes outbox headers of those that came.
local function tell(record, keepsForEver, headerOf)
  local last = own + 3 + 3 * count
  if mailCount > 0 then number = match(line, '^%d+', orderAt) end
  for at = own + 4, last, 3 do append(headerOf and headerOf(ARGV[at]) or ARGV[at], ARGV[at + 1], ARGV[at + 2]) end
  if keyCount > 0 then rememberKeys() end
  for at = last + 1, last + 2 * mailCount, 2 do
    local ofVersion, numberWithin, receiver, hops = match(ARGV[at], '^(%d+) (%d+) (%S+) (%d+)$')
    -- persistence/mail-entry.ts reads it.
    call('XADD', mailKey, '*', 'h', id .. ' ' .. epoch .. ' ' .. ofVersion .. ' ' .. node .. '-' .. number .. ' ' ..
      numberWithin .. ' ' .. receiver .. ' ' .. hops, 'e', ARGV[at + 1])
  end
  local message = ARGV[own + 3] .. record
  publish(message)
  if history ~= '0' then remember(message, keepsForEver) end
end

-- Nearly every commit finds the session as its writer left it, and changes nothing but state and internals: then all that is to be
-- written came with it. @returns nil where more is to be looked at.
local function writeAtAGlance()
  local glance = ARGV[own + 1]
  if glance == '' or call('GETRANGE', sessionKey, 0, #glance - 1) ~= glance then return nil end
  expires, epoch = match(glance, GLANCE)
  if expires ~= '0' and tonumber(expires) <= nowMs or olderEpoch(epoch, partition.floor) then return nil end
  if keyCount > 0 and knownKeys() then return nil end
  isLive = true
  local ends = expiryAfter(lifetime)
  local record = '3 ' .. nowText .. ' ' .. ends .. ARGV[own + 2] .. ARGV[own + stateAt]
  setRecord(record, ends == '0')
  tell(record, ends == '0')
  return told[ends]
end

local function write()
  local lastVersion, ofCommit, ofMachine, ofMachineVersion, lifetimes, isDone, ofTimers, ofRuns, tail = match(ARGV[own + 2], REST)
  local firstVersion = lastVersion - count + 1 .. ''
  local previous, wasDone, wasTimers, wasRuns = '-', nil, '-', '-'
  if isLive then
    previous, wasDone, wasTimers, wasRuns = commitId, done, timers, runs
  else
    -- The new life must be newer than the one before, whatever happened to the server's clock.
    if isTombstone and not olderEpoch(epoch, nowEpoch) then
      epoch = string.format('%.0f', tonumber(epoch) + 1)
    else
      epoch = nowEpoch
    end
    if olderEpoch(epoch, partition.floor) then epoch = partition.floor end
    created = nowText
  end
  local ends = expiryAfter(lifetime)
  local word, soonest, furthest = decideTimers(ofTimers)
  -- Nothing ends before its furthest timer.
  if lifetime ~= '0' and furthest > tonumber(ends) then ends = furthest .. '' end

  local ofWriters = withMe(firstVersion, lastVersion, '-', epoch)
  local record = '3 ' .. nowText .. ' ' .. ends .. ' - ' .. epoch .. ' ' .. lastVersion .. ' ' .. ofCommit .. ' ' .. ofMachine .. ' ' ..
    ofMachineVersion .. ' ' .. created .. ' ' .. lifetimes .. ' ' .. isDone .. ' ' .. word .. ' ' .. ofRuns .. ' ' .. ofWriters .. tail ..
    ARGV[own + stateAt]
  local keepsForEver = lifetime == '0' or soonest or ofRuns ~= '-'
  setRecord(record, keepsForEver)
  -- Command keys belong to a life: what was applied in the one before is not in this one. (Not as the first write: a full
  -- server lets a deletion pass, and with it all that follows.)
  if not isLive then call('DEL', commandKeysKey) end
  -- The expiry entry is written once; the sweep moves it on. Only a lifetime of another kind needs it anew.
  if wasDone ~= isDone then
    if lifetime == '0' then
      call('ZREM', partition.timers, 'x:' .. id)
    else
      call('ZADD', partition.timers, ends, 'x:' .. id)
    end
  end
  if word ~= wasTimers then
    if soonest then
      call('ZADD', partition.timers, soonest .. '', 't:' .. id)
    else
      call('ZREM', partition.timers, 't:' .. id)
    end
  end
  holdLeases(wasRuns, ofRuns)
  tell(record, keepsForEver, function(header)
    local ofVersion, auditKind = match(header, '^%S+ %S+ (%d+) %S+ %S+ (%S+)$')
    return id .. ' ' .. epoch .. ' ' .. ofVersion .. ' ' .. ofCommit .. ' ' .. previous .. ' ' .. auditKind
  end)
  return { 'committed', epoch, lastVersion, nowText, created, ends, word, ofWriters }
end

-- Gives this process the next turn: the same record with another word in it.
local function reserveTurn()
  local before, after = match(raw, '^(3 %d+ %d+ )%S+(.*)$')
  call('SET', sessionKey, before .. node .. ':' .. (nowMs + RESERVATION_MS) .. after, 'KEEPTTL')
end

local function answerExpiry()
  if isLive then
    if expires == '0' then
      call('ZREM', partition.timers, 'x:' .. id)
    else
      -- Timers or promises may keep it alive beyond: then it is asked again later, not at once.
      local again = tonumber(expires) > nowMs and expires or nowMs + LEASE_MS .. ''
      call('ZADD', partition.timers, again, 'x:' .. id)
    end
    return { 'early', expires }
  end
  if isTombstone then
    call('ZREM', partition.timers, 'x:' .. id)
    return { 'gone', endReason, epoch, version }
  end
  -- Another process may have finished a vanished one just now; its timers entry tells.
  if not raw and not call('ZSCORE', partition.timers, 'x:' .. id) then return { 'gone', '', '', 0 } end
  local ofCommit = node .. '-' .. number
  number = '0'
  return finishExpired(ofCommit)
end

-- What a record left behind that vanished is found by the sweep, which asks by a check.
local function gone()
  if kind == 'check' and not raw then call('ZREM', partition.timers, 't:' .. id) end
  if isTombstone then return { 'gone', endReason, epoch, version } end
  return { 'gone', '', '', 0 }
end

local function answer()
  local written = kind == 'commit' and writeAtAGlance()
  if written then return written end
  number, reserve, baseEpoch, baseVersion, firesAt = match(line, ORDER, orderAt)
  readSession()
  if formatProblem then
    return { 'error', 'the record of session ' .. id .. ' is of a format that this version does not know' }
  end
  local liveEpoch, liveRecord = isLive and epoch or '', isLive and raw or ''

  if kind == 'end' and ARGV[own + 1] == 'expired' then return answerExpiry() end

  local known, first, last, ofEpoch = match(writers, mine)
  if known and number ~= '0' then
    if known == number then return { 'duplicate', ofEpoch, first, last, liveEpoch, liveRecord } end
    -- A copy that a dying connection delivered late: this process has had its answer and gone on since.
    if tonumber(known) > tonumber(number) then
      if isLive then return { 'stale', epoch, raw } end
      return gone()
    end
  end

  -- Whoever meets a session past its time ends it first; then it is absent like any other. So does who begins a new life
  -- where a record vanished before any sweep: its timers entry tells, and would be overwritten.
  local begins = kind == 'commit' and baseEpoch == '-'
  if updated and not isLive or begins and not raw and call('ZSCORE', partition.timers, 'x:' .. id) then
    local ofNumber = number
    number = '0'
    finishExpired(node .. '-x' .. nowEpoch)
    number = ofNumber
    readSession()
  end

  local hits = keyCount > 0 and knownKeys()
  if hits then return { 'known', liveEpoch, liveRecord, unpack(hits) } end

  if kind == 'end' then
    if isLive and baseEpoch ~= '-' and (baseEpoch ~= epoch or baseVersion ~= version) then return { 'stale', epoch, raw } end
    if isLive then return finish(ARGV[own + 1], ARGV[own + 2], node .. '-' .. number) end
    return gone()
  end

  if not isLive then
    if begins then return write() end
    return gone()
  end

  local isThere = baseEpoch == epoch and baseVersion == version
  if kind == 'check' then
    if isThere then return { 'current' } end
    return { 'stale', epoch, raw }
  end
  if baseEpoch ~= '-' then
    local ofMachine, ofMachineVersion = match(ARGV[own + 2], '^ %- %S+ %d+ %S+ (%S+) (%d+) ')
    if machineVersion ~= ofMachineVersion and machine == ofMachine and tonumber(machineVersion) > tonumber(ofMachineVersion) then
      return { 'fenced', machineVersion }
    end
    if reservation ~= '-' then
      local holder, untilMs = match(reservation, '^(%w+):(%d+)$')
      if holder ~= node and tonumber(untilMs) > nowMs then return { 'wait', tonumber(untilMs) - nowMs } end
    end
  end
  if isThere then
    if firesAt ~= '-' and tonumber(firesAt) > nowMs then return { 'early', firesAt } end
    return write()
  end
  if reserve == '1' and baseEpoch ~= '-' then reserveTurn() end
  return { 'stale', epoch, raw }
end

-- Where the entry behind the one under way begins.
local nextA, nextK = a, k

-- Reads the entry that begins behind `a` and answers it.
local function take()
  line = ARGV[a + 1]
  local span, partitionIndex, keySpan
  span, kind, partitionIndex, keySpan, keyCount, id, orderAt = match(line, HEAD)
  nextA, nextK = a + tonumber(span), k + tonumber(keySpan)
  partition, keyCount, firstKey = partitions[tonumber(partitionIndex)], tonumber(keyCount), a + 1
  own = firstKey + 3 * keyCount
  sessionKey = KEYS[k + 1]
  -- What it did not bring belongs to the next one.
  commandKeysKey = keySpan ~= '1' and KEYS[k + 2]
  mailKey = keySpan == '3' and KEYS[k + 3]
  if kind == 'commit' then
    lifetime, stateAt, count, mailCount, history, orderAt = match(line, COMMIT, orderAt)
    stateAt, count, mailCount = tonumber(stateAt), tonumber(count), tonumber(mailCount)
    if nextA ~= math.max(own + 3 + 3 * count + 2 * mailCount, own + stateAt) then error('the entry has another length than it says') end
  end
  return answer()
end

local results = {}
local argumentCount = #ARGV
while a < argumentCount do
  local ok, result = pcall(take)
  if nextA <= a then return redis.error_reply('an entry begins with words that this version does not know') end
  -- An entry fails alone; a refused write (out of memory, read-only) is told as it came.
  if not ok then result = { 'error', type(result) == 'table' and (result.err or '') or tostring(result) } end
  results[#results + 1] = result
  a, k = nextA, nextK
end
return results
