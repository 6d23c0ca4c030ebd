--[[
Looks at a partition: what of it is due soon, soonest first: expiries of sessions (`x:<id>`), their next timers (`t:<id>`), ends of
leases on promise actors (`r:<id> <node>`); and whether mail waits. One process at a time does this, by a lease that it renews with
each look; nothing depends on it being only one. Each look notes its time: a gap is a downtime, and all are told of the last one.

KEYS  home, timers, mail
ARGV  node, lease (ms), horizon (ms from now), limit, gap (ms) that is a downtime, age (ms) of mail that waits,
      how many of the soonest to pass over
Result  downtime (`<from ms> <to ms>` or ''), mail waits (0|1), then member, time (ms)…; none while another process has the lease
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'sweeper', 'downtime')
local holder, untilMs, at = string.match(known[1] or '', '^(%w+):(%d+):(%d+)$')
local downtime = known[2] or ''
if holder and holder ~= ARGV[1] and tonumber(untilMs) > now then return { downtime, 0 } end

if at and now - at > tonumber(ARGV[5]) then
  downtime = at .. ' ' .. now
  redis.call('HSET', KEYS[1], 'downtime', downtime)
end
redis.call('HSET', KEYS[1], 'sweeper', ARGV[1] .. ':' .. now + ARGV[2] .. ':' .. now)
local oldest = redis.call('XRANGE', KEYS[3], '-', now - ARGV[6], 'COUNT', 1)[1]
return { downtime, oldest and 1 or 0,
  unpack(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now + ARGV[3], 'WITHSCORES', 'LIMIT', ARGV[7], ARGV[4])) }
