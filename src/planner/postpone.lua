--[[
  Changes the times of members of a sorted set, each only if its time is still the one that was read.

  KEYS[1]  sorted set, record id by the time at which the planner looks at it next

  ARGV     triples: record id, the time that was read, its new time ('': remove it from the set)

  Returns  the members that were changed
]]
local timesKey = KEYS[1]

local changed = {}
for i = 1, #ARGV, 3 do
  local id, seen, to = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local score = redis.call('ZSCORE', timesKey, id)
  if score and tonumber(score) == seen then
    if to == '' then
      redis.call('ZREM', timesKey, id)
    else
      redis.call('ZADD', timesKey, to, id)
    end
    table.insert(changed, id)
  end
end
return changed
