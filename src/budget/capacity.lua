--[[
  How many calls of scheduled work a token can serve within a horizon, and how much of its limit is used.

  KEYS[1]  slots: sorted set, slot id by the time at which it is given back
  KEYS[2]  bucket: hash {known, limit, foreign, foreignUntil, closedUntil, refusals, probe, probeUntil, latency}
  KEYS[3]  wait list of one-offs: sorted set, waiter by its turn (acquire.lua)
  KEYS[4]  lag of that list, ms
  KEYS[5]  wait list of scheduled work
  KEYS[6]  lag of that list
  KEYS[7]  verification slots: sorted set, the slots of periodic verifications by the time at which they are given back

  ARGV[1]  max, requests in any `per`, as configured
  ARGV[2]  reserve, slots left to one-offs
  ARGV[3]  per, ms
  ARGV[4]  horizon, ms
  ARGV[5]  share of the limit that periodic verifications may use

  Returns  {calls that can be served, used, limit in force, requests of others, ms until the bucket opens,
           waiters that could have a slot now though their turn comes after the horizon,
           verifications that their share allows now, the same spread over the horizon}
]]
local slotsKey, bucketKey = KEYS[1], KEYS[2]
local oneOffs, scheduledWork = { key = KEYS[3], lagKey = KEYS[4] }, { key = KEYS[5], lagKey = KEYS[6] }
local max, reserve, per, horizon = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

-- As in acquire.lua: a waiter that has not asked this long after its turn is gone.
local GRACE = 2000

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
-- Waiters whose turn comes within the horizon are served before anything that is released now. Later ones are not counted:
-- they may never come.
local waiting = 0
for _, list in ipairs({ oneOffs, scheduledWork }) do
  local listNow = now - tonumber(redis.call('GET', list.lagKey) or 0)
  waiting = waiting + redis.call('ZCOUNT', list.key, listNow - GRACE, listNow + horizon)
  list.later = redis.call('ZCOUNT', list.key, '(' .. listNow + horizon, '+inf')
end
local free = math.max(ceiling - used + freed - waiting, 0)
if horizon > per and used < limit then
  -- Every slot can be used several times within the horizon.
  free = math.max(free, ceiling * math.floor(horizon / per))
end
local callable = 0
if closedFor == 0 then
  callable = math.max(math.min(limit - used - waiting, oneOffs.later), 0)
  callable = callable + math.max(math.min(ceiling - used - waiting - callable, scheduledWork.later), 0)
end
if closedFor > horizon then
  free = 0
end
-- As in acquire.lua. Spread: so that those of a whole `per` do not all start in one horizon.
local reads = limit * tonumber(ARGV[5])
local atOnce, rest = math.max(math.floor(reads + 1e-9), 1), math.max(per / reads - per, 0)
local spread = math.ceil(math.min(reads, atOnce) * horizon / per)
local readable = atOnce - redis.call('ZCOUNT', KEYS[7], '(' .. now - rest, '+inf')
if horizon > per + rest then
  -- The share can be used several times within the horizon.
  readable = spread
end
return { free, used, limit, foreign, closedFor, callable, math.max(readable, 0), spread }
