-- One row is all that is kept of one lock. Times are the server's.
CREATE {unlogged}TABLE IF NOT EXISTS {records} (
  -- The name itself: nothing is folded or hashed. (A backslash is written \\ and a NUL \0.)
  name            text COLLATE "C" PRIMARY KEY,
  -- Counts the changes of the row: a step writes only to the very row that it judged.
  changes         bigint NOT NULL,
  -- The largest token granted or reserved so far.
  last_token      bigint NOT NULL,
  -- The last grant. It is in force until it expires; what ends it sooner sets -infinity.
  owner           bytea,
  token           bigint,
  tokens          bigint,
  since           timestamptz,
  expires         timestamptz NOT NULL DEFAULT '-infinity',
  label           text NOT NULL DEFAULT '',
  client          bytea,
  -- How it ended: R released, X forced; null while it lasts or if it ran out.
  ended           text,
  -- How the grant before it ended: F there was none, R, X, or A abandoned.
  previous        text NOT NULL DEFAULT 'F',
  previous_owner  bytea,
  previous_token  bigint,
  -- The last grant that ended by force.
  forced_token    bigint,
  forced_tokens   bigint,
  -- For whom a release keeps the lock, and until when.
  claim_owner     bytea,
  claim_until     timestamptz NOT NULL DEFAULT '-infinity',
  -- The value, and the commit that wrote it.
  state           bytea,
  format          smallint,
  commit_token    bigint,
  commit_sequence bigint,
  -- Who waits, in order: 16 bytes of the owner and 16 of its client.
  line            bytea[] NOT NULL DEFAULT '{}',
  -- When the row is forgotten if nobody uses it; null is never.
  forget_at       timestamptz
) WITH (fillfactor = 70);
