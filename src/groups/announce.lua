--[[
  Announces which file a worker goes by, and says which generation that file is. A file that no worker has had before is
  newer than all others; so is one that a worker was edited back to. A file that was known before keeps its generation
  for as long as another live worker has a newer one, and becomes the newest when nobody has.

  KEYS[1]  generations: hash, digest of a file by its generation
  KEYS[2]  workers: sorted set, '<worker> <digest>' by the time at which it was last announced

  ARGV[1]  worker
  ARGV[2]  digest of its file
  ARGV[3]  the generation that it went by until now, 0 at its start
  ARGV[4]  ms after which a worker that announces nothing is held for dead

  Returns  {generation, digests of the files of the other live workers...}
]]
local generationsKey, workersKey = KEYS[1], KEYS[2]
local worker, digest, before, deadAfter = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', workersKey, '-inf', now - deadAfter)

local others, newestLive, mine = {}, 0, ''
for _, member in ipairs(redis.call('ZRANGE', workersKey, 0, -1)) do
  local other, file = string.match(member, '^(%S+) (%S+)$')
  if other == worker then
    redis.call('ZREM', workersKey, member)
    mine = file
  else
    others[file] = true
    newestLive = math.max(newestLive, tonumber(redis.call('HGET', generationsKey, file) or 0))
  end
end

local newest = 0
for _, generation in ipairs(redis.call('HVALS', generationsKey)) do
  newest = math.max(newest, tonumber(generation))
end
local known = tonumber(redis.call('HGET', generationsKey, digest) or 0)
local editedBack = before > 0 and mine ~= digest and known <= before
local keeps = known > 0 and (known == newest or newestLive > known and not editedBack)
local generation = keeps and known or newest + 1

redis.call('HSET', generationsKey, digest, generation)
redis.call('ZADD', workersKey, now, worker .. ' ' .. digest)
local result = { generation }
for file in pairs(others) do
  if file ~= digest then
    table.insert(result, file)
  end
end
return result
