--[[
  Reads a group's record and Redis's clock in one step, so that a decision on the record applies to that moment.

  KEYS[1]  the group's hash {version, record}
  Returns  {version (0: no record yet), record as JSON or '', milliseconds since 1970}
]]
local groupKey = KEYS[1]

local stored = redis.call('HMGET', groupKey, 'version', 'record')
local time = redis.call('TIME')
return { tonumber(stored[1] or 0), stored[2] or '', time[1] * 1000 + math.floor(time[2] / 1000) }
