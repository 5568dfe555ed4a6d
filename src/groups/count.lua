--[[
  Counts the groups of instances by state, and finds the age of their oldest links.

  KEYS     for each instance: states, link starts, link periods: the sorted sets of `statusIndexes.ts`

  ARGV[1]  now, ms
  ARGV     then pairs: the lowest and the highest score of a state, in the order in which they are counted

  Returns  for each instance {groups, start of the oldest link ('': none), highest age of a link in periods,
           number of a state, its groups, ...}; states without groups are left out
]]
-- Of the links that were first to be two periods old, the one with the most periods is looked for among so many.
local LINKS = 10

local now = tonumber(ARGV[1])

local function highestAge(startsKey, periodsKey)
  local highest = 0
  local links = redis.call('ZRANGE', periodsKey, 0, LINKS - 1, 'WITHSCORES')
  for i = 1, #links, 2 do
    local start = tonumber(redis.call('ZSCORE', startsKey, links[i]) or now)
    local period = (tonumber(links[i + 1]) - start) / 2
    if period > 0 then
      highest = math.max(highest, (now - start) / period)
    end
  end
  return highest
end

local result = {}
for k = 1, #KEYS, 3 do
  local statesKey, startsKey, periodsKey = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local groups = redis.call('ZCARD', statesKey)
  local oldest = redis.call('ZRANGE', startsKey, 0, 0, 'WITHSCORES')
  local counts = { groups, oldest[2] or '', tostring(highestAge(startsKey, periodsKey)) }
  local left = groups
  for i = 2, #ARGV, 2 do
    if left <= 0 then
      break
    end
    local found = redis.call('ZCOUNT', statesKey, ARGV[i], ARGV[i + 1])
    if found > 0 then
      table.insert(counts, i / 2)
      table.insert(counts, found)
      left = left - found
    end
  end
  table.insert(result, counts)
end
return result
