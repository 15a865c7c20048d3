-- KEYS: lock, record, line. ARGV: owner, client, claim_ms, channel prefix, whether the number of
-- listeners is known ('1' or '0').
-- 1 if the owner held the lock, else 0.
local owner = ARGV[1]
local value, wrong = owner_of(KEYS[1])
if wrong then return wrong end
local f = redis.call('HMGET', KEYS[2], 'o', 'r')
if value ~= owner or f[1] ~= owner or f[2] == owner then
  -- Who holds it by a grant stands in no line.
  redis.call('ZREM', KEYS[3], owner .. ':' .. ARGV[2])
end
if value ~= owner then return 0 end
local waiting = redis.call('ZCARD', KEYS[3])
if f[2] == owner then
  -- Reserved for it and not claimed: it never held, so how the last holder ended stays as it is.
  hand_on(KEYS, waiting, f[2], ARGV[3], ARGV[4], ARGV[5])
  return 0
end
if f[1] == owner then redis.call('HSET', KEYS[2], 'e', 'R') end
hand_on(KEYS, waiting, f[2], ARGV[3], ARGV[4], ARGV[5])
return 1
