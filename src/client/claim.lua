--[[
  Asks whether an event may be delivered to the handler now: no older revision of a group after a newer one, one event
  of a group at a time, and no handled event again.

  KEYS[1]  last handled: hash, group → "<revision>:<1 if handled, else 0>" of the highest revision delivered
  KEYS[2]  lease of the group: string, the handler that has it

  ARGV[1]  group
  ARGV[2]  revision
  ARGV[3]  handler id
  ARGV[4]  lease, ms

  Returns  0: deliver it; -1: drop it, a newer one was delivered or this one was handled; else ms to wait, while
           another handler has the lease
]]
local lastKey, leaseKey = KEYS[1], KEYS[2]
local group, revision, handler, lease = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local highest, handled = string.match(redis.call('HGET', lastKey, group) or '-1:1', '^(-?%d+):(%d)$')
highest = tonumber(highest)
if highest > revision or (highest == revision and handled == '1') then
  return -1
end
local holder = redis.call('GET', leaseKey)
if holder and holder ~= handler then
  return math.max(redis.call('PTTL', leaseKey), 1)
end
redis.call('SET', leaseKey, handler, 'PX', lease)
redis.call('HSET', lastKey, group, ARGV[2] .. ':0')
return 0
