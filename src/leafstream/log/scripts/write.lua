-- (answer, epoch, last, ended, body)* -> (kept | fenced | cancel)*
local p, outcomes, grown = KEYS[1], {}, {}
for i = 1, #ARGV, 5 do
  local id, last, body = ARGV[i], tonumber(ARGV[i + 2]), ARGV[i + 4]
  local answer = p .. "answer:" .. id
  local held = redis.call("HMGET", answer, "epoch", "last", "cancel", "conversation", "ended")
  if held[1] ~= ARGV[i + 1] then
    outcomes[#outcomes + 1] = "fenced"
  else
    -- A write that comes again after a lost connection is kept already.
    if tonumber(held[2]) < last and not held[5] then
      redis.call("XADD", p .. "records:" .. id, last .. "-0", "b", body)
      redis.call("HSET", answer, "last", last)
      redis.call("HINCRBY", answer, "size", #body)
      redis.call("INCRBY", p .. "size", #body)
      if ARGV[i + 3] == "1" then
        local now = redis.call("TIME")[1]
        redis.call("HSET", answer, "ended", now)
        redis.call("HDEL", p .. "running", id)
        redis.call("SREM", p .. "cancels", id)
        redis.call("ZADD", p .. "ended", now, id)
        if held[4] ~= "" then redis.call("LREM", p .. "turns:" .. held[4], 0, id) end
      end
      grown[#grown + 1] = id
    end
    outcomes[#outcomes + 1] = held[3] and "cancel" or "kept"
  end
end
if #grown > 0 then redis.call("PUBLISH", p .. "news", table.concat(grown, " ")) end
return outcomes
