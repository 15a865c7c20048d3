-- KEYS: lock, record, line. ARGV: claim_ms, channel prefix, whether the number of listeners is known
-- ('1' or '0').
-- 0 if nobody held the lock; else {owner, ms left or -1} of a holder that is unknown to the record,
-- and {owner, ms left or -1, token, label, ms held} of one that is known. FOREIGN if the key has no
-- end and is unknown to the record: it may be anything, and is not ours to delete.
local value, wrong = owner_of(KEYS[1])
if wrong then return wrong end
if not value then return 0 end
local f = redis.call('HMGET', KEYS[2], 'o', 'g', 'n', 'l', 'a', 'c', 'r')
if f[7] == value then return 0 end
if f[1] ~= value and redis.call('PTTL', KEYS[1]) == -1 then
  return { err = 'FOREIGN a value without an end' }
end
-- Before the first write, so that a line of the wrong type stops the step.
local waiting = redis.call('ZCARD', KEYS[3])
local answer = { value, redis.call('PTTL', KEYS[1]) }
if f[1] == value then
  answer[3], answer[4] = tonumber(f[2]), f[4] or ''
  answer[5] = math.floor(now_us() / 1000) - tonumber(f[5] or '0')
  redis.call('HSET', KEYS[2], 'e', 'X', 'x', f[2], 'xn', f[3])
  if f[6] then redis.pcall('PUBLISH', ARGV[2] .. f[6], 'f' .. KEYS[1]) end
end
hand_on(KEYS, waiting, f[7], ARGV[1], ARGV[2], ARGV[3])
return answer
