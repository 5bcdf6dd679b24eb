-- age in seconds, size in bytes or -1 -> how many were deleted (a bounded number at a time)
local p, gone = KEYS[1], 0
local oldest = redis.call("TIME")[1] - tonumber(ARGV[1])
local size = tonumber(ARGV[2])
while gone < 1000 do
  local first = redis.call("ZRANGE", p .. "ended", 0, 0, "WITHSCORES")
  if #first == 0 then break end
  local all = tonumber(redis.call("GET", p .. "size") or "0")
  if tonumber(first[2]) >= oldest and (size < 0 or all <= size) then break end
  local answer = p .. "answer:" .. first[1]
  local held = redis.call("HMGET", answer, "size", "key")
  if held[1] then redis.call("DECRBY", p .. "size", held[1]) end
  if held[2] and held[2] ~= "" then redis.call("HDEL", p .. "keys", held[2]) end
  redis.call("DEL", answer, p .. "records:" .. first[1], p .. "seen:" .. first[1])
  redis.call("ZREM", p .. "ended", first[1])
  gone = gone + 1
end
return gone
