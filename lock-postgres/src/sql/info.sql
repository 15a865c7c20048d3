  r.name, r.last_token, cardinality(r.line)::bigint AS waiting, r.expires > c.now AS held,
  CASE WHEN r.expires > c.now THEN r.previous WHEN r.owner IS NULL THEN 'F'
    ELSE coalesce(r.ended, 'A') END AS previous,
  CASE WHEN r.expires > c.now THEN r.previous_owner ELSE r.owner END AS previous_owner,
  CASE WHEN r.expires > c.now THEN r.previous_token ELSE r.token END AS previous_token,
  r.owner, r.token, r.label, round(extract(epoch FROM c.now - r.since) * 1000)::bigint AS held_ms,
  CASE WHEN r.expires > c.now THEN ceil(extract(epoch FROM r.expires - c.now) * 1000)::bigint END AS left_ms
FROM {records} r CROSS JOIN clock c
