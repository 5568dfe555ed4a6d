--[[
  Removes published events from an outbox. The lease is given up only if nothing is left, in the same step: an event
  that was committed meanwhile is either seen here or finds the lease free. Run again because its answer was lost, it
  removes nothing.

  KEYS[1]  the outbox: list, oldest first
  KEYS[2]  the publisher's lease

  ARGV[1]  publisher id
  ARGV[2]  how many events to remove, from the oldest on
  ARGV[3]  the last of them, as it lies in the outbox

  Returns  events left; -1: the lease was lost, nothing was removed
]]
local outboxKey, leaseKey = KEYS[1], KEYS[2]
local publisher, published, last = ARGV[1], tonumber(ARGV[2]), ARGV[3]

if redis.call('GET', leaseKey) ~= publisher then
  return -1
end
if published > 0 and redis.call('LINDEX', outboxKey, published - 1) == last then
  redis.call('LTRIM', outboxKey, published, -1)
end
local left = redis.call('LLEN', outboxKey)
if left == 0 then
  redis.call('DEL', leaseKey)
end
return left
