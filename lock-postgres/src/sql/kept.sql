-- $1 name. Whether another transaction has its row.
WITH free AS MATERIALIZED (
  SELECT r.name FROM {records} r WHERE r.name = $1::text FOR UPDATE OF r SKIP LOCKED
)
SELECT EXISTS (SELECT FROM {records} r WHERE r.name = $1::text) AND NOT EXISTS (SELECT FROM free) AS kept
