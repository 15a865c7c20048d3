-- $1 name.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT {info}
WHERE r.name = $1::text AND (r.forget_at IS NULL OR r.forget_at > c.now)
