--[[
  Redis's time. In a cluster each node has a clock of its own; the key selects the node, so that it is always the same.

  KEYS[1]  any key of the installation; it is not touched

  Returns milliseconds since 1970.
]]
local now = redis.call('TIME')
return now[1] * 1000 + math.floor(now[2] / 1000)
