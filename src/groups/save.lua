--[[
  Replaces a group's record if nobody else did since it was loaded, and in the same step moves its place in the
  schedule and appends its events: state and events are committed together or not at all.

  KEYS[1]   the group's hash {version, record}
  KEYS[2]   its instance's sorted set of due times
  KEYS[3]   its instance's sorted set of verifications
  KEYS[4..] the outboxes, each of which gets every event

  ARGV[1]   the version that was loaded (0: there was no record)
  ARGV[2]   the new record as JSON
  ARGV[3]   the group's id
  ARGV[4]   due time, '' for none, 'keep' to leave it where it is
  ARGV[5]   time of the next verification, likewise
  ARGV[6]   '1' if the record is kept for good from now on, though it was left to expire
  ARGV[7..] events as JSON, in order

  Returns   1, or 0 if the record had changed (then nothing was written)
]]
local groupKey, dueKey, verificationsKey = KEYS[1], KEYS[2], KEYS[3]
local expected, record, id, due, verification = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if (redis.call('HGET', groupKey, 'version') or '0') ~= expected then
  return 0
end

redis.call('HSET', groupKey, 'version', tonumber(expected) + 1, 'record', record)
if ARGV[6] == '1' then
  redis.call('PERSIST', groupKey)
end

local function place(key, score)
  if score == 'keep' then
    return
  elseif score == '' then
    redis.call('ZREM', key, id)
  else
    redis.call('ZADD', key, score, id)
  end
end
place(dueKey, due)
place(verificationsKey, verification)

for outbox = 4, #KEYS do
  for event = 7, #ARGV do
    redis.call('RPUSH', KEYS[outbox], ARGV[event])
  end
end
return 1
