--[[
  Releases the lease of a group, and notes whether the event was handled.

  KEYS[1]  last handled: hash, group → "<revision>:<1 if handled, else 0>" of the highest revision delivered
  KEYS[2]  lease of the group: string, the handler that has it

  ARGV[1]  group
  ARGV[2]  revision
  ARGV[3]  handler id
  ARGV[4]  '1' if the event was handled, '0' if its handler failed

  Returns  1, or 0 if another handler has the lease by now
]]
local lastKey, leaseKey = KEYS[1], KEYS[2]
local group, revision, handler, handled = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if handled == '1' and redis.call('HGET', lastKey, group) == revision .. ':0' then
  redis.call('HSET', lastKey, group, revision .. ':1')
end
if redis.call('GET', leaseKey) ~= handler then
  return 0
end
redis.call('DEL', leaseKey)
return 1
