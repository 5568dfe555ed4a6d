--[[
  Moves members of a sorted set of times, each only if nobody else moved it since it was read.

  KEYS[1]  sorted set, record id by the time at which the planner looks at it next

  ARGV     triples: record id, the time it was read with, its new time ('': it leaves the set)

  Returns  the members that were moved
]]
local timesKey = KEYS[1]

local moved = {}
for i = 1, #ARGV, 3 do
  local id, was, to = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local score = redis.call('ZSCORE', timesKey, id)
  if score and tonumber(score) == was then
    if to == '' then
      redis.call('ZREM', timesKey, id)
    else
      redis.call('ZADD', timesKey, to, id)
    end
    table.insert(moved, id)
  end
end
return moved
