--[[
  How many calls of scheduled work a token can serve within a horizon, and how much of its limit is used.

  KEYS[1]  slots: sorted set, slot id by the time at which it is given back
  KEYS[2]  bucket: hash {known, limit, foreign, foreignUntil, closedUntil, probe, probeUntil, latency}
  KEYS[3]  line of one-offs that wait for a slot: sorted set, waiter by its number
  KEYS[4]  line of scheduled work

  ARGV[1]  max, requests in any `per`, as configured
  ARGV[2]  reserve, slots left to one-offs
  ARGV[3]  per, ms
  ARGV[4]  horizon, ms

  Returns  {calls that can be served, used, limit in force, requests of others, ms until the bucket opens}
]]
local slotsKey, bucketKey, oneOffsLineKey, scheduledLineKey = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local max, reserve, per, horizon = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local bucket = redis.call('HMGET', bucketKey, 'limit', 'foreign', 'foreignUntil', 'closedUntil')
local limit = math.min(tonumber(bucket[1] or max), max)
local foreign = tonumber(bucket[3] or 0) > now and tonumber(bucket[2] or 0) or 0
local closedFor = math.max(tonumber(bucket[4] or 0) - now, 0)

local used = redis.call('ZCOUNT', slotsKey, '(' .. now, '+inf') + foreign
local freed = redis.call('ZCOUNT', slotsKey, '(' .. now, now + horizon)
if foreign > 0 and tonumber(bucket[3]) <= now + horizon then
  freed = freed + foreign
end

-- The reserve shrinks with a limit that is lower than configured.
local ceiling = math.max(limit - math.ceil(reserve * limit / max), 1)
local waiting = redis.call('ZCARD', oneOffsLineKey) + redis.call('ZCARD', scheduledLineKey)
local free = math.max(ceiling - used + freed - waiting, 0)
if horizon > per and used < limit then
  -- Every slot can be used again and again within the horizon.
  free = math.max(free, ceiling * math.floor(horizon / per))
end
if closedFor > horizon then
  free = 0
end
return { free, used, limit, foreign, closedFor }
