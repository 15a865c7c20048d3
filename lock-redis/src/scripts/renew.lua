-- KEYS: lock, record, line of each lease. ARGV: owner, token, ttl_ms, forget_ms ('' is never) of each.
-- For each lease: {1, others wait}, {0, cause} or {-1, error}.
local answers = {}
for i = 1, #KEYS / 3 do
  local lock, record, line = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local owner, token = ARGV[4 * i - 3], tonumber(ARGV[4 * i - 2])
  local ttl_ms, forget_ms = ARGV[4 * i - 1], ARGV[4 * i]
  local value, wrong = owner_of(lock)
  if wrong then
    answers[i] = { -1, wrong.err }
  else
    local f = redis.call('HMGET', record, 't', 'o', 'g', 'n', 'r', 'x', 'xn')
    local rec = { o = f[2], g = f[3], n = f[4], r = f[5], x = f[6], xn = f[7] }
    if in_force(value, owner, token, rec) then
      redis.call('PEXPIRE', lock, ttl_ms)
      keep_record(record, ttl_ms, forget_ms, tonumber(f[1] or '0'), now_us())
      redis.call('GET', lock)
      answers[i] = { 1, redis.call('ZCARD', line) }
    else
      answers[i] = { 0, cause_of(value, owner, token, rec) }
    end
  end
end
return answers
