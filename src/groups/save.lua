--[[
  Makes changes, each by itself: compares what was read for it with what is stored, and writes only if nothing has
  changed. So records, indexes and events are committed together or not at all.

  KEYS     every key that a check, a write or an index refers to by number

  ARGV     for each change, three arguments:
           checks, as a JSON list of {key number, hash field, value that was read ('': none)}
           writes, as a JSON list of {command, key number, arguments...}; all arguments are strings
           the planner's indexes that the writes change, as a JSON list of {key number of the set of first times, key
           number of the index, instance}

  Returns  for each change 1; 0 if something had changed and nothing was written
]]
local function isUnchanged(checks)
  for _, check in ipairs(checks) do
    local key, field, seen = KEYS[check[1]], check[2], check[3]
    if (redis.call('HGET', key, field) or '') ~= seen then
      return false
    end
  end
  return true
end

--- @include "updateFirst"

local saved = {}
for i = 1, #ARGV, 3 do
  if isUnchanged(cjson.decode(ARGV[i])) then
    for _, write in ipairs(cjson.decode(ARGV[i + 1])) do
      redis.call(write[1], KEYS[write[2]], unpack(write, 3))
    end
    for _, index in ipairs(cjson.decode(ARGV[i + 2])) do
      updateFirst(KEYS[index[1]], KEYS[index[2]], index[3])
    end
    table.insert(saved, 1)
  else
    table.insert(saved, 0)
  end
end
return saved
