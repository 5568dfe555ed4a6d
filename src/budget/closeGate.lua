--[[
  Closes an instance's gate for a time that doubles with every closing in a row. Calls that were already in flight when
  it closed report the same trouble: they do not double it again.

  KEYS[1]  gate of the instance: hash {reason, until, streak, probe, probeUntil}

  ARGV[1]  reason
  ARGV[2]  ms of the first closing
  ARGV[3]  ms at the most

  Returns  {ms until it opens, closings in a row, '1' if this call closed it}
]]
local gateKey = KEYS[1]
local reason, first, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local gate = redis.call('HMGET', gateKey, 'reason', 'until', 'streak')
local closedUntil, streak = tonumber(gate[2] or 0), tonumber(gate[3] or 0)
if closedUntil > now and gate[1] == reason then
  return { closedUntil - now, streak, '0' }
end

streak = gate[1] == reason and streak + 1 or 1
local closedFor = math.min(first * 2 ^ math.min(streak - 1, 20), most)
local opensAt = math.max(now + closedFor, closedUntil)
redis.call('DEL', gateKey)
redis.call('HSET', gateKey, 'reason', reason, 'until', opensAt, 'streak', streak)
-- An instance left in peace for long enough starts again with the first closing.
redis.call('PEXPIRE', gateKey, opensAt - now + most * 2)
return { opensAt - now, streak, '1' }
