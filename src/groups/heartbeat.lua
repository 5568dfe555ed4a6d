--[[
  Announces that a worker lives, and returns all workers in the set. Removes those that this worker has seen dead.

  KEYS[1]  workers: sorted set, '<worker> <digest>' by the time of its last announcement
  KEYS[2]  notes: hash, worker to what it says about itself

  ARGV[1]  worker
  ARGV[2]  its member of the set
  ARGV[3]  what it says about itself
  ARGV[4]  ms after which an announcement is not recent any more
  ARGV[5...]  for each worker seen dead: its id, and its last announcement as it was seen

  Returns  {'1' if the worker was in the set, then for each other member: worker, last announcement, '1' if that is
           recent, what it says about itself or ''...}
]]
local workersKey, notesKey = KEYS[1], KEYS[2]
local worker, own, note, recent = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local dead = {}
for i = 5, #ARGV, 2 do
  dead[ARGV[i]] = ARGV[i + 1]
end

local result = { redis.call('ZSCORE', workersKey, own) and '1' or '0' }
redis.call('ZADD', workersKey, now, own)
redis.call('HSET', notesKey, worker, note)
local members = redis.call('ZRANGE', workersKey, 0, -1, 'WITHSCORES')
for i = 1, #members, 2 do
  local member, beat = members[i], members[i + 1]
  local other = string.match(member, '^%S+')
  if other ~= worker and dead[other] == beat then
    redis.call('ZREM', workersKey, member)
    redis.call('HDEL', notesKey, other)
  elseif other ~= worker then
    table.insert(result, other)
    table.insert(result, beat)
    table.insert(result, tonumber(beat) >= now - recent and '1' or '0')
    table.insert(result, redis.call('HGET', notesKey, other) or '')
  end
end
return result
