--[[
The one place where the state of sessions changes. Takes an array of entries and answers each by itself.

KEYS  for each partition concerned: home, timers, outbox, mail; then for each entry: its session key, its command keys' key
ARGV  node, command key TTL in ms, number of partitions, per partition its key base `<prefix>:{<tag>}:`, then the
      entries one after another (see persistence/commit-arguments.ts, which writes what is read here). An entry begins
      with a line of words, because an argument of its own costs more than a word:
        span(how many arguments it has) kind partition(1…) id number reserve(0|1) keys baseEpoch baseVersion(`-` and 0: none)
        and of a commit: machine machineVersion ttl doneTtl(ms, 0: unlimited) done(0|1) lifetime(ms, 0: unlimited)
        keyTtl(ms) firstVersion lastVersion transitions mails timers(`;key:time`…, time `+delay` where it
        is decided here, or `-`) runs(`;key:node`… or `-`) firesAt(ms, or `-`: refused as early before)
        history(how many commits the session keeps) apart(1: the audit's last state is not the record's, which comes last; or 0)
      then for each key: digest, fingerprint
        end:    reason, audit (a JSON object; what machine it was is put in front here)
        commit: internals, feed head, { kind, version, index of its key or 0; audit; state for it }…,
          { version, number within it, receiver, hops; event }…, state of the record if apart
Result  an array with one array an entry, its first member a word (persistence/commit-results.ts reads them):
        committed, epoch, version, time, created, expires (0: never), timers
        duplicate, epoch, first version, version, effective epoch, record or ''
        known, effective epoch, record or '', { index, reused (0|1), epoch, version }…
        current | stale, effective epoch, record | gone, reason or '', epoch or '', version
        fenced, machine version | wait, ms | early, due (0: never) | error, message

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
local LEASE_MS = 15000
-- hash-max-listpack-entries: up to here Redis keeps a hash in one piece, and HSCAN returns all of it.
local SMALL_HASH = 128

-- Numbers stay text wherever they are only compared or copied: to print one costs as much as to append to a stream.
local RECORD = '^2 (%d+) (%d+) (%S+) (%S+) (%d+) (%d+) %d+ (%d+) %d+ %d+ ([01]) (%S+) (%S+) (%S+) (%S+)\n()'
local TOMBSTONE = '^2t (%d+) (%d+) %S+ (%a+) (%S+)$'

local HEAD = '^(%d+) (%l+) (%d+) (%S+) (%d+) ([01]) (%d+) (%S+) (%d+)()'
local COMMIT_HEAD = '^ (%S+) (%d+) (%d+) (%d+) ([01]) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%S+) (%d+) ([01])$'

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
  local known = call('HMGET', home, 'server', 'floor', 'listeners')
  local floor = known[2] or ''
  if known[1] ~= serverId then
    if known[1] then floor = nowEpoch end
    call('HSET', home, 'server', serverId, 'floor', floor)
  end
  partitions[p] = { timers = KEYS[k + 2], outbox = KEYS[k + 3], mail = KEYS[k + 4], base = ARGV[a + p], floor = floor,
    listeners = known[3] }
  k = k + 4
end
a = a + partitionCount

-- The entry under way, as far as every kind has it.
local kind, partition, id, number, reserve, firstKey, keyCount, baseEpoch, baseVersion, sessionKey, commandKeysKey
-- And what a commit has besides.
local ofMachine, ofMachineVersion, ttl, doneTtl, isDone, lifetime, keyTtl, firstVersion, lastVersion, count, mailCount, ofTimers, ofRuns, firesAt, history
-- Where what only its kind has begins in ARGV, and where the state of a commit's record is.
local own, recordState
-- The session as it is found: the record or tombstone, its words, and whether it is a session that lives.
local raw, isLive, isTombstone, formatProblem
local epoch, version, commitId, machine, machineVersion, created, expires, done, reservation, timers, runs, writers, bodyAt, endReason

local function readSession()
  raw = call('GET', sessionKey)
  isLive, isTombstone, formatProblem, bodyAt, endReason, writers = false, false, false, nil, nil, '-'
  epoch, version, machine, machineVersion, created, expires, done, timers, runs = nil, nil, '', '0', nowText, '0', nil, '-', '-'
  if not raw then return end
  epoch, version, commitId, machine, machineVersion, created, expires, done, reservation, timers, runs, writers, bodyAt =
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
-- An expiry (number 0) happens once by itself: it must not push out a commit of this process that may be sent again.
local function withMe(first, last, ofEpoch)
  local kept = ''
  -- Mostly nobody else has written lately.
  if writers ~= '-' and (string.sub(writers, 1, #me) ~= me or string.find(writers, ';', 2, true) or number == '0') then
    for writer, name, at in string.gmatch(writers, '(;(%w+):%d+:%d+:%d+:(%d+):%d+)') do
      if (name ~= node or number == '0') and tonumber(at) + WRITER_MS >= nowMs then kept = kept .. writer end
    end
  end
  if number ~= '0' then return me .. number .. ':' .. first .. ':' .. last .. ':' .. nowText .. ':' .. ofEpoch .. kept end
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
  if keepsForEver then call('PERSIST', key) else call('PEXPIRE', key, keyTtl) end
end

-- Appends one transition to the outbox; persistence/audit/entry.ts reads it. Few fields: each costs here, and there again.
local function append(ofEpoch, ofVersion, ofCommit, previous, auditKind, audit, state)
  call('XADD', partition.outbox, '*', 'h', id .. ' ' .. ofEpoch .. ' ' .. ofVersion .. ' ' .. ofCommit .. ' ' ..
    previous .. ' ' .. nowText .. ' ' .. auditKind, 'm', audit, 's', state)
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
  if bodyAt then ofEpoch, last, previous = epoch, tonumber(version) + 1 .. '', commitId end
  local members = string.sub(audit, 2)
  local row = '{"machine":"' .. machine .. '","machineVersion":' .. machineVersion ..
    (members == '}' and '}' or ',' .. members)
  call('SET', sessionKey, '2t ' .. ofEpoch .. ' ' .. last .. ' ' .. ofCommit .. ' ' .. reason .. ' ' ..
    withMe(last, last, ofEpoch), 'PX', TOMBSTONE_MS)
  call('ZREM', partition.timers, 'x:' .. id, 't:' .. id)
  call('UNLINK', partition.base .. 'history:' .. id)
  holdLeases(runs, '-')
  append(ofEpoch, last, ofCommit, previous, reason, row, '')
  publish('e' .. id .. '\n' .. ofEpoch .. '\n' .. last .. '\n' .. reason)
  return { 'committed', ofEpoch, last, nowText, created, '0', '-' }
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

local function rememberKey(index, ofVersion)
  forgetOldKeys()
  local at = firstKey + 2 * index
  call('HSET', commandKeysKey, ARGV[at - 1],
    ARGV[at] .. ' ' .. epoch .. ' ' .. ofVersion .. ' ' .. (nowMs + commandKeyTtl))
  call('PEXPIRE', commandKeysKey, commandKeyTtl)
end

-- The timers' word with the times decided, the soonest of them and the furthest.
local function decideTimers()
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

local function write()
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
  local ofCommit = node .. '-' .. number
  local ends = lifetime == '0' and '0' or nowMs + tonumber(lifetime) .. ''
  local word, soonest, furthest = decideTimers()
  -- Nothing ends before its furthest timer.
  if lifetime ~= '0' and furthest > tonumber(ends) then ends = furthest .. '' end

  local record = '2 ' .. epoch .. ' ' .. lastVersion .. ' ' .. ofCommit .. ' ' .. ofMachine .. ' ' .. ofMachineVersion ..
    ' ' .. created .. ' ' .. nowText .. ' ' .. ends .. ' ' .. ttl .. ' ' .. doneTtl .. ' ' .. isDone .. ' - ' .. word .. ' ' .. ofRuns .. ' ' ..
    withMe(firstVersion, lastVersion, epoch) .. '\n' .. ARGV[recordState] .. '\n' .. ARGV[own + 1]
  local keepsForEver = lifetime == '0' or soonest or ofRuns ~= '-'
  if keepsForEver then
    call('SET', sessionKey, record)
  else
    call('SET', sessionKey, record, 'PX', keyTtl)
  end
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
  for at = own + 3, own + 3 * count, 3 do
    local auditKind, ofVersion, key = match(ARGV[at], '^(%S+) (%d+) (%d+)$')
    append(epoch, ofVersion, ofCommit, previous, auditKind, ARGV[at + 1], ARGV[at + 2])
    if key ~= '0' then rememberKey(tonumber(key), ofVersion) end
  end
  for at = own + 3 + 3 * count, own + 1 + 3 * count + 2 * mailCount, 2 do
    local ofVersion, numberWithin, receiver, hops = match(ARGV[at], '^(%d+) (%d+) (%S+) (%d+)$')
    -- persistence/mail-entry.ts reads it.
    call('XADD', partition.mail, '*', 'h', id .. ' ' .. epoch .. ' ' .. ofVersion .. ' ' .. ofCommit .. ' ' ..
      numberWithin .. ' ' .. receiver .. ' ' .. hops, 'e', ARGV[at + 1])
  end
  local message = ARGV[own + 2] .. record
  publish(message)
  if history ~= '0' then remember(message, keepsForEver) end
  return { 'committed', epoch, lastVersion, nowText, created, ends, word }
end

-- Gives this process the next turn: the same record with another word in it.
local function reserveTurn()
  local header = string.sub(raw, 1, bodyAt - 1)
  local before, after = match(header, '^(2 %d+ %d+ %S+ %S+ %d+ %d+ %d+ %d+ %d+ %d+ [01] )%S+( %S+ %S+ %S+\n)$')
  call('SET', sessionKey, before .. node .. ':' .. (nowMs + RESERVATION_MS) .. after .. string.sub(raw, bodyAt), 'KEEPTTL')
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
  if bodyAt and not isLive or begins and not raw and call('ZSCORE', partition.timers, 'x:' .. id) then
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

-- Reads the entry that begins behind `a` and answers it.
local function take()
  local span, partitionIndex, rest, apart
  span, kind, partitionIndex, id, number, reserve, keyCount, baseEpoch, baseVersion, rest = match(ARGV[a + 1], HEAD)
  partition, keyCount, firstKey = partitions[tonumber(partitionIndex)], tonumber(keyCount), a + 1
  own = firstKey + 2 * keyCount
  sessionKey, commandKeysKey = KEYS[k + 1], KEYS[k + 2]
  if kind == 'commit' then
    ofMachine, ofMachineVersion, ttl, doneTtl, isDone, lifetime, keyTtl, firstVersion, lastVersion, count, mailCount, ofTimers, ofRuns, firesAt, history, apart =
      match(string.sub(ARGV[a + 1], rest), COMMIT_HEAD)
    count, mailCount = tonumber(count), tonumber(mailCount)
    local last = own + 2 + 3 * count + 2 * mailCount + apart
    recordState = apart == '1' and last or own + 2 + 3 * count
    if last ~= a + tonumber(span) then error('the entry has another length than it says') end
  end
  return answer()
end

local results = {}
local argumentCount = #ARGV
while a < argumentCount do
  local ok, result = pcall(take)
  -- An entry fails alone; a refused write (out of memory, read-only) is told as it came.
  if not ok then result = { 'error', type(result) == 'table' and (result.err or '') or tostring(result) } end
  results[#results + 1] = result
  a = a + tonumber(match(ARGV[a + 1], '^%d+'))
  k = k + 2
end
return results
