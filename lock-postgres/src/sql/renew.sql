-- Of each lease: $1 names, $2 owners, $3 tokens, $4 ttls in ms, $5 forget after ms or null, $6 spare a
-- value. $7 is how long to wait for the rows.
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[])
    WITH ORDINALITY AS a(name, owner, token, ttl_ms, forget_ms, spare, place)
), seen AS MATERIALIZED (
  -- In one order, so that two batches never wait for each other.
  SELECT r.* FROM {records} r
  WHERE r.name IN (SELECT a.name FROM asked a)
    AND (SELECT set_config('lock_timeout', $7::text, true)) IS NOT NULL
  ORDER BY r.name
  FOR NO KEY UPDATE OF r {skip}
), clock AS MATERIALIZED (
  SELECT clock_timestamp() AS now, locked.rows FROM (SELECT count(*) AS rows FROM seen) AS locked
), judged AS MATERIALIZED (
  SELECT a.place, a.token AS asked_token, a.ttl_ms, a.forget_ms, a.spare, c.now, r.*,
    coalesce(r.expires > c.now AND r.owner = a.owner
      AND a.token >= r.token AND a.token < r.token + r.tokens, false) AS held
  FROM clock c CROSS JOIN asked a
  LEFT JOIN seen r ON r.name = a.name AND (r.forget_at IS NULL OR r.forget_at > c.now)
), kept AS MATERIALIZED (
  SELECT j.*,
    CASE
      WHEN j.forget_ms IS NULL THEN NULL
      WHEN j.spare AND j.state IS NOT NULL AND j.forget_at IS NULL THEN NULL
      ELSE greatest(
        j.now + (j.ttl_ms + j.forget_ms) * interval '1 millisecond',
        timestamptz 'epoch' + (j.last_token + 1) * interval '1 microsecond',
        CASE WHEN j.spare AND j.state IS NOT NULL THEN j.forget_at END)
    END AS next_forget_at
  FROM judged j
), written AS (
  UPDATE {records} r SET
    changes = k.changes + 1, expires = k.now + k.ttl_ms * interval '1 millisecond',
    forget_at = k.next_forget_at
  FROM kept k
  WHERE r.name = k.name AND r.changes = k.changes AND k.held
  RETURNING r.name
)
SELECT
  CASE
    WHEN k.held AND EXISTS (SELECT FROM written w WHERE w.name = k.name) THEN 'renewed'
    WHEN k.held THEN 'again'
    -- Another transaction has the row: ask for this one alone.
    WHEN k.name IS NULL AND EXISTS (SELECT FROM {records} r JOIN asked a ON a.name = r.name
      WHERE a.place = k.place AND NOT EXISTS (SELECT FROM seen s WHERE s.name = r.name)) THEN 'again'
    WHEN k.asked_token >= k.forced_token AND k.asked_token < k.forced_token + k.forced_tokens THEN 'X'
    WHEN k.expires > k.now OR k.claim_until > k.now THEN 'D'
    ELSE 'E'
  END AS verdict,
  coalesce(cardinality(k.line) > 0, false) AS others_wait
FROM kept k ORDER BY k.place
