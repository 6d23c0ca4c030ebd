--[[
A process tells who of its clients joined or left sessions of one partition, and renews its lease on its members there. Processes whose
lease is over are removed with their members. All that changes of a session is published as one message, under the next number.

A lease of the caller's own that had run out shows that Redis could not be reached for a while: the others then get some time to renew
theirs, too. Told again, it changes nothing; so it may be sent again when the answer was lost.

KEYS  for each session the hash of its members: `n` the number of the last change (it begins with Redis' time in microseconds, so that
      it goes on when the hash was gone), `p` the processes as `<node>:<end of lease>:<members>:<judges others from>`, times in ms,
      and `<node>:<client>` the members
ARGV  node, lease (ms), time for the others (ms), then for each session: id, channel, how many members the process has there after this,
      whether those that joined are all that it has (0|1), whether to return the list (0|1), how many joined, client, member (JSON)…,
      how many left, client…
Result  for each session: number of the last change (0: there is no list), whether it holds as many members of the process as that says (0|1), members…
]]
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local node, leaseMs, graceMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local at = 3
local function nextArgument()
  at = at + 1
  return ARGV[at]
end

local function whole(number) return string.format('%.0f', number) end

-- The caller, the others, and which of these are over.
local function processesOf(text)
  local own, others, over, isAnyOver = nil, {}, {}, false
  for name, untilMs, count, judgesFrom in string.gmatch(text, '(%w+):(%d+):(%d+):(%d+)') do
    local process = { name = name, untilMs = tonumber(untilMs), count = tonumber(count), judgesFrom = tonumber(judgesFrom) }
    if name == node then
      own = process
    elseif process.untilMs < nowMs then
      over[name], isAnyOver = process, true
    else
      others[#others + 1] = process
    end
  end
  own = own or { name = node, untilMs = nowMs, count = 0, judgesFrom = 0 }
  if own.untilMs < nowMs then own.judgesFrom = nowMs + graceMs end
  if own.judgesFrom > nowMs then
    for _, process in pairs(over) do others[#others + 1] = process end
    over, isAnyOver = {}, false
  end
  return own, others, over, isAnyOver
end

local answers = {}
for i, key in ipairs(KEYS) do
  local id, channel, expected = nextArgument(), nextArgument(), tonumber(nextArgument())
  local isWhole, wantsRoster = nextArgument() == '1', nextArgument() == '1'
  local known = redis.call('HMGET', key, 'n', 'p')
  local own, others, over, isAnyOver = processesOf(known[2] or '')
  local joined, left = {}, {}

  local stay = {}
  for _ = 1, tonumber(nextArgument()) do
    local client, member = nextArgument(), nextArgument()
    stay[client] = true
    if redis.call('HSETNX', key, node .. ':' .. client, member) == 1 then
      joined[#joined + 1] = member
      own.count = own.count + 1
    end
  end
  for _ = 1, tonumber(nextArgument()) do
    local client = nextArgument()
    if redis.call('HDEL', key, node .. ':' .. client) == 1 then
      left[#left + 1] = '"' .. client .. '"'
      own.count = own.count - 1
    end
  end
  if isWhole or isAnyOver then
    own.count = 0
    for _, field in ipairs(redis.call('HKEYS', key)) do
      local name, client = string.match(field, '^(%w+):(%w+)$')
      if name and (over[name] or (isWhole and name == node and not stay[client])) then
        redis.call('HDEL', key, field)
        left[#left + 1] = '"' .. client .. '"'
      elseif name == node then
        own.count = own.count + 1
      end
    end
  end

  local number = tonumber(known[1] or '0')
  local isChanged = #joined > 0 or #left > 0
  if isChanged then
    number = number > 0 and number + 1 or time[1] * 1000000 + time[2]
    redis.call('SPUBLISH', channel, 'p' .. id .. '\n' .. whole(number) .. '\n[' .. table.concat(joined, ',') .. ']\n['
      .. table.concat(left, ',') .. ']')
  end

  if own.count > 0 then
    own.untilMs = nowMs + leaseMs
    others[#others + 1] = own
  end
  if #others > 0 then
    local texts = {}
    for j, process in ipairs(others) do
      texts[j] = process.name .. ':' .. whole(process.untilMs) .. ':' .. whole(process.count) .. ':' .. whole(process.judgesFrom)
    end
    redis.call('HSET', key, 'n', whole(number), 'p', table.concat(texts, ' '))
    -- Should all processes die, nobody is left to delete it.
    redis.call('PEXPIRE', key, 6 * leaseMs)
  elseif known[1] then
    redis.call('DEL', key)
  end

  local answer = { whole(number), own.count == expected and 1 or 0 }
  if wantsRoster then
    local fields = redis.call('HGETALL', key)
    for j = 1, #fields, 2 do
      if string.find(fields[j], ':', 1, true) then answer[#answer + 1] = fields[j + 1] end
    end
  end
  answers[i] = answer
end
return answers
