--[[
  Moves an instance's gate back with Redis's clock, so that its pause gets no longer. A gate that was moved already stays
  as it is, so several workers may do this at once.

  KEYS[1]  gate: hash {reason, cause, until, blamedUntil, streak, closedAt, since, needs, last, stoodBackAt, probe,
           probeUntil, readBack}; closedAt: start of this pause; since: start of the first pause in a row
  KEYS[2]  row of resets: sorted set, cause/group by the time of its first failure
  KEYS[3]  row of reads: the same

  ARGV[1]  by how much the clock was set back, ms

  Returns  1 if the gate was moved, else 0
]]
local gateKey, backMs = KEYS[1], tonumber(ARGV[1])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- No call that works would disprove a failure in the future.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '(' .. now, '+inf')
redis.call('ZREMRANGEBYSCORE', KEYS[3], '(' .. now, '+inf')

local function field(name)
  return tonumber(redis.call('HGET', gateKey, name) or 0)
end

if field('probeUntil') > now then
  redis.call('HDEL', gateKey, 'probe', 'probeUntil')
end
if field('closedAt') <= now then
  return 0
end
for _, name in ipairs({ 'until', 'blamedUntil', 'closedAt', 'since', 'stoodBackAt' }) do
  local at = field(name)
  if at > 0 then
    redis.call('HSET', gateKey, name, at - backMs)
  end
end
return 1
