--[[
A process tells what it serves, and hears what the others have told.

KEYS  processes: hash from node to `<time in ms> <what it serves>`
ARGV  node, for how long what others told is believed (ms), what this one serves (JSON; '': nothing any more)
Result  what the others serve
]]
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], nowMs .. ' ' .. ARGV[3])
end
local others = {}
local told = redis.call('HGETALL', KEYS[1])
for i = 1, #told, 2 do
  local at, served = string.match(told[i + 1], '^(%d+) (.*)$')
  if tonumber(at) + ARGV[2] < nowMs then
    redis.call('HDEL', KEYS[1], told[i])
  elseif told[i] ~= ARGV[1] then
    others[#others + 1] = served
  end
end
return others
