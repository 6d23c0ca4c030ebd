--[[
Tells, on a new connection, the epoch floor of each partition, raising it where the server is not the one that the
partition knew: it may have taken back commits. commit.lua does the same on its way.

KEYS  the homes of partitions
Result  their floors, '' where there is none
]]
local time = redis.call('TIME')
local now = string.format('%s%06d', time[1], tonumber(time[2]))
local serverId = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
local floors = {}
for i, home in ipairs(KEYS) do
  local known = redis.call('HMGET', home, 'server', 'floor')
  local floor = known[2] or ''
  if known[1] ~= serverId then
    if known[1] then floor = now end
    redis.call('HSET', home, 'server', serverId, 'floor', floor)
  end
  floors[i] = floor
end
return floors
