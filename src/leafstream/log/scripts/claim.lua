-- answer, holder -> the new epoch, or 0 where it is over, gone, or another holder lives
local p, answer = KEYS[1], KEYS[1] .. "answer:" .. ARGV[1]
local held = redis.call("HMGET", answer, "holder", "ended")
if not held[1] or held[2] then return 0 end
if held[1] ~= ARGV[2] and redis.call("EXISTS", p .. "holder:" .. held[1]) == 1 then return 0 end
redis.call("HSET", answer, "holder", ARGV[2])
redis.call("HSET", p .. "running", ARGV[1], ARGV[2])
return redis.call("HINCRBY", answer, "epoch", 1)
