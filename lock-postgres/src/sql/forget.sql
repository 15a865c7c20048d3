-- Takes away rows whose time has come, and waits for none.
DELETE FROM {records} WHERE name IN (
  SELECT r.name FROM {records} r
  WHERE r.forget_at <= clock_timestamp() AND r.expires <= clock_timestamp()
  LIMIT 1000 FOR UPDATE SKIP LOCKED)
