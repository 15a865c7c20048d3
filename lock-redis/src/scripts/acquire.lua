-- KEYS: lock, record, line. ARGV: owner, ttl_ms, reserve, label, client, stand in line ('1' or '0'),
-- forget_ms ('' is never), spare a value ('1' or '0').
-- Granted: {1, token, reserved, state or false, format, previous, others wait}.
-- Refused: {0, ms until the holder's lease ends or -1 if it has no end, whether the holder is another
-- program (1 or 0), its owner and label or false}. Ended: {2}.
local lock, record, line = KEYS[1], KEYS[2], KEYS[3]
local owner, ttl_ms, reserve, client, forget_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[7]
local member = owner .. ':' .. client

local f = redis.call('HMGET', record, 't', 'o', 'g', 'n', 'e', 'p', 'r', 's', 'f', 'l')
local last, holder, token, reserved, ended = tonumber(f[1] or '0'), f[2], f[3], f[4], said(f[5])
local previous, reserved_for = f[6] or 'F', f[7]
-- Before the first write, so that a line of the wrong type stops the step.
local others = redis.call('ZCARD', line)

-- A lock that is free is taken here: few commands, since each costs as much as all else.
local is_free, value = false, nil
if not (holder == owner and ended) then
  local set = redis.pcall('SET', lock, owner, 'NX', 'PX', ttl_ms)
  if type(set) == 'table' and set.err then return set end
  is_free = set
end
if not is_free then
  local wrong
  value, wrong = owner_of(lock)
  if wrong then return wrong end
  if value ~= owner and holder == owner and ended then
    -- The owner gave it up, or was forced out: this is a late duplicate and must not revive it.
    return { 2 }
  end
end

if value and value ~= owner then
  local stranger = value ~= holder and value ~= reserved_for
  if stranger then
    -- It will wake nobody: have tracking tell when the key changes.
    redis.call('GET', lock)
  end
  if ARGV[6] == '1' then
    if others == 0 or not redis.call('ZSCORE', line, member) then
      local back = redis.call('ZREVRANGE', line, 0, 0, 'WITHSCORES')[2]
      redis.call('ZADD', line, whole(tonumber(back or '0') + 1), member)
    end
    -- 25 h: longer than any lease, so longer than any waiter stays away.
    redis.call('PEXPIRE', line, '90000000')
  end
  local known = value == holder and value ~= reserved_for
  return { 0, redis.call('PTTL', lock), stranger and 1 or 0, known and holder, known and f[10] }
end

if others > 0 then others = others - redis.call('ZREM', line, member) end
local now = now_us()
if value == owner and holder == owner and not ended and reserved_for ~= owner then
  -- The same grant again: the reply was lost.
  redis.call('PEXPIRE', lock, ttl_ms)
else
  if holder then
    -- Its own lease that ran out is no better than another's.
    previous = ended or ('A' .. holder .. ':' .. token)
  end
  local first = math.max(now, last + 1)
  -- No further ahead of the clock than one block: the rest of many would add up, and tokens begin at
  -- the clock again if everything is lost.
  last = math.max(now + tonumber(reserve) - 1, first)
  token, reserved = whole(first), whole(last - first + 1)
  if not is_free then redis.call('SET', lock, owner, 'PX', ttl_ms) end
  redis.call('HSET', record, 't', whole(last), 'o', owner, 'g', token, 'n', reserved, 'e', '',
    'p', previous, 'r', '', 'l', ARGV[4], 'a', whole(math.floor(now / 1000)), 'c', client)
end
keep_record(record, ttl_ms, forget_ms, last, now, ARGV[8] == '1' and f[8])
-- The last touch of the key is a read: a write of our own ends the tracking of it.
redis.call('GET', lock)
return { 1, tonumber(token), tonumber(reserved), f[8], f[9], previous, others }
