-- $1 name, $2 owner, $3 token, $4 sequence, $5 state, $6 format, $7 whether to release, $8 claim time
-- in ms, $9 channel prefix, $10 how long to wait for the row.
WITH seen AS MATERIALIZED (
  SELECT r.* FROM {records} r
  WHERE r.name = $1::text AND (SELECT set_config('lock_timeout', $10::text, true)) IS NOT NULL
  FOR {strength} OF r
), clock AS MATERIALIZED (
  SELECT clock_timestamp() AS now, locked.rows FROM (SELECT count(*) AS rows FROM seen) AS locked
), weighed AS MATERIALIZED (
  SELECT c.now, r.*, $2::bytea AS leaver,
    CASE
      -- Applied already, by this request or by a later one under the same token.
      WHEN r.commit_token = $3::bigint AND r.commit_sequence >= $4::bigint THEN 'committed'
      WHEN r.expires > c.now AND r.owner = $2::bytea
        AND $3::bigint >= r.token AND $3::bigint < r.token + r.tokens
        AND coalesce(r.commit_token, 0) <= $3::bigint THEN 'write'
      ELSE 'lost'
    END AS verdict,
    CASE
      WHEN $3::bigint >= r.forced_token AND $3::bigint < r.forced_token + r.forced_tokens THEN 'X'
      WHEN r.expires > c.now OR r.claim_until > c.now THEN 'D'
      ELSE 'E'
    END AS cause
  FROM clock c LEFT JOIN seen r ON r.forget_at IS NULL OR r.forget_at > c.now
), judged AS MATERIALIZED (
  SELECT w.*, w.verdict = 'write' AND $7::boolean AS frees FROM weighed w
), {heir}, written AS (
  UPDATE {records} r SET
    changes = h.changes + 1,
    state = $5::bytea, format = $6::smallint, commit_token = $3::bigint, commit_sequence = $4::bigint,
    ended = CASE WHEN h.frees THEN 'R' END,
    expires = CASE WHEN h.frees THEN '-infinity' ELSE h.expires END,
    claim_owner = h.heir, claim_until = h.heir_until, line = h.line_left
  FROM handed h
  WHERE r.name = h.name AND r.changes = h.changes AND h.verdict = 'write'
  RETURNING r.line
), {told}
SELECT
  CASE
    WHEN h.verdict <> 'write' THEN h.verdict
    WHEN EXISTS (SELECT FROM written) THEN 'committed'
    ELSE 'again'
  END AS verdict,
  cardinality(h.line) > 0 AS others_wait, h.cause, h.commit_token, (SELECT count(*) FROM told) AS told
FROM handed h
