-- As release.sql, for a holder with nobody in line; otherwise it answers and writes nothing.
WITH seen AS MATERIALIZED (
  SELECT r.changes FROM {records} r
  WHERE r.name = $1::text AND r.owner = $2::bytea AND r.line = '{}'
    AND (SELECT set_config('lock_timeout', $5::text, true)) IS NOT NULL
  FOR UPDATE OF r
), clock AS MATERIALIZED (
  SELECT s.changes, clock_timestamp() AS now FROM seen s
)
UPDATE {records} r SET
  changes = r.changes + 1, ended = 'R', expires = '-infinity', claim_owner = NULL,
  claim_until = '-infinity'
FROM clock c
WHERE r.name = $1::text AND r.changes = c.changes AND r.owner = $2::bytea AND r.expires > c.now
  AND r.line = '{}'
RETURNING 'released' AS verdict
