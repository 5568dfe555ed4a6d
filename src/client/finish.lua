--[[
  Notes that an event was handled, or only that nobody handles its group any more.

  KEYS[1]  marks: hash, group → "<revision>:<1 if it was handled, else 0>" of the highest revision handed over
  KEYS[2]  lease of the group: string, who is handling it

  ARGV[1]  group
  ARGV[2]  revision
  ARGV[3]  handler id
  ARGV[4]  '1' if it was handled, '0' if its handler failed

  Returns  1, or 0 if somebody else handles the group by now
]]
local marksKey, leaseKey = KEYS[1], KEYS[2]
local group, revision, handler, handled = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if handled == '1' and redis.call('HGET', marksKey, group) == revision .. ':0' then
  redis.call('HSET', marksKey, group, revision .. ':1')
end
if redis.call('GET', leaseKey) ~= handler then
  return 0
end
redis.call('DEL', leaseKey)
return 1
