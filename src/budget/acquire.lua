--[[
  Takes one slot of a token's budget for one call, if the token's limit, the instance's gate and its pace allow it.
  A slot counts from here until `per` after the call's answer (settle.lua), or, if no answer is ever reported, until
  the call's time-out and `per` have passed: at no moment can the server have counted a request of ours that no slot
  stands for.

  A caller that gets no slot joins a wait list and learns when to ask again: the first waiter shortly before the first slot
  is given back, the second before the second is. A waiter that asks shortly before gets the slot for that moment, so few
  ask without success. A wait list only orders the waiters: the slots alone enforce the limit. A call does a bounded amount
  of work, however long the list is. A read-back comes before all waiters, because consumers may hold a dead link until it
  is made: it joins no list, and asks for each slot that is given back until it has one.

  KEYS[1]  slots: sorted set, slot id by the time at which it is given back
  KEYS[2]  bucket: hash {known, limit, foreign, foreignUntil, closedUntil, refusals, probe, probeUntil, latency}
  KEYS[3]  wait list of one-offs: sorted set, waiter by its turn, the time at which it was first to ask again
  KEYS[4]  lag of that list: ms by which every turn on it is late
  KEYS[5]  wait list of scheduled work, which comes after all one-offs
  KEYS[6]  lag of that list
  KEYS[7]  gate of the instance: hash {reason, cause, until, blamedUntil, streak, closedAt, since, needs, last,
           stoodBackAt, probe, probeUntil, readBack}; readBack: slot of the read that the pause let through
  KEYS[8]  pace of the instance: time of its last scheduled reset
  KEYS[9]  blamed: hash of the groups whose failures closed the gate
  KEYS[10] due: sorted set of the instance's scheduled groups
  KEYS[11] wait lists: set of the buckets that have one
  KEYS[12] verification slots: sorted set, the slots of periodic verifications by the time at which they are given back
  KEYS[13] give way: when a periodic verification last went ahead

  ARGV[1]  slot id
  ARGV[2]  waiter: the same each time that the same work asks
  ARGV[3]  class: 'scheduled', which leaves the reserve alone, 'verification', which also keeps to its share and gives way
           to whatever waits, 'oneOff' or 'readBack'
  ARGV[4]  max, requests in any `per`, as configured
  ARGV[5]  per, ms
  ARGV[6]  reserve, slots left to one-offs
  ARGV[7]  slot TTL, ms that a slot without an answer counts
  ARGV[8]  pace, ms between two scheduled resets (0: none, or this is not one)
  ARGV[9]  probe lease, ms: a probe without an answer for this long is presumed dead, and another may go
  ARGV[10] group, as the gate knows it
  ARGV[11] bucket, the name of this token's keys
  ARGV[12] share of the limit that periodic verifications may use

  Returns  {verdict, ms}; verdicts are named in budget.ts; ms: when to ask again, or when granted, from when on to send
]]
local slotsKey, bucketKey, gateKey, paceKey = KEYS[1], KEYS[2], KEYS[7], KEYS[8]
local oneOffs, scheduledWork = { key = KEYS[3], lagKey = KEYS[4] }, { key = KEYS[5], lagKey = KEYS[6] }
local slot, waiter, readBack, verification = ARGV[1], ARGV[2], ARGV[3] == 'readBack', ARGV[3] == 'verification'
local scheduled = ARGV[3] == 'scheduled' or verification
local max, per, reserve, slotTtl = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local pace, probeLease = tonumber(ARGV[8]), tonumber(ARGV[9])
local blamedKey, dueKey, group = KEYS[9], KEYS[10], ARGV[10]
local waitListsKey, bucket = KEYS[11], ARGV[11]
local verificationsKey, giveWayKey, share = KEYS[12], KEYS[13], tonumber(ARGV[12])

local GRANTED, BUDGET, RESERVED, EXHAUSTED, PROBING, GATE, PACE, BLAMED, SHARE, GIVES_WAY =
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9
-- While a probe is out, no caller asks again sooner than this.
local PROBE_POLL = 100
-- A blamed group yields for this long, so that another group's call may be the probe.
local STAND_BACK = 5000
-- The gate may open at any moment: a blamed group asks again after at most this time.
local BLAMED_POLL = 15000
-- A slot that is given back within this time is granted for that moment: asking again would cost more.
local SOON = 250
-- Waiters should ask this much early, because they may be late.
local LEAD = 100
-- A waiter that has not asked this long after its turn is removed.
local GRACE = 2000
-- One call removes at most this many; the others do not count.
local BATCH = 1000
-- While other work waits, verification makes one read in so many that its share allows.
local GIVE_WAY = 10

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The same call again: its answer was lost.
local granted = redis.call('ZSCORE', slotsKey, slot)
if granted then
  return { GRANTED, math.max(granted - slotTtl - now, 0) }
