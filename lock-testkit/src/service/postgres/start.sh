# Makes the data unless it is there, then becomes the server. The arguments are the server's.
server=$(command -v "$program" || ls /usr/lib/postgresql/*/bin/"$program" | tail -n 1)
if [ ! -d "{data}/postgres" ]; then
  "$(dirname "$server")/initdb" --pgdata="{data}/new" --username=postgres --auth=trust \
    --encoding=UTF8 --locale=C --no-sync --no-instructions >/dev/null
  # There as a whole, or not at all.
  mv "{data}/new" "{data}/postgres"
fi
exec "$server" "$@"
