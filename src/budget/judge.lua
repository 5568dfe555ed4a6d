--[[
  Judges whether a failed call is the group's failure or the instance's. Closes the instance's gate if it may be the
  instance's, and extends the pause if a probe has failed.

  A failure belongs to the group if another group's call of the same kind works afterwards (settle.lua convicts the
  blamed), and to the instance if that fails too.

  KEYS[1]  gate: hash {reason, cause, until, blamedUntil, streak, closedAt, since, needs, last, stoodBackAt, probe,
           probeUntil, readBack}; closedAt: start of this pause; since: start of the first pause in a row
  KEYS[2]  row of resets: sorted set, cause/group by the time of its first failure that no later success disproves
  KEYS[3]  row of reads: the same
  KEYS[4]  blamed: hash, group by the kind of call whose failure closed the gate or kept it closed
  KEYS[5]  culprits: hash, group by "cause kind until": its failures of that cause are its own
  KEYS[6]  due: sorted set of the instance's scheduled groups
  KEYS[7]  gates: set of the instances that have a gate

  ARGV[1]  group
  ARGV[2]  kind of call: 'reset' or 'read'
  ARGV[3]  scope of the error: 'group', 'call' or 'instance'
  ARGV[4]  cause: failures of one cause count together
  ARGV[5]  reason, for people
  ARGV[6]  ms of the first pause
  ARGV[7]  ms of the longest pause
  ARGV[8]  'reset' if only a reset shows that the reason is over, else 'read'
  ARGV[9]  when the call started
  ARGV[10] slot of the call
  ARGV[11] groups in a row that make it the instance's failure
  ARGV[12] ms that such a row must last
  ARGV[13] ms after which a failure belongs to no row any more
  ARGV[14] ms for which a culprit is remembered
  ARGV[15] instance

  Returns  {verdict, change, ms until the gate lets a probe through, failed probes and closings in a row, groups in the
           row}; verdict: 'group', 'paused' or 'unproven'; change: 'closed', 'extended' or ''
]]
local gateKey, resetsKey, readsKey, blamedKey, culpritsKey, dueKey =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local group, kind, scope, cause, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local firstPause, maxPause, needs = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local startedAt, slot = tonumber(ARGV[9]), ARGV[10]
local tooMany, rowLasts = tonumber(ARGV[11]), tonumber(ARGV[12])
local rowMs, culpritMs = tonumber(ARGV[13]), tonumber(ARGV[14])
local gatesKey, instance = KEYS[7], ARGV[15]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function releaseProbe()
  if redis.call('HGET', gateKey, 'probe') == slot then
    redis.call('HDEL', gateKey, 'probe', 'probeUntil')
  end
end

local function culpritFor(value)
  return string.match(value or '', '^(%S+) (%S+) (%d+)$')
end

local convictedFor, convictedBy, convictedUntil = culpritFor(redis.call('HGET', culpritsKey, group))
if convictedFor == cause and tonumber(convictedUntil) > now then
  redis.call('HSET', culpritsKey, group, cause .. ' ' .. convictedBy .. ' ' .. string.format('%d', now + culpritMs))
  redis.call('PEXPIRE', culpritsKey, culpritMs)
  releaseProbe()
  return { 'group', '', 0, 0, 0 }
end

local gate = redis.call('HMGET', gateKey, 'cause', 'until', 'streak', 'closedAt')
local gateCause, streak = gate[1], tonumber(gate[3] or 0)
local closedUntil, closedAt = tonumber(gate[2] or 0), tonumber(gate[4] or 0)
local isProbe = gateCause and closedUntil <= now and startedAt > closedAt
local wasBlamed = gateCause and redis.call('HEXISTS', blamedKey, group) == 1

local row = kind == 'reset' and resetsKey or readsKey
redis.call('ZREMRANGEBYSCORE', row, '-inf', now - rowMs)
redis.call('ZADD', row, 'NX', now, cause .. '/' .. group)
redis.call('PEXPIRE', row, rowMs)

