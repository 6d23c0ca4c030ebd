--[[
Renews the leases of one process on promise actors of sessions of one partition. A lease that is not there any more (the session
has left the state, has ended, or was taken over) is not made again.

KEYS  timers
ARGV  node, lease (ms), session ids…
Result  the ids without a lease
]]
local time = redis.call('TIME')
local untilMs = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
local lost = {}
for i = 3, #ARGV do
  local member = 'r:' .. ARGV[i] .. ' ' .. ARGV[1]
  if redis.call('ZSCORE', KEYS[1], member) then
    redis.call('ZADD', KEYS[1], untilMs, member)
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
