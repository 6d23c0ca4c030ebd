--[[
What of a partition is due soon: expiries of sessions (`x:<id>`) and their next timers (`t:<id>`), soonest first. One process at a
time looks after a partition, by a lease that it renews with each look; nothing depends on it being only one.

KEYS  home, timers
ARGV  node, lease (ms), horizon (ms from now), limit
Result  member, time (ms)…; nothing while another process has the lease
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local holder, untilMs = string.match(redis.call('HGET', KEYS[1], 'sweeper') or '', '^(%w+):(%d+)$')
if holder and holder ~= ARGV[1] and tonumber(untilMs) > now then return {} end
redis.call('HSET', KEYS[1], 'sweeper', ARGV[1] .. ':' .. now + ARGV[2])
return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now + ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
