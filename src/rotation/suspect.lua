--[[
  Notes that a group failed for a reason of its own. When several groups of one instance do so in a row, with no call
  that worked in between (settle.lua), it is rather the instance: none of them is to be blamed before a second call.

  KEYS[1]  suspects: set of groups that failed in a row
  KEYS[2]  reprieved: set of groups that are owed a second call

  ARGV[1]  group
  ARGV[2]  how many in a row are too many
  ARGV[3]  ms after which a row is forgotten
  ARGV[4]  ms for which a second call is owed

  Returns  1 if the instance is suspected now, else 0
]]
local suspectsKey, reprievedKey = KEYS[1], KEYS[2]
local group, tooMany = ARGV[1], tonumber(ARGV[2])

redis.call('SADD', suspectsKey, group)
redis.call('PEXPIRE', suspectsKey, ARGV[3])
if redis.call('SCARD', suspectsKey) < tooMany then
  return 0
end
redis.call('SUNIONSTORE', reprievedKey, reprievedKey, suspectsKey)
redis.call('PEXPIRE', reprievedKey, ARGV[4])
redis.call('DEL', suspectsKey)
return 1
