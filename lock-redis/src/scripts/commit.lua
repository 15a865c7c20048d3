-- KEYS: lock, record, line. ARGV: owner, token, sequence, state, format, release ('1' or '0'),
-- claim_ms, channel prefix, whether the number of listeners is known ('1' or '0').
-- Committed: {1, others wait}. Lost: {0, cause, token of the last commit or false}.
local lock, record, line = KEYS[1], KEYS[2], KEYS[3]
local owner, token, sequence = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

-- A read keeps a lease's own key tracked. Redis looks at its memory before the first write of a script
-- only, which is that of the value.
local value = redis.pcall('GET', lock)
if type(value) == 'table' then return failed(lock, value) end
local f = redis.call('HMGET', record, 'o', 'g', 'n', 'r', 'x', 'xn', 'ct', 'cs')
local rec = { o = f[1], g = f[2], n = f[3], r = f[4], x = f[5], xn = f[6] }
local last_token, last_sequence = tonumber(f[7] or '0'), tonumber(f[8] or '0')
local applied = last_token == token and last_sequence >= sequence

if not in_force(value, owner, token, rec) then
  if applied then return { 1, redis.call('ZCARD', line) } end
  return { 0, cause_of(value, owner, token, rec), f[7] and last_token }
end
if last_token > token then
  -- A later holder of the same lease has committed: this is a late duplicate.
  return { 0, 'D', last_token }
end
-- Before the first write, so that a line of the wrong type stops the step.
local others = redis.call('ZCARD', line)
-- A late duplicate of an earlier commit does not end the lease that went on after it.
local superseded = last_token == token and last_sequence > sequence
local ends = ARGV[6] == '1' and not superseded
if not applied then
  redis.call('HSET', record, 's', ARGV[4], 'f', ARGV[5], 'ct', whole(token), 'cs', whole(sequence),
    'e', ends and 'R' or '')
  if not rec.o then
    -- The record was gone: tokens still have to grow from here.
    redis.call('HSET', record, 't', whole(token), 'o', owner, 'g', whole(token), 'n', '1')
  end
end
if ends then
  if applied then redis.call('HSET', record, 'e', 'R') end
  hand_on(KEYS, others, rec.r, ARGV[7], ARGV[8], ARGV[9])
end
return { 1, others }
