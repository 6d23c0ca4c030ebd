--[[
  How much waits in an outbox, without sending any of it.

  KEYS[1]  outbox (stream)

  Result   number of entries, id of the oldest one ('' if there is none), Redis time in ms
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
return { redis.call('XLEN', KEYS[1]), oldest and oldest[1] or '', now }
