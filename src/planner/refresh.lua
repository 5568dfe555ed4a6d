--[[
  Makes what the planner knows of instances match what it is derived from.

  KEYS[1]  first due times: sorted set, instance by the first time in its due index
  KEYS[2]  first verification times: the same for its verification index
  KEYS[3]  gates: set of the instances that have a gate
  KEYS     then for each instance: its due index, its verification index, its gate

  ARGV     the instances
]]
--- @include "../groups/updateFirst"

for i, instance in ipairs(ARGV) do
  for n = 1, 2 do
    updateFirst(KEYS[n], KEYS[3 * i + n], instance)
  end
  local known = redis.call('EXISTS', KEYS[3 * i + 3]) == 1 and 'SADD' or 'SREM'
  redis.call(known, KEYS[3], instance)
end
