--[[
  Reads the oldest events of an outbox for the one publisher that holds its lease. Acquires or renews that lease.

  KEYS[1]  the outbox: list, oldest first
  KEYS[2]  the publisher's lease

  ARGV[1]  publisher id
  ARGV[2]  lease, ms
  ARGV[3]  maximum number of events

  Returns  the events as JSON, oldest first; false if another publisher holds the lease
]]
local outboxKey, leaseKey = KEYS[1], KEYS[2]
local publisher, lease, max = ARGV[1], ARGV[2], tonumber(ARGV[3])

local holder = redis.call('GET', leaseKey)
if holder and holder ~= publisher then
  return false
end
redis.call('SET', leaseKey, publisher, 'PX', lease)
return redis.call('LRANGE', outboxKey, 0, max - 1)
