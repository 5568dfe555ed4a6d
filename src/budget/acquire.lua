--[[
  Takes one slot of a token's budget for one call, if the token's limit, the instance's gate and its pace allow it.
  A slot counts from here until `per` after the call's answer (settle.lua), or, if no answer is ever reported, until
  the call's time-out and `per` have passed: at no moment can the server have counted a request of ours that no slot
  stands for.

  KEYS[1]  slots: sorted set, slot id by the time at which it is given back
  KEYS[2]  bucket: hash {known, limit, foreign, foreignUntil, closedUntil, probe, probeUntil}
  KEYS[3]  gate of the instance: hash {reason, until, streak, probe, probeUntil}
  KEYS[4]  pace of the instance: time of its last scheduled reset

  ARGV[1]  slot id
  ARGV[2]  '1' for scheduled work, which leaves the reserve alone; '0' for a one-off
  ARGV[3]  max, requests in any `per`, as configured
  ARGV[4]  reserve, slots left to one-offs
  ARGV[5]  hold, ms that a slot without an answer counts
  ARGV[6]  pace, ms between two scheduled resets (0: none, or this is not one)
  ARGV[7]  probe lease, ms: a probe without an answer for so long is taken for dead, and another may go

  Returns  {verdict, ms}; verdicts are named in budget.ts; ms: when to ask again (0 when granted)
]]
local slotsKey, bucketKey, gateKey, paceKey = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local slot, scheduled = ARGV[1], ARGV[2] == '1'
local max, reserve, hold, pace = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local probeLease = tonumber(ARGV[7])

local GRANTED, BUDGET, RESERVED, GATE, PACE, PROBING = 0, 1, 2, 3, 4, 5
local PROBE_POLL = 250

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function field(key, name)
  return tonumber(redis.call('HGET', key, name) or 0)
end

-- A gate that was closed lets one call through to see whether the trouble is over.
local gated = redis.call('EXISTS', gateKey) == 1
if gated then
  local untilTime = field(gateKey, 'until')
  if untilTime > now then
    return { GATE, untilTime - now }
  elseif field(gateKey, 'probeUntil') > now then
    return { GATE, PROBE_POLL }
  end
end

local closedUntil = field(bucketKey, 'closedUntil')
if closedUntil > now then
  return { BUDGET, closedUntil - now }
end

-- Without memory of the server's count one call goes alone, and its answer tells.
local known = redis.call('HEXISTS', bucketKey, 'known') == 1
if not known and field(bucketKey, 'probeUntil') > now then
  return { PROBING, PROBE_POLL }
end

-- Where the server's limit is lower than configured, so is the reserve.
local limit = tonumber(redis.call('HGET', bucketKey, 'limit') or max)
if limit < max then
  reserve = math.ceil(reserve * limit / max)
  max = limit
end
local foreignUntil = field(bucketKey, 'foreignUntil')
local foreign = foreignUntil > now and field(bucketKey, 'foreign') or 0

local used = redis.call('ZCOUNT', slotsKey, '(' .. now, '+inf') + foreign

-- When enough of what counts now will have stopped counting for one more to fit under `ceiling`.
local function waitFor(ceiling)
  local surplus = used - ceiling
  local due = redis.call('ZRANGEBYSCORE', slotsKey, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', surplus, 1)
  local at = due[2] and math.ceil(tonumber(due[2])) or now + hold
  if foreign > 0 and foreignUntil < at then
    at = foreignUntil
  end
  return math.max(at - now, 1)
end

if used >= max then
  return { BUDGET, waitFor(max) }
end

if scheduled then
  local ceiling = math.max(max - reserve, 1)
  if used >= ceiling then
    return { RESERVED, waitFor(ceiling) }
  end
  if pace > 0 then
    local nextAt = tonumber(redis.call('GET', paceKey) or 0) + pace
    if nextAt > now then
      return { PACE, nextAt - now }
    end
    redis.call('SET', paceKey, now, 'PX', pace)
  end
end

redis.call('ZADD', slotsKey, now + hold, slot)
redis.call('PEXPIRE', slotsKey, hold * 2)
if not known then
  redis.call('HSET', bucketKey, 'probe', slot, 'probeUntil', now + probeLease)
  redis.call('PEXPIRE', bucketKey, hold * 2)
end
if gated then
  redis.call('HSET', gateKey, 'probe', slot, 'probeUntil', now + probeLease)
end
return { GRANTED, 0 }
