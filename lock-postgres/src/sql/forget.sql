-- $1 how many at most. Takes away rows whose time has come, and waits for none.
WITH gone AS (
  DELETE FROM {records} WHERE name IN (
    SELECT r.name FROM {records} r
    WHERE r.forget_at <= clock_timestamp() AND r.expires <= clock_timestamp()
    LIMIT $1::bigint FOR UPDATE SKIP LOCKED)
  RETURNING 1
)
SELECT count(*) AS gone FROM gone
