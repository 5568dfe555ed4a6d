--[[
  Settles a slot by how its call ended, and learns from what the answer says of the server's count.

  KEYS[1]  slots: sorted set, slot id by the time at which it is given back
  KEYS[2]  bucket: hash {known, limit, foreign, foreignUntil, closedUntil, refusals, probe, probeUntil,
           latency}
  KEYS[3]  gate of the instance: hash {reason, cause, until, blamedUntil, streak, closedAt, since, needs, last,
           stoodBackAt, probe, probeUntil, readBack}
  KEYS[4]  row of resets: sorted set, cause/group by the time of its first failure that no later success disproves
  KEYS[5]  row of reads: the same
  KEYS[6]  blamed: hash, group by the kind of call whose failure closed the gate or kept it closed
  KEYS[7]  culprits: hash, group by "cause kind until": its failures of that cause are its own
  KEYS[8]  verification slots: sorted set, the slots of periodic verifications by the time at which they are given back

  ARGV[1]  slot id
  ARGV[2]  'answered', 'refunded' (the call was never sent), or 'silent' (no answer: the slot keeps its TTL)
  ARGV[3]  per, ms
  ARGV[4]  how long the call took, ms
  ARGV[5]  the server's limit, or '' when it did not say; then 6 and 7 are '' too
  ARGV[6]  the server's remaining requests
  ARGV[7]  ms until the server's counter resets
  ARGV[8]  '1' if the server refused because its limit is used up
  ARGV[9]  what this call shows of the instance: 'works' opens its gate, if the call started after the gate closed and
           shows that the reason is over; 'trouble' keeps the probe for the caller, who has the failure judged next;
           'unclear' lets another call be the probe
  ARGV[10] slot TTL, ms that a slot without an answer counts
  ARGV[11] group, as the gate knows it
  ARGV[12] kind of call: 'reset' or 'read'
  ARGV[13] ms for which a culprit is remembered
  ARGV[14] ms after which the server wants to be asked again, or '' when it did not say

  Returns  {requests that others made with this token, as far as this answer shows; what the gate was closed for that
           this answer opened, or ''}
]]
local slotsKey, bucketKey, gateKey = KEYS[1], KEYS[2], KEYS[3]
local resetsKey, readsKey, blamedKey, culpritsKey = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local verificationsKey = KEYS[8]
local slot, ending, per, took = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local limit, remaining, resetIn = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local exhausted, shows, slotTtl = ARGV[8] == '1', ARGV[9], tonumber(ARGV[10])
local group, kind, culpritMs, retryAfter = ARGV[11], ARGV[12], tonumber(ARGV[13]), tonumber(ARGV[14])

-- A longer Retry-After is capped at this.
local MAX_RETRY_AFTER = 600000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if redis.call('HGET', bucketKey, 'probe') == slot then
  redis.call('HDEL', bucketKey, 'probe', 'probeUntil')
end
-- When the call started. One whose slot is gone started too long ago to show anything.
local startedAt = tonumber(redis.call('ZSCORE', slotsKey, slot) or 0) - slotTtl

-- A call that works disproves earlier failures. A reset disproves those of both kinds, a read only those of reads.
local function disprove()
  redis.call('ZREMRANGEBYSCORE', readsKey, '-inf', '(' .. startedAt)
  if kind == 'reset' then
    redis.call('ZREMRANGEBYSCORE', resetsKey, '-inf', '(' .. startedAt)
  end
  local _, failed = string.match(redis.call('HGET', culpritsKey, group) or '', '^(%S+) (%S+) ')
  if failed and (kind == 'reset' or failed == 'read') then
    redis.call('HDEL', culpritsKey, group)
  end
  local blamedFor = redis.call('HGET', blamedKey, group)
  if blamedFor and (kind == 'reset' or blamedFor == 'read') then
    redis.call('HDEL', blamedKey, group)
  end
end

-- Other groups' calls work, so the blamed groups failed by their own fault.
local function convictBlamed(cause)
  local blamed = redis.call('HGETALL', blamedKey)
  for i = 1, #blamed, 2 do
    local verdict = cause .. ' ' .. blamed[i + 1] .. ' ' .. string.format('%d', now + culpritMs)
    redis.call('HSET', culpritsKey, blamed[i], verdict)
  end
  redis.call('PEXPIRE', culpritsKey, culpritMs)
end

local opened = ''
if shows == 'works' then
  local gate = redis.call('HMGET', gateKey, 'reason', 'cause', 'closedAt', 'needs')
  if not gate[1] then
    disprove()
  elseif startedAt > tonumber(gate[3] or 0) and redis.call('HGET', gateKey, 'readBack') ~= slot then
    disprove()
    if kind == 'reset' or gate[4] ~= 'reset' then
      opened = gate[1]
      convictBlamed(gate[2])
      redis.call('DEL', gateKey, blamedKey)
    end
  end
end
if shows ~= 'trouble' and redis.call('HGET', gateKey, 'probe') == slot then
  redis.call('HDEL', gateKey, 'probe', 'probeUntil')
end

if ending == 'refunded' then
  redis.call('ZREM', slotsKey, slot)
  redis.call('ZREM', verificationsKey, slot)
  return { 0, opened }
elseif ending == 'silent' then
  return { 0, opened }
end

-- Settled before, and repeated because the reply was lost; or too late to learn from, after an outage of Redis.
local givenBackAt = tonumber(redis.call('ZSCORE', slotsKey, slot) or 0)
if givenBackAt <= now + per then
  return { 0, opened }
end
redis.call('ZADD', slotsKey, now + per, slot)
redis.call('ZADD', verificationsKey, 'XX', now + per, slot)
local latency = tonumber(redis.call('HGET', bucketKey, 'latency') or took)
redis.call('HSET', bucketKey, 'latency', latency + (took - latency) / 8)

local foreign = 0
if limit then
  -- The server counted after this slot was taken: slots given back since then stood for requests that it still counted.
  local ours = redis.call('ZCOUNT', slotsKey, givenBackAt - slotTtl, '+inf')
  foreign = math.max(limit - remaining - ours, 0)
  local back = now + math.min(math.max(resetIn, 1), per)
  redis.call('HSET', bucketKey, 'known', 1, 'limit', limit, 'foreign', foreign, 'foreignUntil', back)
else
  redis.call('HSET', bucketKey, 'known', 1)
end
local keepFor = per * 2
if exhausted then
  -- For as long as the server says (capped), and at least for a time that doubles with each further refusal. Calls that
  -- were in flight when the bucket closed do not count as further refusals. Then one call goes alone, and its answer
  -- shows more.
  local closedFor = retryAfter and math.min(retryAfter, MAX_RETRY_AFTER) or (not limit and per or 1)
  closedFor = math.max(closedFor, limit and math.min(resetIn, per) or 1)
  local closedUntil = tonumber(redis.call('HGET', bucketKey, 'closedUntil') or 0)
  if closedUntil <= now then
    local refusals = redis.call('HINCRBY', bucketKey, 'refusals', 1)
    if refusals > 1 then
      closedFor = math.max(closedFor, math.min(1000 * 2 ^ math.min(refusals - 2, 20), per))
    end
  end
  redis.call('HSET', bucketKey, 'closedUntil', math.max(now + closedFor, closedUntil))
  redis.call('HDEL', bucketKey, 'known')
  keepFor = keepFor + closedFor
else
  redis.call('HDEL', bucketKey, 'refusals')
end
redis.call('PEXPIRE', bucketKey, keepFor)

-- Slots that were given back long ago are not needed.
redis.call('ZREMRANGEBYSCORE', slotsKey, '-inf', now - per)
return { foreign, opened }