end

local function field(key, name)
  return tonumber(redis.call('HGET', key, name) or 0)
end

-- When to ask again while a probe is out: after its likely answer, or, once that is late, when it has been out for twice
-- as long.
local function untilProbed(probeUntil)
  local out = now - (probeUntil - probeLease)
  local likely = 2 * field(bucketKey, 'latency') - out
  return math.min(math.ceil(math.max(likely, out, PROBE_POLL)), probeUntil - now)
end

-- Once the pause of a closed gate is over, one call at a time goes through it as a probe. It is a call of a group that is
-- not blamed, if one waits, and never of the same group twice in a row.
local gated = redis.call('EXISTS', gateKey) == 1
local untilTime = gated and field(gateKey, 'until') or 0
-- The group whose call closed the gate is read back once before the pause is over: the call may have replaced its link.
local readsThrough = false
if readBack and untilTime > now then
  local gate = redis.call('HMGET', gateKey, 'last', 'reason', 'readBack')
  readsThrough = gate[1] == group and gate[2] ~= 'throttled' and not gate[3]
end
if gated and not readsThrough then
  if untilTime > now then
    return { GATE, untilTime - now }
  elseif field(gateKey, 'probeUntil') > now then
    return { PROBING, untilProbed(field(gateKey, 'probeUntil')) }
  elseif redis.call('HEXISTS', blamedKey, group) == 1 then
    redis.call('HSETNX', gateKey, 'stoodBackAt', now)
    local blamed = redis.call('HLEN', blamedKey)
    local standBack = redis.call('ZCARD', dueKey) > blamed and STAND_BACK or 0
    if blamed > 1 and redis.call('HGET', gateKey, 'last') == group then
      standBack = standBack + STAND_BACK
    end
    local at = math.max(field(gateKey, 'stoodBackAt') + standBack, field(gateKey, 'blamedUntil'))
    if at > now then
      return { BLAMED, math.min(at - now, BLAMED_POLL) }
    end
  end
end

local closedUntil = field(bucketKey, 'closedUntil')
if closedUntil > now then
  return { EXHAUSTED, closedUntil - now }
end

-- While the server's count is unknown, one call goes alone, and its answer shows the count. The same applies once a count
-- that others had used has reset: they may use the next one too.
local foreign, foreignUntil = field(bucketKey, 'foreign'), field(bucketKey, 'foreignUntil')
local known = redis.call('HEXISTS', bucketKey, 'known') == 1
if foreign > 0 and foreignUntil <= now then
  foreign, known = 0, false
end
if not known and field(bucketKey, 'probeUntil') > now then
  return { PROBING, untilProbed(field(bucketKey, 'probeUntil')) }
end

-- If the server's limit is lower than configured, so is the reserve.
local limit = tonumber(redis.call('HGET', bucketKey, 'limit') or max)
if limit < max then
  reserve = math.ceil(reserve * limit / max)
  max = limit
end

local inUse = redis.call('ZCOUNT', slotsKey, '(' .. now, '+inf')
local used = inUse + foreign
local ceiling = scheduled and math.max(max - reserve, 1) or max

