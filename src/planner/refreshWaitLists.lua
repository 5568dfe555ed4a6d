--[[
  Makes the set of buckets with a wait list match their wait lists.

  KEYS[1]  the set
  KEYS     then for each bucket: its wait list of one-offs, its wait list of scheduled work

  ARGV     the buckets
]]
for i, bucket in ipairs(ARGV) do
  local known = redis.call('EXISTS', KEYS[2 * i], KEYS[2 * i + 1]) > 0 and 'SADD' or 'SREM'
  redis.call(known, KEYS[1], bucket)
end
