-- id, opening, holder, owner:key or "", conversation or "" -> the opening that is kept
local p, id = KEYS[1], ARGV[1]
if ARGV[4] ~= "" then
  local earlier = redis.call("HGET", p .. "keys", ARGV[4])
  local opening = earlier and redis.call("HGET", p .. "answer:" .. earlier, "opening")
  if opening then return opening end
  redis.call("HSET", p .. "keys", ARGV[4], id)
end
redis.call("HSET", p .. "answer:" .. id, "opening", ARGV[2], "holder", ARGV[3], "epoch", 1,
  "last", 0, "size", 0, "key", ARGV[4], "conversation", ARGV[5])
redis.call("HSET", p .. "running", id, ARGV[3])
if ARGV[5] ~= "" then redis.call("RPUSH", p .. "turns:" .. ARGV[5], id) end
return ARGV[2]