-- The groups in the row, by the kind of call that failed. A failed reset outweighs a failed read.
local kinds, inRow, resetsInRow, rowStartedAt = {}, 0, 0, now
for key, of in pairs({ [readsKey] = 'read', [resetsKey] = 'reset' }) do
  local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for i = 1, #members, 2 do
    if string.sub(members[i], 1, #cause + 1) == cause .. '/' then
      local name = string.sub(members[i], #cause + 2)
      inRow = inRow + (kinds[name] and 0 or 1)
      resetsInRow = resetsInRow + (of == 'reset' and 1 or 0)
      kinds[name] = of == 'reset' and of or kinds[name] or of
      rowStartedAt = math.min(rowStartedAt, tonumber(members[i + 1]))
    end
  end
end
-- If resets of several groups failed one after another, a read that works does not show that resets do.
if resetsInRow >= math.max(tooMany, 2) then
  needs = 'reset'
end

local function blame(name, by)
  if redis.call('HGET', blamedKey, name) ~= 'reset' then
    redis.call('HSET', blamedKey, name, by)
  end
end

local function pause(nth)
  return math.min(firstPause * 2 ^ math.min(nth - 1, 20), maxPause)
end

-- A gate without calls for long enough is forgotten.
local function keepFor(ms)
  redis.call('PEXPIRE', gateKey, ms + maxPause * 2)
  redis.call('PEXPIRE', blamedKey, ms + maxPause * 2)
end

local function closeForAll(nth)
  local ms = pause(nth)
  local since = redis.call('HGET', gateKey, 'since') or now
  redis.call('DEL', gateKey)
  redis.call('HSET', gateKey, 'reason', reason, 'cause', cause, 'needs', needs, 'until', now + ms, 'streak', nth)
  redis.call('HSET', gateKey, 'closedAt', now, 'since', since, 'last', group)
  redis.call('SADD', gatesKey, instance)
  keepFor(ms)
  return ms
end

local function extendForBlamed(nth)
  local ms = pause(nth)
  redis.call('HDEL', gateKey, 'probe', 'probeUntil', 'stoodBackAt')
  redis.call('HSET', gateKey, 'reason', reason, 'cause', cause, 'needs', needs, 'blamedUntil', now + ms)
  redis.call('HSET', gateKey, 'streak', nth, 'last', group)
  keepFor(ms)
  return ms
end

local function forgiveCulprits()
  local culprits = redis.call('HGETALL', culpritsKey)
  for i = 1, #culprits, 2 do
    if culpritFor(culprits[i + 1]) == cause then
      redis.call('HDEL', culpritsKey, culprits[i])
    end
  end
end

if gateCause and (gateCause == cause or scope == 'instance') then
  if not isProbe then
    -- It was in flight when the gate closed: the same failure, which does not extend the pause.
    blame(group, kind)
    releaseProbe()
    return { 'paused', '', math.max(closedUntil - now, 0), streak, inRow }
  end
  if wasBlamed and scope == 'group' then
    -- This was its second call.
    releaseProbe()
    return { 'group', '', 0, 0, inRow }
  end
  local isSame = gateCause == cause
  local nth = isSame and streak + 1 or 1
  local ms
  if wasBlamed and redis.call('ZCARD', dueKey) > redis.call('HLEN', blamedKey) then
    ms = extendForBlamed(nth)
  else
    if isSame and not wasBlamed then
      forgiveCulprits()
    end
    blame(group, kind)
    ms = closeForAll(nth)
  end
  return { 'paused', isSame and 'extended' or 'closed', ms, nth, inRow }
end

if closedUntil <= now and inRow >= tooMany and now - rowStartedAt >= rowLasts then
  if not gateCause then
    redis.call('DEL', blamedKey)
  end
  for name, by in pairs(kinds) do
    blame(name, by)
    if scope ~= 'instance' then
      redis.call('ZREM', resetsKey, cause .. '/' .. name)
      redis.call('ZREM', readsKey, cause .. '/' .. name)
    end
  end
  return { 'paused', 'closed', closeForAll(1), 1, inRow }
end
releaseProbe()
return { 'unproven', '', 0, 0, inRow }
