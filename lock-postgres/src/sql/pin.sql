-- $1 name, $2 owner, $3 token, $4 how long to wait for the row. Keeps everybody from ending the lease or taking its place until the
-- transaction ends, and lets it be renewed.
WITH before AS MATERIALIZED (
  SELECT current_setting('lock_timeout') AS was
), wait AS MATERIALIZED (
  SELECT b.was, set_config('lock_timeout', $4::text, true) AS bounded FROM before b
), seen AS MATERIALIZED (
  SELECT r.* FROM {records} r
  WHERE r.name = $1::text AND (SELECT w.bounded FROM wait w) IS NOT NULL
  FOR KEY SHARE OF r
), clock AS MATERIALIZED (
  SELECT clock_timestamp() AS now, locked.rows FROM (SELECT count(*) AS rows FROM seen) AS locked
)
SELECT
  coalesce(r.expires > c.now AND r.owner = $2::bytea
    AND $3::bigint >= r.token AND $3::bigint < r.token + r.tokens, false) AS held,
  CASE
    WHEN $3::bigint >= r.forced_token AND $3::bigint < r.forced_token + r.forced_tokens THEN 'X'
    WHEN r.expires > c.now OR r.claim_until > c.now THEN 'D'
    ELSE 'E'
  END AS cause,
  -- The transaction's own bound again; if the row was not had in time, it is rolled back with it.
  set_config('lock_timeout', w.was, true) AS restored
FROM clock c CROSS JOIN wait w LEFT JOIN seen r ON r.forget_at IS NULL OR r.forget_at > c.now
