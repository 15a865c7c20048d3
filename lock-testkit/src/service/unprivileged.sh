# For servers that refuse to run as root: runs this file again as another user where root runs it.
set -eu
mkdir -p "{data}"
if [ "$(id -u)" = 0 ]; then
  user=postgres
  id "$user" >/dev/null 2>&1 || user=nobody
  chmod 711 "{files}"
  chown -R "$user" "{data}"
  exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups sh "$0" "$@"
fi
program=$1
shift
