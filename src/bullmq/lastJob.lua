--[[
  How far BullMQ has counted the jobs of a queue. A queue that is obliterated counts from 1 again and loses its meta, so a
  name that is kept there tells the two counts apart.

  KEYS[1]  the queue's counter
  KEYS[2]  the queue's meta: hash

  ARGV[1]  the count's name, if it has none

  Returns  {number of the newest job, the count's name}
]]
redis.call('HSETNX', KEYS[2], 'invite-rotator:count', ARGV[1])
return { tonumber(redis.call('GET', KEYS[1]) or 0), redis.call('HGET', KEYS[2], 'invite-rotator:count') }
