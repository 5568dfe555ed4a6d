--[[
  Opens an instance's gate after its reason was fixed. No group is blamed for it any longer.

  KEYS[1]  gate of the instance: hash {reason, cause, ...}
  KEYS[2]  blamed: hash of the groups whose failures closed it
  KEYS[3]  culprits: hash, group by "cause kind until"

  Returns  what it was closed for, or '' if it was open
]]
local gateKey, blamedKey, culpritsKey = KEYS[1], KEYS[2], KEYS[3]

local gate = redis.call('HMGET', gateKey, 'reason', 'cause')
if not gate[1] then
  return ''
end
local culprits = redis.call('HGETALL', culpritsKey)
for i = 1, #culprits, 2 do
  if string.match(culprits[i + 1], '^(%S+) ') == gate[2] then
    redis.call('HDEL', culpritsKey, culprits[i])
  end
end
redis.call('DEL', gateKey, blamedKey)
return gate[1]
