-- $1 name, $2 owner, $3 token. Keeps everybody from ending the lease or taking its place until the
-- transaction ends, and lets it be renewed.
WITH seen AS MATERIALIZED (
  SELECT r.* FROM {records} r WHERE r.name = $1::text FOR KEY SHARE OF r
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
  END AS cause
FROM clock c LEFT JOIN seen r ON r.forget_at IS NULL OR r.forget_at > c.now
