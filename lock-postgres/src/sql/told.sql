told AS MATERIALIZED (
  -- Wakes the heir, and has the next one look again after the claim time in case the heir is frozen.
  SELECT pg_notify({channel} || encode(substr(h.member, 17, 16), 'hex'), 'w' || $1::text)
  FROM written w, heir h
  UNION ALL
  SELECT pg_notify({channel} || encode(substr(w.line[1], 17, 16), 'hex'), 's' || {claim_ms} || ':' || $1::text)
  FROM written w, heir h WHERE cardinality(w.line) > 0
)
