-- As commit.sql, for a holder with nobody in line; otherwise it answers and writes nothing.
WITH seen AS MATERIALIZED (
  SELECT r.changes FROM {records} r
  WHERE r.name = $1::text AND r.owner = $2::bytea AND r.line = '{}'
    AND (SELECT set_config('lock_timeout', $10::text, true)) IS NOT NULL
  FOR {strength} OF r
), clock AS MATERIALIZED (
  SELECT s.changes, clock_timestamp() AS now FROM seen s
)
UPDATE {records} r SET
  changes = r.changes + 1,
  state = $5::bytea, format = $6::smallint, commit_token = $3::bigint, commit_sequence = $4::bigint,
  ended = CASE WHEN $7::boolean THEN 'R' END,
  expires = CASE WHEN $7::boolean THEN '-infinity' ELSE r.expires END,
  claim_owner = NULL, claim_until = '-infinity'
FROM clock c
WHERE r.name = $1::text AND r.changes = c.changes AND r.owner = $2::bytea AND r.expires > c.now
  AND r.line = '{}'
  AND $3::bigint >= r.token AND $3::bigint < r.token + r.tokens
  AND (r.commit_token IS NULL OR r.commit_token < $3::bigint
    OR r.commit_token = $3::bigint AND r.commit_sequence < $4::bigint)
RETURNING 'committed' AS verdict, false AS others_wait
