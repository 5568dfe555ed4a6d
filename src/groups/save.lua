--[[
  Compares what was read with what is stored, and writes only if nothing has changed. So records, indexes and events are
  committed together or not at all.

  KEYS     every key that a check or a write refers to by number

  ARGV[1]  checks, as a JSON list of {key number, hash field, value that was read ('': none)}
  ARGV[2]  writes, as a JSON list of {command, key number, arguments...}; all arguments are strings
  ARGV[3]  the planner's indexes that the writes change, as a JSON list of {key number of the set of first times, key
           number of the index, instance}

  Returns  1; 0 if something had changed and nothing was written
]]
local checks, writes, indexes = cjson.decode(ARGV[1]), cjson.decode(ARGV[2]), cjson.decode(ARGV[3])

for _, check in ipairs(checks) do
  local key, field, seen = KEYS[check[1]], check[2], check[3]
  if (redis.call('HGET', key, field) or '') ~= seen then
    return 0
  end
end
for _, write in ipairs(writes) do
  redis.call(write[1], KEYS[write[2]], unpack(write, 3))
end
for _, index in ipairs(indexes) do
  local firstsKey, indexKey, instance = KEYS[index[1]], KEYS[index[2]], index[3]
  local first = redis.call('ZRANGE', indexKey, 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', firstsKey, first[2], instance)
  else
    redis.call('ZREM', firstsKey, instance)
  end
end
return 1
