-- $1 name, $2 claim time in ms, $3 channel prefix, $4 how long to wait for the row.
WITH seen AS MATERIALIZED (
  SELECT r.* FROM {records} r
  WHERE r.name = $1::text AND (SELECT set_config('lock_timeout', $4::text, true)) IS NOT NULL
  FOR UPDATE OF r
), clock AS MATERIALIZED (
  SELECT clock_timestamp() AS now, locked.rows FROM (SELECT count(*) AS rows FROM seen) AS locked
), judged AS MATERIALIZED (
  SELECT c.now, r.*, ''::bytea AS leaver, r.expires > c.now AS frees
  FROM clock c JOIN seen r ON r.forget_at IS NULL OR r.forget_at > c.now
), {heir}, written AS (
  UPDATE {records} r SET
    changes = h.changes + 1, ended = 'X', expires = '-infinity',
    forced_token = h.token, forced_tokens = h.tokens,
    claim_owner = h.heir, claim_until = h.heir_until, line = h.line_left
  FROM handed h
  WHERE r.name = h.name AND r.changes = h.changes AND h.frees
  RETURNING r.line, r.client
), {told}, alarmed AS MATERIALIZED (
  SELECT pg_notify($3::text || encode(w.client, 'hex'), 'f' || $1::text) FROM written w
)
SELECT
  CASE
    WHEN NOT h.frees THEN 'not held'
    WHEN EXISTS (SELECT FROM written) THEN 'released'
    ELSE 'again'
  END AS verdict,
  h.owner, h.token, h.label, round(extract(epoch FROM h.now - h.since) * 1000)::bigint AS held_ms,
  CASE WHEN h.frees THEN ceil(extract(epoch FROM h.expires - h.now) * 1000)::bigint END AS left_ms,
  (SELECT count(*) FROM told) + (SELECT count(*) FROM alarmed) AS told
FROM handed h
