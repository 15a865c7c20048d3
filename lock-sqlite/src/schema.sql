-- Version 1. The row of a name: its lease or reservation, how the lease before ended, and the commit
-- that wrote its value. Names are bytes; times are nanoseconds since the boot that stands beside them.
CREATE TABLE locks (
  id INTEGER PRIMARY KEY,
  namespace BLOB NOT NULL,
  name BLOB NOT NULL,
  last_token INTEGER NOT NULL,
  owner BLOB, client BLOB,
  token INTEGER, tokens INTEGER,          -- NULL while it is reserved for the owner
  boot BLOB, since_ns INTEGER, expires_ns INTEGER,
  label TEXT,
  ended_how TEXT, ended_owner BLOB, ended_token INTEGER, ended_tokens INTEGER,
  commit_token INTEGER, commit_sequence INTEGER,
  forget_at_us INTEGER,                   -- by the wall clock; NULL is never
  UNIQUE (namespace, name)
) STRICT;
-- So that whoever looks for names to forget does not read them all.
CREATE INDEX locks_to_forget ON locks (forget_at_us) WHERE forget_at_us IS NOT NULL;
-- Apart, so that a renewal does not write the value again.
CREATE TABLE states (
  lock_id INTEGER PRIMARY KEY,
  format INTEGER NOT NULL,
  bytes BLOB NOT NULL
) STRICT;
-- The owners that wait, in the order of their places.
CREATE TABLE line (
  place INTEGER PRIMARY KEY,
  lock_id INTEGER NOT NULL,
  owner BLOB NOT NULL,
  client BLOB NOT NULL,
  UNIQUE (lock_id, owner)
) STRICT;
-- The largest token of the names that are forgotten: a name that comes back goes on from here.
CREATE TABLE forgotten (
  last_token INTEGER NOT NULL
) STRICT;
INSERT INTO forgotten VALUES (0);
