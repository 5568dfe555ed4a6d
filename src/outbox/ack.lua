--[[
  Removes published events from an outbox. Releases the lease in the same step if the outbox is empty, so an event that
  was committed meanwhile is either seen here or finds the lease free. Run again after a lost reply, it removes nothing.

  KEYS[1]  the outbox: list, oldest first
  KEYS[2]  the publisher's lease

  ARGV[1]  publisher id
  ARGV[2]  number of events to remove, starting with the oldest
  ARGV[3]  the last of them, as the outbox holds it

  Returns  events that remain; -1 if the lease was lost and nothing was removed
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
