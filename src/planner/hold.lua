--[[
  Moves members of a sorted set of times, each only if nobody else moved it since it was read.

  KEYS[1]  sorted set, group id by the time at which the planner looks at it next

  ARGV     triples: group id, the time it was read with, its new time

  Returns  members moved
]]
local timesKey = KEYS[1]

local moved = 0
for i = 1, #ARGV, 3 do
  local id, was, to = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local score = redis.call('ZSCORE', timesKey, id)
  if score and tonumber(score) == was then
    redis.call('ZADD', timesKey, to, id)
    moved = moved + 1
  end
end
return moved
