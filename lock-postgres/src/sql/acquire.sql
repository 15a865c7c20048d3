-- $1 name, $2 owner, $3 ttl in ms, $4 tokens, $5 label, $6 client, $7 stand in line,
-- $8 forget after ms or null, $9 spare a value, $10 how long to wait for the row.
WITH glance AS MATERIALIZED (
  -- Whoever the snapshot already refuses locks and writes nothing.
  SELECT greatest(r.expires, r.claim_until) AS until, r.expires, r.owner, r.label
  FROM {records} r
  WHERE r.name = $1::text
    AND r.owner IS DISTINCT FROM $2::bytea
    AND r.claim_owner IS DISTINCT FROM $2::bytea
    AND r.previous_owner IS DISTINCT FROM $2::bytea
    AND (NOT $7::boolean OR $2::bytea || $6::bytea = ANY (r.line))
    AND (r.forget_at IS NULL OR r.forget_at > clock_timestamp())
), waits AS MATERIALIZED (
  SELECT g.*, clock_timestamp() AS now FROM glance g WHERE g.until > clock_timestamp()
), seen AS MATERIALIZED (
  -- Waits for whoever has the row, and then reads its newest version, not the snapshot's.
  SELECT r.* FROM {records} r
  WHERE r.name = $1::text
    AND NOT EXISTS (SELECT FROM waits)
    AND (SELECT set_config('lock_timeout', $10::text, true)) IS NOT NULL
  FOR UPDATE OF r
), clock AS MATERIALIZED (
  -- Read once, and after the row is locked.
  SELECT clock_timestamp() AS now, locked.rows FROM (SELECT count(*) AS rows FROM seen) AS locked
), judged AS MATERIALIZED (
  SELECT c.now, round(extract(epoch FROM c.now) * 1000000)::bigint AS now_us, r.*,
    CASE
      WHEN r.expires > c.now AND r.owner = $2::bytea THEN 'same'
      WHEN r.claim_until > c.now AND r.claim_owner = $2::bytea THEN 'granted'
      WHEN r.owner = $2::bytea AND r.ended IS NOT NULL THEN 'ended'
      WHEN r.previous_owner = $2::bytea AND r.previous IN ('R', 'X') THEN 'ended'
      WHEN r.expires > c.now OR r.claim_until > c.now THEN 'refused'
      ELSE 'granted'
    END AS verdict
  FROM clock c
  LEFT JOIN seen r ON r.forget_at IS NULL OR r.forget_at > c.now
  WHERE NOT EXISTS (SELECT FROM waits)
), priced AS MATERIALIZED (
  SELECT j.*,
    CASE j.verdict WHEN 'granted' THEN greatest(j.now_us, coalesce(j.last_token, 0) + 1) ELSE j.token END
      AS grant_token,
    -- No further ahead of the clock than one block: the rest of many would add up, and tokens begin at
    -- the clock again if everything is lost.
    CASE j.verdict
      WHEN 'granted' THEN greatest($4::bigint - greatest(coalesce(j.last_token, 0) + 1 - j.now_us, 0), 1)
      ELSE j.tokens
    END AS grant_tokens,
    j.verdict = 'refused' AND $7::boolean AND NOT $2::bytea || $6::bytea = ANY (j.line) AS stands
  FROM judged j
), next AS MATERIALIZED (
  SELECT p.*,
    CASE WHEN p.verdict = 'granted' THEN p.grant_token + p.grant_tokens - 1 ELSE p.last_token END AS grant_last,
    CASE
      WHEN p.verdict = 'same' THEN p.previous
      WHEN p.owner IS NULL THEN 'F'
      ELSE coalesce(p.ended, 'A')
    END AS grant_previous,
    CASE WHEN p.verdict = 'same' THEN p.previous_owner ELSE p.owner END AS grant_previous_owner,
    CASE WHEN p.verdict = 'same' THEN p.previous_token ELSE p.token END AS grant_previous_token,
    array_remove(coalesce(p.line, '{}'), $2::bytea || $6::bytea) AS grant_line
  FROM priced p
), kept AS MATERIALIZED (
  -- Never forgotten before the clock has passed its last token; a spared value not sooner than before.
  SELECT n.*,
    CASE
      WHEN $8::bigint IS NULL THEN NULL
      WHEN $9::boolean AND n.state IS NOT NULL AND n.forget_at IS NULL THEN NULL
      ELSE greatest(
        n.now + ($3::bigint + $8::bigint) * interval '1 millisecond',
        timestamptz 'epoch' + (n.grant_last + 1) * interval '1 microsecond',
        CASE WHEN $9::boolean AND n.state IS NOT NULL THEN n.forget_at END)
    END AS grant_forget_at
  FROM next n
), granted AS (
  -- A row that was not there when it was judged is not touched if it is there now.
  INSERT INTO {records} AS r (name, changes, last_token, owner, token, tokens, since, expires, label,
    client, previous, previous_owner, previous_token, forced_token, forced_tokens,
    format, commit_token, commit_sequence, line, forget_at)
  SELECT $1::text, coalesce((SELECT s.changes FROM seen s), 0) + 1, k.grant_last, $2::bytea,
    k.grant_token, k.grant_tokens, k.now, k.now + $3::bigint * interval '1 millisecond', $5::text,
    $6::bytea, k.grant_previous, k.grant_previous_owner, k.grant_previous_token, k.forced_token,
    k.forced_tokens, k.format, k.commit_token, k.commit_sequence, k.grant_line, k.grant_forget_at
  FROM kept k WHERE k.verdict = 'granted'
  ON CONFLICT (name) DO UPDATE SET
    changes = EXCLUDED.changes, last_token = EXCLUDED.last_token, owner = EXCLUDED.owner,
    token = EXCLUDED.token, tokens = EXCLUDED.tokens, since = EXCLUDED.since,
    expires = EXCLUDED.expires, label = EXCLUDED.label, client = EXCLUDED.client, ended = NULL,
    previous = EXCLUDED.previous, previous_owner = EXCLUDED.previous_owner,
    previous_token = EXCLUDED.previous_token, forced_token = EXCLUDED.forced_token,
    forced_tokens = EXCLUDED.forced_tokens, claim_owner = NULL, claim_until = '-infinity',
    -- A record whose time to be forgotten has come is as good as none.
    state = CASE WHEN EXCLUDED.commit_token IS NULL THEN NULL ELSE r.state END,
    format = EXCLUDED.format, commit_token = EXCLUDED.commit_token,
    commit_sequence = EXCLUDED.commit_sequence, line = EXCLUDED.line, forget_at = EXCLUDED.forget_at
  WHERE r.changes = EXCLUDED.changes - 1
  RETURNING r.changes
), changed AS (
  UPDATE {records} r SET
    changes = k.changes + 1,
    expires = CASE WHEN k.stands THEN k.expires ELSE k.now + $3::bigint * interval '1 millisecond' END,
    forget_at = CASE WHEN k.stands THEN k.forget_at ELSE k.grant_forget_at END,
    line = CASE WHEN k.stands THEN k.line || ARRAY[$2::bytea || $6::bytea] ELSE k.grant_line END
  FROM kept k
  WHERE r.name = k.name AND r.changes = k.changes AND (k.verdict = 'same' OR k.stands)
  RETURNING r.changes
)
SELECT 'refused' AS verdict, ceil(extract(epoch FROM w.until - w.now) * 1000)::bigint AS left_ms,
  NULL::bigint AS token, NULL::bigint AS tokens, NULL::bytea AS state, NULL::smallint AS format,
  NULL::text AS previous, NULL::bytea AS previous_owner, NULL::bigint AS previous_token,
  false AS others_wait,
  -- Nobody holds what is only reserved.
  CASE WHEN w.expires > w.now THEN w.owner END AS holder,
  CASE WHEN w.expires > w.now THEN w.label END AS label
FROM waits w
UNION ALL
SELECT
  CASE
    WHEN k.verdict = 'granted' AND NOT EXISTS (SELECT FROM granted) THEN 'again'
    WHEN (k.verdict = 'same' OR k.stands) AND NOT EXISTS (SELECT FROM changed) THEN 'again'
    ELSE k.verdict
  END,
  CASE k.verdict WHEN 'refused' THEN
    ceil(extract(epoch FROM greatest(k.expires, k.claim_until) - k.now) * 1000)::bigint END,
  k.grant_token, k.grant_tokens,
  CASE WHEN k.verdict IN ('granted', 'same') THEN k.state END,
  k.format, k.grant_previous, k.grant_previous_owner, k.grant_previous_token,
  cardinality(k.grant_line) > 0,
  CASE WHEN k.verdict = 'refused' AND k.expires > k.now THEN k.owner END,
  CASE WHEN k.verdict = 'refused' AND k.expires > k.now THEN k.label END
FROM kept k
