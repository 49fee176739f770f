# setup.sh: what the benchmarks share.  To be sourced.
#
# The library is built as for use (-O2, no assertions), the server writes as it does for use (fsync on), and what would
# disturb a measurement in the middle, checkpoints and autovacuum, is kept out of it.
. "$(dirname "${BASH_SOURCE[0]}")/../test/lib/setup.sh"

# bench_begin SCRIPT ARGS…: build, start a server, say what machine this is.
bench_begin()
{
	setup_begin "$@"
	setup_build
	server_start bench 'shared_buffers = 3GB' 'max_wal_size = 32GB' 'checkpoint_timeout = 1h' 'autovacuum = off' \
		'jit = off' 'max_parallel_workers_per_gather = 0' 'huge_pages = off'
	psql -qX -c 'CREATE EXTENSION streamfuse'
	say "$(psql -AtX -c 'SHOW server_version'), $(nproc) cores, $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo)"
}

sql() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }

# timed COMMAND…: runs it, prints its wall time in seconds.
timed()
{
	local begin=${EPOCHREALTIME/./} end

	"$@" >/dev/null
	end=${EPOCHREALTIME/./}
	awk -v us=$((end - begin)) 'BEGIN { printf "%.3f\n", us / 1e6 }'
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

client()
{
	[ -x "$SF_WORK/client" ] ||
		gcc -O2 -I"$SF_INCLUDE" "$SF_WORK/src/bench/client.c" -o "$SF_WORK/client" -L"$SF_LIB" -Wl,-rpath,"$SF_LIB" -lpq
	"$SF_WORK/client" "$@"
}
