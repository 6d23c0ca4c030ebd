--[[
  Deletes exactly these entries of an outbox or of mail: each one only if it still holds the commit that was read from it.
  Dearer than delete-outbox.lua, and right whatever happened to the stream.

  KEYS[1]  stream
  ARGV     pairs: entry id, commit id ('' where the entry has none); fastest in the order of the stream

  Result   number of entries deleted
]]
local count = #ARGV / 2
local commits = {}

-- The commit id is the fourth word of field `h`, see persistence/audit/entry.ts and persistence/mail-entry.ts.
local function note(entries)
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    commits[entry[1]] = ''
    for f = 1, #fields, 2 do
      if fields[f] == 'h' then
        commits[entry[1]] = string.match(fields[f + 1], '^[^ ]* [^ ]* [^ ]* ([^ ]*)') or ''
        break
      end
    end
  end
end

-- They mostly stand one behind the other, so that one look finds them all.
note(redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[#ARGV - 1], 'COUNT', count))

local ids = {}
for i = 1, #ARGV, 2 do
  local id = ARGV[i]
  if commits[id] == nil then note(redis.call('XRANGE', KEYS[1], id, id)) end
  if commits[id] == ARGV[i + 1] then ids[#ids + 1] = id end
end
if #ids == 0 then return 0 end
return redis.call('XDEL', KEYS[1], unpack(ids))
