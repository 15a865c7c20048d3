-- KEYS: lock, record, line of each lease. ARGV: owner, token, ttl_ms, forget_ms ('' is never), spare a
-- value ('1' or '0') of each.
-- For each lease: {1, others wait}, {0, cause} or {-1, error}.
local function renew(lock, record, line, owner, token, ttl_ms, forget_ms, spare)
  local value, wrong = owner_of(lock)
  if wrong then return { -1, wrong.err } end
  local f = redis.call('HMGET', record, 't', 'o', 'g', 'n', 'r', 'x', 'xn')
  local others = redis.call('ZCARD', line)
  local rec = { o = f[2], g = f[3], n = f[4], r = f[5], x = f[6], xn = f[7] }
  if not in_force(value, owner, token, rec) then
    return { 0, cause_of(value, owner, token, rec) }
  end
  redis.call('PEXPIRE', lock, ttl_ms)
  keep_record(record, ttl_ms, forget_ms, tonumber(f[1] or '0'), now_us(), spare)
  redis.call('GET', lock)
  return { 1, others }
end

local answers = {}
for i = 1, #KEYS / 3 do
  local k, a = 3 * (i - 1), 5 * (i - 1)
  local well, answer = pcall(renew, KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], ARGV[a + 1],
    tonumber(ARGV[a + 2]), ARGV[a + 3], ARGV[a + 4], ARGV[a + 5] == '1')
  if not well then
    -- One lease whose keys another program spoilt costs no other its renewal.
    answer = { -1, type(answer) == 'table' and answer.err or tostring(answer) }
  end
  answers[i] = answer
end
return answers
