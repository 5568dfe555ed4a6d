--[[
  What the planner needs to know of instances with something to do.

  KEYS     for each instance: gate, hash {reason, until, ...}; due, sorted set of record ids by time; and of its queue: wait
           (list), prioritized (sorted set), active (list), delayed (sorted set)

  ARGV[1]  now, ms
  ARGV[2]  lowest and
  ARGV[3]  highest score in `prioritized` of a periodic verification

  Returns  for each instance: ms until its gate lets a call through, or -1 if it has no gate; records that are due; jobs
           that wait, that run and that are delayed; periodic verifications among those that wait
]]
local now, lowest, highest = tonumber(ARGV[1]), ARGV[2], ARGV[3]

local found = {}
for i = 1, #KEYS, 6 do
  local gateKey, dueKey, waitKey, prioritizedKey, activeKey, delayedKey = unpack(KEYS, i, i + 5)
  local gate = redis.call('HMGET', gateKey, 'reason', 'until')
  table.insert(found, gate[1] and math.max(tonumber(gate[2] or 0) - now, 0) or -1)
  table.insert(found, redis.call('ZCOUNT', dueKey, '-inf', now))
  table.insert(found, redis.call('LLEN', waitKey) + redis.call('ZCARD', prioritizedKey))
  table.insert(found, redis.call('LLEN', activeKey))
  table.insert(found, redis.call('ZCARD', delayedKey))
  table.insert(found, redis.call('ZCOUNT', prioritizedKey, lowest, highest))
end
return found
