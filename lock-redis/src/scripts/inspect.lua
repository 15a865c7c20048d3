-- KEYS: lock, record, line.
-- {owner or false, ms left, last token or false, how many wait, previous, token or false, label,
-- ms held}.
local value, wrong = owner_of(KEYS[1])
if wrong then return wrong end
local f = redis.call('HMGET', KEYS[2], 't', 'o', 'g', 'e', 'p', 'r', 'l', 'a')
local holder, token, ended, previous, reserved_for = f[2], f[3], said(f[4]), f[5] or 'F', f[6]
if value and value == reserved_for then
  -- Nobody holds it until the reservation is claimed.
  value = false
end
local known = value and value == holder
if holder and not known then
  previous = ended or ('A' .. holder .. ':' .. token)
end
return { value, redis.call('PTTL', KEYS[1]), f[1] and tonumber(f[1]), redis.call('ZCARD', KEYS[3]),
  previous, known and tonumber(token), known and f[7] or '',
  known and math.floor(now_us() / 1000) - tonumber(f[8] or '0') or 0 }
