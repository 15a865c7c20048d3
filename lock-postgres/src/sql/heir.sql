heir AS MATERIALIZED (
  -- The first in line whose client still listens: a listener shares the advisory lock of its client.
  SELECT m.member, m.place::int AS place
  FROM judged j CROSS JOIN LATERAL unnest(j.line) WITH ORDINALITY AS m(member, place)
  WHERE j.frees AND substr(m.member, 1, 16) <> j.leaver
    AND NOT pg_try_advisory_xact_lock(('x' || encode(substr(m.member, 17, 8), 'hex'))::bit(64)::bigint)
  ORDER BY m.place LIMIT 1
), handed AS MATERIALIZED (
  SELECT j.*, substr(h.member, 1, 16) AS heir,
    CASE WHEN h.member IS NULL THEN '-infinity' ELSE j.now + {claim_ms} * interval '1 millisecond' END
      AS heir_until,
    CASE
      WHEN j.frees AND h.member IS NULL THEN '{}'
      ELSE ARRAY(
        SELECT m.member FROM unnest(j.line) WITH ORDINALITY AS m(member, place)
        WHERE m.place > coalesce(h.place, 0) AND substr(m.member, 1, 16) <> j.leaver ORDER BY m.place)
    END AS line_left
  FROM judged j LEFT JOIN heir h ON true
)
