--[[
  Announces which file a worker goes by, and says which generation that file is. A file that no worker has had before is
  newer than all others; so is one that a worker was edited back to. Any other keeps the generation that it had, also
  where Redis has lost it: its worker remembers.

  KEYS[1]  generations: hash, digest of a file by its generation
  KEYS[2]  workers: sorted set, '<worker> <digest>' by the time at which it was last announced

  ARGV[1]  worker
  ARGV[2]  digest of its file
  ARGV[3]  digest of the file that it announced before, '' at its start
  ARGV[4]  the generation of that one, 0 at its start
  ARGV[5]  ms after which a worker that announces nothing is presumed dead

  Returns  {generation, '1' if nobody knew this file before, newest generation that another live worker has (0: none),
           newest generation ever, digests of the files of the other live workers...}
]]
local generationsKey, workersKey = KEYS[1], KEYS[2]
local worker, digest, digestBefore, before, deadAfter = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
-- Files that were given up so many generations ago are forgotten.
local REMEMBERED = 50

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', workersKey, '-inf', now - deadAfter)

local others, newestLive = {}, 0
for _, member in ipairs(redis.call('ZRANGE', workersKey, 0, -1)) do
  local other, file = string.match(member, '^(%S+) (%S+)$')
  if other == worker then
    redis.call('ZREM', workersKey, member)
  else
    others[file] = true
    newestLive = math.max(newestLive, tonumber(redis.call('HGET', generationsKey, file) or 0))
  end
end

local newest = 0
for _, generation in ipairs(redis.call('HVALS', generationsKey)) do
  newest = math.max(newest, tonumber(generation))
end
for _, file in ipairs(redis.call('HKEYS', generationsKey)) do
  local generation = tonumber(redis.call('HGET', generationsKey, file))
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
local result = { generation, known == 0 and '1' or '0', newestLive, math.max(newest, generation) }
for file in pairs(others) do
  if file ~= digest then
    table.insert(result, file)
  end
end
return result
