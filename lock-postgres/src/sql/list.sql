-- $1 what the names begin with, $2 how many at most.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT {info}
WHERE r.name >= $1::text AND starts_with(r.name, $1::text) AND r.expires > c.now
ORDER BY r.name LIMIT $2::bigint
