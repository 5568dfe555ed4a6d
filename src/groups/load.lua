--[[
  Reads groups' records and Redis's clock in one step, so that a decision on a record applies to that moment.

  KEYS     the groups' hashes {version, record}
  Returns  {milliseconds since 1970, then for each key: version (0: no record yet), record as JSON or ''}
]]
local time = redis.call('TIME')
local found = { time[1] * 1000 + math.floor(time[2] / 1000) }
for _, groupKey in ipairs(KEYS) do
  local stored = redis.call('HMGET', groupKey, 'version', 'record')
  table.insert(found, tonumber(stored[1] or 0))
  table.insert(found, stored[2] or '')
end
return found
