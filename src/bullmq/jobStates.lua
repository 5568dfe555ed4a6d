--[[
  The states of jobs on one queue, for callers that wait for their ends. BullMQ sets `finishedOn` on a job that has ended,
  and a job that is being processed has a lock.

  KEYS[1]    the queue's meta
  KEYS[2..]  jobs

  Returns  for each job {state, value}: 'missing'; 'pending'; 'paused', if it waits on a paused queue;
           'completed' with its return value as JSON; 'failed' with its reason
]]
local isPaused = redis.call('HEXISTS', KEYS[1], 'paused') == 1

local states = {}
for i = 2, #KEYS do
  local timestamp, finishedOn, returnValue, reason =
    unpack(redis.call('HMGET', KEYS[i], 'timestamp', 'finishedOn', 'returnvalue', 'failedReason'))
  if not timestamp then
    states[#states + 1] = {'missing', ''}
  elseif finishedOn and returnValue then
    states[#states + 1] = {'completed', returnValue}
  elseif finishedOn then
    states[#states + 1] = {'failed', reason or ''}
  elseif isPaused and redis.call('EXISTS', KEYS[i] .. ':lock') == 0 then
    states[#states + 1] = {'paused', ''}
  else
    states[#states + 1] = {'pending', ''}
  end
end
return states
