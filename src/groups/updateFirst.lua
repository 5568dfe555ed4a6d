--[[
  Makes the first time of an instance's index, as the planner knows it, match the index. To be included.

  firstsKey  sorted set, instance by the first time in its index
  indexKey   the index: sorted set, record id by time
]]
local function updateFirst(firstsKey, indexKey, instance)
  local first = redis.call('ZRANGE', indexKey, 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', firstsKey, first[2], instance)
  else
    redis.call('ZREM', firstsKey, instance)
  end
end
