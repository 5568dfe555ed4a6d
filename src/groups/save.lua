--[[
  Compares what was read with what is stored, and writes only if nothing has changed. So records, indexes and events are
  committed together or not at all.

  KEYS     every key that a check or a write refers to by number

  ARGV[1]  checks, as a JSON list of {key number, hash field, value that was read ('': none)}
  ARGV[2]  writes, as a JSON list of {command, key number, arguments...}; all arguments are strings

  Returns  1; 0 if something had changed and nothing was written
]]
local checks, writes = cjson.decode(ARGV[1]), cjson.decode(ARGV[2])

for _, check in ipairs(checks) do
  local key, field, seen = KEYS[check[1]], check[2], check[3]
  if (redis.call('HGET', key, field) or '') ~= seen then
    return 0
  end
end
for _, write in ipairs(writes) do
  redis.call(write[1], KEYS[write[2]], unpack(write, 3))
end
return 1
