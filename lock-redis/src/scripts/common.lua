-- What the steps share; put before each of them.
-- The keys of one lock: the lock key (a string, the owner), its record (a hash), its line (a sorted
-- set). Fields of the record:
--   t        the largest token granted or reserved so far
--   o g n    owner, token and number of reserved tokens of the last grant
--   e        how that grant ended: 'R' released, 'X' forced; empty while it lasts or if it ran out
--   p        how the one before it ended: 'F', 'R', 'X' or 'A<owner>:<token>'
--   x xn     token and number of tokens of the last grant that ended by force
--   r        the owner for whom a release reserved the lock, until it claims it; then empty
--   l a c    label, time of the grant in ms, client of the holder
--   s f      the state and the tag of its format
--   ct cs    token and sequence of the last commit

-- Lua would print a large number as 1.764e+15.
local function whole(number)
  return string.format('%.0f', number)
end

-- A field of the record that may be empty, which is as good as absent: to empty one costs less than
-- to delete it.
local function said(field)
  return field and field ~= '' and field
end

-- The error of a command on this key, with the type that it has if that is what is wrong.
local function failed(key, answer)
  if not string.find(answer.err, 'WRONGTYPE', 1, true) then return answer end
  return { err = 'WRONGTYPE ' .. redis.call('TYPE', key).ok }
end

-- Who has the lock key. GETEX without options reads like GET, but is no read to client tracking, so
-- that a refused attempt need not be told of changes to the key. (PTTL is one, and in Redis 7.0 any
-- read in a script tracks all of its keys: what comes all the same the client has to ignore.)
local function owner_of(key)
  local value = redis.pcall('GETEX', key)
  if type(value) == 'table' then return nil, failed(key, value) end
  return value, nil
end

-- Whether the token is one of the n that were granted from first on.
local function covers(first, n, token)
  return first and token >= tonumber(first) and token < tonumber(first) + tonumber(n or 1)
end

-- Whether the owner's lease with this token is in force. Where the record is gone the key decides.
local function in_force(value, owner, token, rec)
  if value ~= owner or rec.r == owner then return false end
  return not rec.o or (rec.o == owner and covers(rec.g, rec.n, token))
end

-- How the lease with this token was lost: 'X' forced, 'D' displaced, 'E' expired.
local function cause_of(value, owner, token, rec)
  if covers(rec.x, rec.xn, token) then return 'X' end
  if value and value ~= owner then return 'D' end
  return 'E'
end

-- Keeps the record for as long as the lease may last and forget_ms more, and for as much longer as
-- its tokens are ahead of the clock; for ever if forget_ms is empty. A value that is to be spared is
-- not forgotten sooner than without this.
local function keep_record(record, ttl_ms, forget_ms, last, now_us, spare_value)
  if forget_ms == '' then
    redis.call('PERSIST', record)
  else
    local ahead_ms = math.max(0, math.ceil((last - now_us) / 1000))
    local keep_ms = tonumber(ttl_ms) + tonumber(forget_ms) + ahead_ms
    if spare_value then
      local left_ms = redis.call('PTTL', record)
      if left_ms == -1 or left_ms > keep_ms then return end
    end
    redis.call('PEXPIRE', record, whole(keep_ms))
  end
end

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Reserves the lock for the first in line whose client still listens and wakes it; frees the lock
-- if there is none. The second in line is told to look again when the claim time is over, in case
-- the first is frozen. waiting is how many may be in line, reserved_for what the record says. In a cluster the number of listeners says nothing (listeners_known is '0').
local function hand_on(keys, waiting, reserved_for, claim_ms, channel, listeners_known)
  for _ = 1, math.min(waiting, 128) do
    local first = redis.call('ZPOPMIN', keys[3])[1]
    if not first then break end
    local owner, client = string.sub(first, 1, 32), string.sub(first, 34)
    local listeners = redis.pcall('PUBLISH', channel .. client, 'w' .. keys[1])
    if listeners_known == '0' or (type(listeners) == 'number' and listeners > 0) then
      redis.call('SET', keys[1], owner, 'PX', claim_ms)
      redis.call('HSET', keys[2], 'r', owner)
      local second = redis.call('ZRANGE', keys[3], 0, 0)[1]
      if second then
        redis.pcall('PUBLISH', channel .. string.sub(second, 34), 's' .. claim_ms .. ':' .. keys[1])
      end
      return
    end
  end
  redis.call('DEL', keys[1])
  if said(reserved_for) then redis.call('HSET', keys[2], 'r', '') end
end
