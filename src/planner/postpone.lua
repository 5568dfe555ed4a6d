--[[
  Changes the times of members of a sorted set, each only if its time is still the one that was read.

  KEYS[1]  sorted set, record id by the time at which the planner looks at it next
  KEYS[2]  sorted set, instance by the first time in its set; missing if there is none for this set

  ARGV[1]  the instance, or ''
  ARGV     then triples: record id, the time that was read, its new time ('': remove it from the set)

  Returns  the members that were changed
]]
--- @include "../groups/updateFirst"

local timesKey, firstsKey, instance = KEYS[1], KEYS[2], ARGV[1]

local changed = {}
for i = 2, #ARGV, 3 do
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
if firstsKey then
  updateFirst(firstsKey, timesKey, instance)
end
return changed
