--[[
  Adds an event to every outbox, or to none.

  KEYS     the outboxes: lists, oldest first

  ARGV[1]  the event, as JSON
]]
for _, outboxKey in ipairs(KEYS) do
  redis.call('RPUSH', outboxKey, ARGV[1])
end
