-- KEYS: lock, record, line of each lease. ARGV: owner, token, ttl_ms, forget_ms ('' is never), spare a
-- value ('1' or '0') of each.
-- For each lease: {1, others wait}, {0, cause} or {-1, error}.
-- In Redis 7.0 each read has client tracking remember all keys of the script, so a call costs the square
-- of its leases times the reads of each: few of either.
local now = now_us()

local function renew(lock, record, line, owner, token, ttl_ms, forget_ms, spare)
  local value, wrong = owner_of(lock)
  if wrong then return { -1, wrong.err } end
  -- The format stands for the value, which may be large.
  local f = redis.call('HMGET', record, 't', 'o', 'g', 'n', 'r', 'x', 'xn', 'f')
  local others = redis.call('ZCARD', line)
  local rec = { o = f[2], g = f[3], n = f[4], r = f[5], x = f[6], xn = f[7] }
  if not in_force(value, owner, token, rec) then
    return { 0, cause_of(value, owner, token, rec) }
  end
  redis.call('PEXPIRE', lock, ttl_ms)
  keep_record(record, ttl_ms, forget_ms, tonumber(f[1] or '0'), now, spare and f[8])
  return { 1, others }
end

local answers, renewed = {}, {}
for i = 1, #KEYS / 3 do
  local k, a = 3 * (i - 1), 5 * (i - 1)
  local well, answer = pcall(renew, KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], ARGV[a + 1],
    tonumber(ARGV[a + 2]), ARGV[a + 3], ARGV[a + 4], ARGV[a + 5] == '1')
  if not well then
    -- One lease whose keys another program spoilt costs no other its renewal.
    answer = { -1, type(answer) == 'table' and answer.err or tostring(answer) }
  end
  answers[i] = answer
  if answer[1] == 1 then renewed[#renewed + 1] = KEYS[k + 1] end
end
-- The last touch of the keys is a read: a write of our own ends the tracking of them.
if renewed[1] then redis.call('MGET', unpack(renewed)) end
return answers
