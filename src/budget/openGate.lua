--[[
  Opens an instance's gate.

  KEYS[1]  gate of the instance: hash {reason, until, streak, probe, probeUntil}

  Returns  what it was closed for, or '': it was open
]]
local gateKey = KEYS[1]

local reason = redis.call('HGET', gateKey, 'reason')
redis.call('DEL', gateKey)
return reason or ''
