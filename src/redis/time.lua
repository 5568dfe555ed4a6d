--[[
  Redis's clock. In a cluster every node has its own: the key says whose is asked, so that it is always the same one.

  KEYS[1]  any key of the installation; it is not touched

  Returns milliseconds since 1970.
]]
local now = redis.call('TIME')
return now[1] * 1000 + math.floor(now[2] / 1000)
