-- $1 name, $2 owner, $3 claim time in ms, $4 channel prefix, $5 how long to wait for the row.
WITH seen AS MATERIALIZED (
  SELECT r.* FROM {records} r
  WHERE r.name = $1::text AND (SELECT set_config('lock_timeout', $5::text, true)) IS NOT NULL
  FOR UPDATE OF r
), clock AS MATERIALIZED (
  SELECT clock_timestamp() AS now, locked.rows FROM (SELECT count(*) AS rows FROM seen) AS locked
), weighed AS MATERIALIZED (
  SELECT c.now, r.*, $2::bytea AS leaver,
    r.expires > c.now AND r.owner = $2::bytea AS held,
    coalesce(r.claim_until > c.now AND r.claim_owner = $2::bytea, false) AS claims
  FROM clock c JOIN seen r ON r.forget_at IS NULL OR r.forget_at > c.now
), judged AS MATERIALIZED (
  SELECT w.*, w.held OR w.claims AS frees FROM weighed w
), {heir}, written AS (
  UPDATE {records} r SET
    changes = h.changes + 1,
    ended = CASE WHEN h.held THEN 'R' ELSE h.ended END,
    expires = CASE WHEN h.held THEN '-infinity' ELSE h.expires END,
    claim_owner = CASE WHEN h.frees THEN h.heir ELSE h.claim_owner END,
    claim_until = CASE WHEN h.frees THEN h.heir_until ELSE h.claim_until END,
    line = h.line_left
  FROM handed h
  WHERE r.name = h.name AND r.changes = h.changes AND (h.frees OR h.line_left <> h.line)
  RETURNING r.line
), {told}
SELECT
  CASE
    WHEN (h.frees OR h.line_left <> h.line) AND NOT EXISTS (SELECT FROM written) THEN 'again'
    WHEN h.held THEN 'released'
    ELSE 'not held'
  END AS verdict, (SELECT count(*) FROM told) AS told
FROM handed h