-- When the nth of the slots in use is given back. Second result: whether that is exact. For a slot without an answer yet
-- (its score is when it would be given back without one) it is estimated: the answers of m calls are spread evenly over
-- twice the mean.
local latency = field(bucketKey, 'latency')
local function givenBack(n)
  local reply = redis.call('ZRANGEBYSCORE', slotsKey, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', n - 1, 1)
  local at = tonumber(reply[2] or now)
  if at <= now + per then
    return at, true
  end
  local inFlight = redis.call('ZCOUNT', slotsKey, '(' .. now + per, '+inf')
  local answeredAt = at - slotTtl + 2 * latency * (n - inUse + inFlight) / (inFlight + 1)
  return math.min(math.max(answeredAt, now) + per, at)
end

-- When n of the requests that count now no longer count, including slots that are taken again in the meantime.
local function freed(n)
  if n <= inUse then
    return givenBack(n)
  elseif n <= used then
    return foreignUntil
  end
  local rounds, rest = math.floor((n - 1) / ceiling), (n - 1) % ceiling + 1
  local first = rest <= inUse and givenBack(rest) or math.max(foreignUntil, now + per)
  return first + rounds * (per + latency / 2)
end

local mine = scheduled and scheduledWork or oneOffs
local turn = tonumber(redis.call('ZSCORE', mine.key, waiter) or nil)

-- Each list has a time of its own, which is behind by its lag. By that time, a waiter's turn and place never change.
for _, list in ipairs({ oneOffs, scheduledWork }) do
  list.lag = tonumber(redis.call('GET', list.lagKey) or 0)
  list.now = now - list.lag
  local expired = redis.call('ZCOUNT', list.key, '-inf', '(' .. list.now - GRACE)
  if expired > 0 then
    redis.call('ZREMRANGEBYRANK', list.key, 0, math.min(expired, BATCH) - 1)
  end
  list.expired = math.max(expired - BATCH, 0)
  list.waiting = redis.call('ZCARD', list.key) - list.expired
  list.due = redis.call('ZCOUNT', list.key, list.now - GRACE, list.now)
end

-- Waiters whose turn has come go first, whatever their place.
local ahead = 0
if not readBack and not (turn and turn <= mine.now) then
  ahead = mine.due
end
if scheduled then
  ahead = ahead + oneOffs.due
end

-- A share of less than one read stands for one in a longer time: its slot keeps the next one away for the rest of that
-- time. If other work uses the whole limit for long enough, one verification waits for a slot like scheduled work, so that
-- links are still verified.
local reads = max * share
if verification then
  local atOnce, rest = math.max(math.floor(reads + 1e-9), 1), math.max(per / reads - per, 0)
  redis.call('ZREMRANGEBYSCORE', verificationsKey, '-inf', now - rest)
  local tooMany = redis.call('ZCARD', verificationsKey) - atOnce
  if tooMany >= 0 then
    local at = tonumber(redis.call('ZRANGE', verificationsKey, tooMany, tooMany, 'WITHSCORES')[2])
    if at > now + per then
      -- It has no answer yet.
      at = math.min(at, now + 2 * latency + per)
    end
    return { SHARE, math.ceil(at + rest - now) }
  end
  local crowded = used >= ceiling or oneOffs.waiting + scheduledWork.waiting > 0
  local giveWayFor = GIVE_WAY * per / reads
  local since = now - tonumber(redis.call('GET', giveWayKey) or 0)
  if crowded and not turn and since >= 0 and since < giveWayFor then
    return { GIVES_WAY, per }
  end
  redis.call('SET', giveWayKey, now, 'PX', math.ceil(giveWayFor))
end

local startsAt = now
if used + ahead >= ceiling then
  local before = mine.waiting
  if readBack then
    before = 0
  elseif turn then
    -- Without a rank it was among the removed ones, which were ahead of all others.
    before = math.max((redis.call('ZRANK', mine.key, waiter) or 0) - mine.expired, 0)
  end
  if scheduled then
    before = before + oneOffs.waiting
  end
  local at, exact = freed(used - ceiling + before + 1)
  at = math.ceil(at)
  if not exact or at > now + SOON then
    -- An estimate, or the time at which others' requests stop counting, is not granted ahead of time.
    at = math.max(at - LEAD, now + LEAD)
    if readBack then
      return { BUDGET, at - now }
    end
    local last = tonumber(redis.call('ZRANGE', mine.key, -1, -1, 'WITHSCORES')[2] or 0)
    if mine.waiting == 0 then
      mine.lag = 0
    end
    turn = turn or math.max(at - mine.lag, last)
    mine.lag = math.max(mine.lag, at - turn)
    redis.call('ZADD', mine.key, turn, waiter)
    local expiry = math.max(last, turn) + mine.lag - now + slotTtl
    redis.call('PEXPIRE', mine.key, expiry)
    redis.call('SADD', waitListsKey, bucket)
    redis.call('SET', mine.lagKey, mine.lag, 'PX', expiry)
    if scheduled and used < ceiling then
      -- Slots are reserved for waiters whose turn has come: by then they have taken them, or are gone.
      at = math.min(at, now + GRACE)
    end
    return { used < max and RESERVED or BUDGET, at - now }
  end
  startsAt = math.max(at, now)
end
redis.call('ZREM', mine.key, waiter)

if pace > 0 then
  local nextAt = tonumber(redis.call('GET', paceKey) or 0) + pace
  if nextAt > startsAt then
    return { PACE, nextAt - now }
  end
  redis.call('SET', paceKey, startsAt, 'PX', pace + startsAt - now)
end

redis.call('ZADD', slotsKey, startsAt + slotTtl, slot)
redis.call('PEXPIRE', slotsKey, slotTtl * 2)
if verification then
  redis.call('ZADD', verificationsKey, startsAt + slotTtl, slot)
  redis.call('PEXPIRE', verificationsKey, slotTtl * 2 + math.ceil(per / reads))
end
if not known then
  redis.call('HDEL', bucketKey, 'known', 'foreign')
  redis.call('HSET', bucketKey, 'probe', slot, 'probeUntil', now + probeLease)
  redis.call('PEXPIRE', bucketKey, slotTtl * 2)
end
if readsThrough then
  redis.call('HSET', gateKey, 'readBack', slot)
elseif gated then
  redis.call('HSET', gateKey, 'probe', slot, 'probeUntil', now + probeLease)
end
return { GRANTED, startsAt - now }
