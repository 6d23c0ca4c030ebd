--[[
  Deletes exactly these entries of an outbox: each one only if it still holds the commit that was read from it. An
  id alone does not tell: after a failover that took entries back, another commit may have been given the same id.
  Nothing is ever trimmed by range or length.

  KEYS[1]  outbox (stream)
  ARGV     pairs: entry id, commit id ('' where the entry has none)

  Result   number of entries deleted
]]
local deleted = 0
for i = 1, #ARGV, 2 do
  local entry = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
  if entry then
    local fields = entry[2]
    local commit = ''
    for f = 1, #fields, 2 do
      if fields[f] == 'c' then
        commit = fields[f + 1]
        break
      end
    end
    if commit == ARGV[i + 1] then
      deleted = deleted + redis.call('XDEL', KEYS[1], ARGV[i])
    end
  end
end
return deleted
