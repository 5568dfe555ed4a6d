--[[
  Announces which file a worker has, and returns that file's generation. A file gets a new generation, higher than all
  others, if no worker has had it before or if a worker was edited back to it. Otherwise it keeps its generation, even
  if Redis has lost it, because the worker remembers.

  KEYS[1]  generations: hash, digest of a file to its generation
  KEYS[2]  workers: sorted set, '<worker> <digest>' by the time of its last announcement
  KEYS[3]  notes: hash, worker to what it says about itself; those of dead workers are removed

  ARGV[1]  worker
  ARGV[2]  digest of its file
  ARGV[3]  digest of the file that it announced before; '' when it starts
  ARGV[4]  generation of that file; 0 when it starts
  ARGV[5]  ms after which a worker that announces nothing is presumed dead
  ARGV[6]  what the worker says about itself

  Returns  {generation, '1' if no worker had this file before or this worker was presumed dead meanwhile, newest
           generation of another live worker (0: none), newest generation of all time, digests of the other live workers'
           files...}
]]
local generationsKey, workersKey, notesKey = KEYS[1], KEYS[2], KEYS[3]
local worker, digest, digestBefore, before, deadAfter = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
-- Unused files are forgotten this many generations later.
local REMEMBERED = 50

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', workersKey, '-inf', now - deadAfter)
local live = { [worker] = true }

local others, newestLive, wasLive = {}, 0, false
for _, member in ipairs(redis.call('ZRANGE', workersKey, 0, -1)) do
  local other, file = string.match(member, '^(%S+) (%S+)$')
  live[other] = true
  if other == worker then
    wasLive = true
    redis.call('ZREM', workersKey, member)
  else
    others[file] = true
    newestLive = math.max(newestLive, tonumber(redis.call('HGET', generationsKey, file) or 0))
  end
end

local newest = 0
local generations = redis.call('HGETALL', generationsKey)
for i = 1, #generations, 2 do
  newest = math.max(newest, tonumber(generations[i + 1]))
end
for i = 1, #generations, 2 do
  local file, generation = generations[i], tonumber(generations[i + 1])
  if generation < newest - REMEMBERED and not others[file] then
    redis.call('HDEL', generationsKey, file)
  end
end
local known = tonumber(redis.call('HGET', generationsKey, digest) or 0)
local editedBack = digestBefore ~= '' and digestBefore ~= digest and known <= before
local generation = known
if known == 0 and digestBefore == digest then
  generation = before
elseif known == 0 or (editedBack and known < newest) then
  generation = newest + 1
end

redis.call('HSET', generationsKey, digest, generation)
redis.call('ZADD', workersKey, now, worker .. ' ' .. digest)
for _, noted in ipairs(redis.call('HKEYS', notesKey)) do
  if not live[noted] then
    redis.call('HDEL', notesKey, noted)
  end
end
redis.call('HSET', notesKey, worker, ARGV[6])
local isExpelled = digestBefore ~= '' and not wasLive
local result = { generation, (known == 0 or isExpelled) and '1' or '0', newestLive, math.max(newest, generation) }
for file in pairs(others) do
  if file ~= digest then
    table.insert(result, file)
  end
end
return result
