--[[
  Asks whether an event may be handed to the consumer now: never an older revision of a group after a newer one, never
  two of one group at once, and never one again that was handled.

  KEYS[1]  marks: hash, group → "<revision>:<1 if it was handled, else 0>" of the highest revision handed over
  KEYS[2]  lease of the group: string, who is handling it

  ARGV[1]  group
  ARGV[2]  revision
  ARGV[3]  handler id
  ARGV[4]  lease, ms

  Returns  0: hand it over; -1: drop it, a newer one was handed over or this one was handled; else ms to wait, while
           somebody else is handling this group
]]
local marksKey, leaseKey = KEYS[1], KEYS[2]
local group, revision, handler, lease = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local highest, handled = string.match(redis.call('HGET', marksKey, group) or '-1:1', '^(-?%d+):(%d)$')
highest = tonumber(highest)
if highest > revision or (highest == revision and handled == '1') then
  return -1
end
local holder = redis.call('GET', leaseKey)
if holder and holder ~= handler then
  return math.max(redis.call('PTTL', leaseKey), 1)
end
redis.call('SET', leaseKey, handler, 'PX', lease)
redis.call('HSET', marksKey, group, ARGV[2] .. ':0')
return 0
