--[[
  Reads the states of many queues at once, and returns those that hold a job or are paused.

  KEYS[5n + 1...5n + 5]  of each queue: wait, prioritized, active, delayed, meta

  ARGV     none

  Returns  for each such queue: {number of the queue, counted from 0, waiting, active, delayed, 1 if it is paused, the
           next job and the oldest active one}
]]
local result = {}
for i = 1, #KEYS, 5 do
  local wait, prioritized, active, delayed, meta = KEYS[i], KEYS[i + 1], KEYS[i + 2], KEYS[i + 3], KEYS[i + 4]
  local waiting, first = redis.call('LLEN', wait), redis.call('ZCARD', prioritized)
  local running, later = redis.call('LLEN', active), redis.call('ZCARD', delayed)
  local paused = redis.call('HEXISTS', meta, 'paused')
  if waiting + first + running + later + paused > 0 then
    local head = redis.call('LINDEX', wait, -1) or redis.call('ZRANGE', prioritized, 0, 0)[1]
    head = head or redis.call('ZRANGE', delayed, 0, 0)[1] or ''
    local oldest = redis.call('LINDEX', active, -1) or ''
    table.insert(result, { (i - 1) / 5, waiting + first, running, later, paused, head .. ' ' .. oldest })
  end
end
return result
