--[[
  Reports how the call ended that a slot was taken for, and learns from what the server said of its count.

  KEYS[1]  slots: sorted set, slot id by the time at which it is given back
  KEYS[2]  bucket: hash {known, limit, foreign, foreignUntil, closedUntil, probe, probeUntil, latency}
  KEYS[3]  gate of the instance: hash {reason, until, streak, probe, probeUntil}
  KEYS[4]  suspects of the instance: set of groups that failed in a row

  ARGV[1]  slot id
  ARGV[2]  'answered', 'refunded' (it was surely never sent), or 'silent' (no answer: the slot keeps its time)
  ARGV[3]  per, ms
  ARGV[4]  how long the call took, ms
  ARGV[5]  the server's limit, or '' when it did not say; then 6 and 7 are '' too
  ARGV[6]  the server's remaining requests
  ARGV[7]  ms until the server's counter resets
  ARGV[8]  '1' if the server refused because its limit is used up
  ARGV[9]  what this answer shows of the instance: 'works' opens its gate; 'trouble' leaves the gate to the caller, who
           closes it next; 'unclear' lets somebody else try
  ARGV[10] hold, ms that a slot without an answer counts

  Returns  {requests that others made with this token, as far as this answer shows; what the gate was closed for that
           this answer opened, or ''}
]]
local slotsKey, bucketKey, gateKey, suspectsKey = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local slot, ending, per, took = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local limit, remaining, resetIn = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local exhausted, shown, hold = ARGV[8] == '1', ARGV[9], tonumber(ARGV[10])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if redis.call('HGET', bucketKey, 'probe') == slot then
  redis.call('HDEL', bucketKey, 'probe', 'probeUntil')
end
local opened = ''
if shown == 'works' then
  opened = redis.call('HGET', gateKey, 'reason') or ''
  redis.call('DEL', gateKey, suspectsKey)
elseif shown == 'unclear' and redis.call('HGET', gateKey, 'probe') == slot then
  redis.call('HDEL', gateKey, 'probe', 'probeUntil')
end

if ending == 'refunded' then
  redis.call('ZREM', slotsKey, slot)
  return { 0, opened }
elseif ending == 'silent' then
  return { 0, opened }
end

-- Told before, and again because the answer to that was lost; or told too late to learn from, after an outage of Redis.
local givenBackAt = tonumber(redis.call('ZSCORE', slotsKey, slot) or 0)
if givenBackAt <= now + per then
  return { 0, opened }
end
redis.call('ZADD', slotsKey, now + per, slot)
local latency = tonumber(redis.call('HGET', bucketKey, 'latency') or took)
redis.call('HSET', bucketKey, 'latency', latency + (took - latency) / 8)

local foreign = 0
if limit then
  -- The server counted after this slot began: what was given back since then stood for requests that it still saw.
  local ours = redis.call('ZCOUNT', slotsKey, givenBackAt - hold, '+inf')
  foreign = math.max(limit - remaining - ours, 0)
  local back = now + math.min(math.max(resetIn, 1), per)
  redis.call('HSET', bucketKey, 'known', 1, 'limit', limit, 'foreign', foreign, 'foreignUntil', back)
  if exhausted then
    redis.call('HSET', bucketKey, 'closedUntil', back)
  end
else
  redis.call('HSET', bucketKey, 'known', 1)
  if exhausted then
    redis.call('HSET', bucketKey, 'closedUntil', now + per)
  end
end
redis.call('PEXPIRE', bucketKey, per * 2)

-- Slots long given back are of no use to anybody.
redis.call('ZREMRANGEBYSCORE', slotsKey, '-inf', now - per)
return { foreign, opened }
