--[[
  How jobs of one queue stand, for those who wait for their ends. As BullMQ keeps it: a job that ended has `finishedOn`,
  one that is worked on has a lock.

  KEYS[1]    the queue's meta
  KEYS[2..]  jobs

  Returns  for each job {state, value}: 'missing'; 'pending'; 'paused', which waits on a queue that is paused;
           'completed' with its return value as JSON; 'failed' with its reason
]]
local isPaused = redis.call('HEXISTS', KEYS[1], 'paused') == 1

local found = {}
for i = 2, #KEYS do
  local timestamp, finishedOn, returnValue, reason =
    unpack(redis.call('HMGET', KEYS[i], 'timestamp', 'finishedOn', 'returnvalue', 'failedReason'))
  if not timestamp then
    found[#found + 1] = {'missing', ''}
  elseif finishedOn and returnValue then
    found[#found + 1] = {'completed', returnValue}
  elseif finishedOn then
    found[#found + 1] = {'failed', reason or ''}
  elseif isPaused and redis.call('EXISTS', KEYS[i] .. ':lock') == 0 then
    found[#found + 1] = {'paused', ''}
  else
    found[#found + 1] = {'pending', ''}
  end
end
return found
