--[[
  Deletes entries of an outbox that were read one after another, if they are still those that were read. An id alone
  does not tell: after a failover that took entries back, another commit may have been given the same id. What is
  taken back is always the end of the stream (replication and the append-only file lose their tail, nothing from the
  middle), so if the newest of them still holds its commit, those before it are the same too. Nothing is ever trimmed
  by range or length.

  KEYS[1]  outbox (stream)
  ARGV     commit id of the newest entry, then the ids of all, in the order of the stream

  Result   number of entries deleted; -1: the newest holds another commit or is gone, so ask for each by itself
           (delete-each.lua)
]]
local newest = redis.call('XRANGE', KEYS[1], ARGV[#ARGV], ARGV[#ARGV])[1]
-- The commit id is the fourth word of field `h`, see persistence/audit/entry.ts.
local isThere = newest and newest[2][1] == 'h' and
  string.match(newest[2][2], '^[^ ]* [^ ]* [^ ]* ([^ ]*)') == ARGV[1]
if not isThere then return -1 end
return redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
