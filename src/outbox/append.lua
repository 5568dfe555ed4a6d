--[[
  Reports the failure of a one-off once: adds its event to every outbox, or to none.

  KEYS[1]   why the one-off has failed
  KEYS[2..] the outboxes: lists, oldest first

  ARGV[1]   the event, as JSON
  ARGV[2]   why it fails
  ARGV[3]   ms for which that is remembered
]]
if redis.call('SET', KEYS[1], ARGV[2], 'NX', 'PX', ARGV[3]) then
  for i = 2, #KEYS do
    redis.call('RPUSH', KEYS[i], ARGV[1])
  end
end
