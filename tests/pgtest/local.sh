# Makes a PostgreSQL cluster, serves it until standard input closes, deletes it.
# Standard input is a pipe from the test process: it closes however that ends,
# so nothing stays behind even after a SIGKILL.
#
# $1 folder of the programs   $2 folder for everything   $3 port   $4... settings
set -u
bin=$1 dir=$2 port=$3
shift 3

server=
finish() {
	trap - EXIT
	if [ -n "$server" ]; then
		kill -QUIT "$server" 2>/dev/null
		wait "$server" 2>/dev/null
	fi
	cd / && rm -rf "$dir"
}
trap finish EXIT
trap 'exit 143' HUP INT TERM

fail() {
	echo "$1: $(tail -n 5 "$dir/log")" >&2
	exit 1
}

"$bin/initdb" -D "$dir/data" -U postgres -A password --pwfile="$dir/password" \
	-E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 || fail initdb

"$bin/postgres" -D "$dir/data" -p "$port" -k "$dir" -c listen_addresses=127.0.0.1 "$@" \
	</dev/null >"$dir/log" 2>&1 &
server=$!

# The watcher ends the server when the pipe closes. It takes the pipe by number,
# since a background command's own standard input is /dev/null, and lets go of
# standard error, which the test process reads to its end.
exec 3<&0
{
	cat <&3
	kill -QUIT "$server"
} >/dev/null 2>&1 &
watcher=$!

# A server that ends while the watcher lives has failed: its port was taken.
wait "$server"
server=
if kill "$watcher" 2>/dev/null; then
	fail postgres
fi
