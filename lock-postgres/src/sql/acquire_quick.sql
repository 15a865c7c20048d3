-- As acquire.sql, where the lock is free or kept for this owner, or where the snapshot refuses it;
-- otherwise it answers and writes nothing.
WITH clock AS MATERIALIZED (
  -- Read before the row is locked: what waited for the row judges and counts from a moment too early.
  SELECT clock_timestamp() AS now, set_config('lock_timeout', $10::text, true) AS wait
), taken AS MATERIALIZED (
  -- What the snapshot shows as another's, or as due to be forgotten, is not locked.
  SELECT greatest(s.expires, s.claim_until) AS until, s.*
  FROM clock c JOIN {records} s ON s.name = $1::text
  WHERE greatest(s.expires, s.claim_until) > c.now AND s.claim_owner IS DISTINCT FROM $2::bytea
    OR s.forget_at <= c.now
), granted AS (
  INSERT INTO {records} AS r (name, changes, last_token, owner, token, tokens, since, expires, label,
    client, forget_at)
  SELECT $1::text, 1, a.now_us + $4::bigint - 1, $2::bytea, a.now_us, $4::bigint, a.now,
    a.now + $3::bigint * interval '1 millisecond', $5::text, $6::bytea,
    CASE WHEN $8::bigint IS NOT NULL THEN greatest(
      a.now + ($3::bigint + $8::bigint) * interval '1 millisecond',
      timestamptz 'epoch' + (a.now_us + $4::bigint) * interval '1 microsecond') END
  FROM (
    SELECT c.now, round(extract(epoch FROM c.now) * 1000000)::bigint AS now_us FROM clock c
    WHERE c.wait IS NOT NULL AND NOT EXISTS (SELECT FROM taken)
  ) a
  -- Judges the newest version of the row, and has it locked. That the key is among what is set has it
  -- locked as a whole, so that it waits for a fence.
  ON CONFLICT (name) DO UPDATE SET
    name = EXCLUDED.name, changes = r.changes + 1,
    -- No further ahead of the clock than one block.
    last_token = greatest(EXCLUDED.last_token, r.last_token + 1),
    owner = EXCLUDED.owner, token = greatest(EXCLUDED.token, r.last_token + 1),
    tokens = greatest(EXCLUDED.last_token, r.last_token + 1)
      - greatest(EXCLUDED.token, r.last_token + 1) + 1,
    since = EXCLUDED.since, expires = EXCLUDED.expires,
    label = EXCLUDED.label, client = EXCLUDED.client, ended = NULL,
    previous = CASE WHEN r.owner IS NULL THEN 'F' ELSE coalesce(r.ended, 'A') END,
    previous_owner = r.owner, previous_token = r.token, claim_owner = NULL, claim_until = '-infinity',
    line = array_remove(r.line, EXCLUDED.owner || EXCLUDED.client),
    forget_at = CASE
      WHEN EXCLUDED.forget_at IS NULL THEN NULL
      WHEN $9::boolean AND r.state IS NOT NULL AND r.forget_at IS NULL THEN NULL
      ELSE greatest(
        EXCLUDED.forget_at,
        timestamptz 'epoch' + (r.last_token + 2) * interval '1 microsecond',
        CASE WHEN $9::boolean AND r.state IS NOT NULL THEN r.forget_at END)
    END
  WHERE r.expires <= EXCLUDED.since AND (r.forget_at IS NULL OR r.forget_at > EXCLUDED.since)
    AND CASE
      WHEN r.claim_until > EXCLUDED.since THEN r.claim_owner = EXCLUDED.owner
      ELSE r.owner IS DISTINCT FROM EXCLUDED.owner
        AND (r.previous_owner IS DISTINCT FROM EXCLUDED.owner OR r.previous NOT IN ('R', 'X'))
    END
  RETURNING r.token, r.tokens, r.state, r.format, r.previous, r.previous_owner, r.previous_token,
    cardinality(r.line) > 0 AS others_wait
)
SELECT 'granted' AS verdict, NULL::bigint AS left_ms, g.*, NULL::bytea AS holder, NULL::text AS label
FROM granted g
UNION ALL
-- Who is to stand in line and does not yet takes the whole statement.
SELECT 'refused', ceil(extract(epoch FROM t.until - c.now) * 1000)::bigint, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL,
  -- Nobody holds what is only reserved.
  CASE WHEN t.expires > c.now THEN t.owner END, CASE WHEN t.expires > c.now THEN t.label END
FROM taken t CROSS JOIN clock c
WHERE t.owner IS DISTINCT FROM $2::bytea AND t.previous_owner IS DISTINCT FROM $2::bytea
  AND (NOT $7::boolean OR $2::bytea || $6::bytea = ANY (t.line))
  AND (t.forget_at IS NULL OR t.forget_at > c.now)
