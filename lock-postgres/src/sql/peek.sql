-- $1 name.
SELECT r.state, r.format, r.commit_token FROM {records} r
WHERE r.name = $1::text AND r.state IS NOT NULL
  AND (r.forget_at IS NULL OR r.forget_at > clock_timestamp())
