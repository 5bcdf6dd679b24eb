-- age in seconds, size in bytes or -1 -> how many were deleted (a bounded number at a time)
-- or, with an answer's id after them, that answer alone where it has ended
local p, gone = KEYS[1], 0

local function delete(id)
  local answer = p .. "answer:" .. id
  local held = redis.call("HMGET", answer, "size", "key")
  if held[1] then redis.call("DECRBY", p .. "size", held[1]) end
  if held[2] and held[2] ~= "" then redis.call("HDEL", p .. "keys", held[2]) end
  redis.call("DEL", answer, p .. "records:" .. id, p .. "seen:" .. id)
  return redis.call("ZREM", p .. "ended", id)
end

if ARGV[3] then
  return redis.call("ZSCORE", p .. "ended", ARGV[3]) and delete(ARGV[3]) or 0
end
local oldest = redis.call("TIME")[1] - tonumber(ARGV[1])
local size = tonumber(ARGV[2])
while gone < 1000 do
  local first = redis.call("ZRANGE", p .. "ended", 0, 0, "WITHSCORES")
  if #first == 0 then break end
  local all = tonumber(redis.call("GET", p .. "size") or "0")
  if tonumber(first[2]) >= oldest and (size < 0 or all <= size) then break end
  gone = gone + delete(first[1])
end
return gone
