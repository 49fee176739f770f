# lib.sh: what bench/run, its parts and bench/nexmark share.  To be sourced after test/lib/setup.sh.
#
# The library is built as for use (-O2, no assertions), the server writes as it does for use (fsync on), and what would
# disturb a measurement in the middle, checkpoints and autovacuum, is kept out of it.  Transactions do not wait for the
# disk (synchronous_commit off), which would drown all else in what the machine's disk and its neighbours do.  WAL files
# are not filled with zeros first: a server that has run for a while takes old ones again.

# What the script's first comment says.
usage() { awk 'NR > 1 && /^#/ { sub(/^# ?/, ""); print; next } NR > 1 { exit }' "$0"; }

heading() { printf '\n== %s\n' "$*"; }

sql() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }

# often N QUICK: how often to repeat something.
often() { [ -z "$quick" ] && echo "$1" || echo "$2"; }

valgrind_install()
{
	command -v valgrind >/dev/null || apt_install valgrind >/dev/null || die "valgrind is missing"
}

client_build()
{
	gcc -O2 -I"$SF_INCLUDE" "$SF_WORK"/src/bench/client/*.c -o "$SF_WORK/client" -L"$SF_LIB" -Wl,-rpath,"$SF_LIB" -lpq -lpthread -lm
}

client() { "$SF_WORK/client" "$@"; }

machine_text()
{
	local memory

	memory=$(awk '/MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)
	echo "$("$PG_CONFIG" --version), $(nproc) cores, $memory GB, $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo)"
}

# bench_server NAME [LINE…]
bench_server()
{
	local name=$1
	shift

	server_start "$name" 'shared_buffers = 2GB' 'max_wal_size = 32GB' 'checkpoint_timeout = 1h' 'autovacuum = off' \
		'synchronous_commit = off' 'jit = off' 'max_parallel_workers_per_gather = 0' 'huge_pages = off' \
		'max_connections = 50' 'max_worker_processes = 16' 'wal_init_zero = off' "$@"
}

# result NAME UNIT VALUES…: one figure, the median of the values, to the results.
result()
{
	local name=$1 unit=$2
	shift 2

	printf '%s\n' "$@" | sort -g | awk -v name="$name" -v unit="$unit" -v file="$SF_RESULTS" '
		{ v[NR] = $1 }
		END {
			value = v[int(NR / 2) + 1]
			printf "%-44s %12.4g %s%s\n", name, value, unit, (NR > 1 ? sprintf("  (%.4g to %.4g, %d)", v[1], v[NR], NR) : "")
			printf "%s\t%s\t%.6g\t%.6g\t%.6g\t%d\n", name, unit, value, v[1], v[NR], NR >>file
		}'
}

# bounded NAME UNIT LEAST VALUES…: the same, and whether the median is at least that.
bounded()
{
	local name=$1 unit=$2 least=$3
	shift 3

	result "$name" "$unit" "$@"
	printf '%s\n' "$@" | sort -g | awk -v least="$least" '{ v[NR] = $1 }
		END { printf("    at least %s: %s\n", least, (v[int(NR / 2) + 1] >= least ? "yes" : "NO")) }'
}

# seconds_of COMMAND…: its wall time; its output goes nowhere.
seconds_of()
{
	local begin=${EPOCHREALTIME/./} end

	"$@" >/dev/null
	end=${EPOCHREALTIME/./}
	awk -v us=$((end - begin)) 'BEGIN { printf "%.3f\n", us / 1e6 }'
}

calculate() { awk "BEGIN { printf \"%.6g\", $* }"; }

results_table()
{
	awk -F'\t' '{ printf "%-44s %12.4g %-10s", $1, $3, $2; if ($6 > 1) printf " %.4g to %.4g, %d", $4, $5, $6; printf "\n" }' \
		"$SF_RESULTS"
}

# results_json MACHINE [MEMBERS]: the figures, and more members of the object.
results_json()
{
	local is_quick=false

	[ -z "$quick" ] || is_quick=true
	printf '{\n  "machine": "%s",\n  "quick": %s,\n%s  "figures": [' "$1" $is_quick "${2:+$2$'\n'}"
	awk -F'\t' '
		{
			printf "%s\n    {\"name\": \"%s\", \"unit\": \"%s\", \"value\": %s, \"low\": %s, \"high\": %s, \"n\": %s}",
				(NR > 1 ? "," : ""), $1, $2, $3, $4, $5, $6
		}
		END { printf "\n  ]\n}\n" }' "$SF_RESULTS"
}

# ---- tables and views of the workload (client/events.c makes the rows) ----

# events_table USING [DELAY]: in the present database.
events_table()
{
	sql -o /dev/null <<-SQL
		CREATE TABLE events (event_time timestamptz NOT NULL, user_id int NOT NULL, category int NOT NULL, status int NOT NULL,
			amount int NOT NULL, note text NOT NULL) USING $1;
	SQL
	[ "$1" != stream ] || sql -o /dev/null <<-SQL
		SELECT streamfuse.set_watermark('events', 'event_time', delay => '${2:-3 s}', max_ahead => 'infinity');
	SQL
}

# events_view NAME WINDOW KEYS: counts, sums, averages, least and greatest amounts.
events_view()
{
	local keys=${3:+, $3}

	sql -o /dev/null <<-SQL
		SET client_min_messages = warning;
		CREATE MATERIALIZED VIEW $1 WITH (streamfuse.continuous) AS
		SELECT window_start, window_end$keys,
		       count(*) AS n, sum(amount) AS total, avg(amount) AS mean, min(amount) AS low, max(amount) AS high
		FROM events, tumble(event_time, '$2') GROUP BY window_start, window_end$keys;
	SQL
}

# The same as a statement trigger does it: one row per group, updated in place.
events_trigger()
{
	sql -o /dev/null <<-SQL
		CREATE TABLE summary (window_start timestamptz, $1 int, n bigint NOT NULL, total bigint NOT NULL, low int NOT NULL,
			high int NOT NULL, PRIMARY KEY (window_start, $1)) WITH (fillfactor = 50);
		CREATE VIEW board AS
		SELECT window_start, $1, n, total, total::numeric / n AS mean, low, high FROM summary;
		CREATE FUNCTION fold() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			INSERT INTO summary AS s
			SELECT date_bin('1 minute', event_time, '2000-01-03'), $1, count(*), sum(amount), min(amount), max(amount)
			FROM fresh GROUP BY 1, 2 ORDER BY 1, 2
			ON CONFLICT (window_start, $1) DO UPDATE
			SET n = s.n + excluded.n, total = s.total + excluded.total, low = least(s.low, excluded.low),
				high = greatest(s.high, excluded.high);
			RETURN NULL;
		END \$\$;
		CREATE TRIGGER fold AFTER INSERT ON events REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION fold();
	SQL
}

# database NAME: made, and where sql goes to from here on.
database()
{
	PGDATABASE=postgres sql -c "CREATE DATABASE $1"
	export PGDATABASE=$1
	sql -c 'CREATE EXTENSION streamfuse'
}

ten_views()
{
	events_view v1 '1 minute' category
	events_view v2 '10 seconds' category
	events_view v3 '10 seconds' ''
	events_view v4 '30 seconds' status
	events_view v5 '1 minute' 'category, status'
	events_view v6 '1 minute' ''
	events_view v7 '5 minutes' category
	events_view v8 '5 minutes' status
	events_view v9 '15 minutes' 'category, status'
	events_view v10 '1 hour' category
}

# ---- a server that does nothing ----

idle_seconds() { often 300 30; }

# idle_cpu DATA: nanoseconds of CPU that our processes of that server have taken.
idle_cpu()
{
	local pid

	while read -r pid; do
		echo "$pid $(tr '\0' ' ' <"/proc/$pid/cmdline") $(cut -d' ' -f1 "/proc/$pid/schedstat")"
	done < <(awk -v parent="$(head -1 "$1/postmaster.pid")" '$4 == parent { print $1 }' /proc/[0-9]*/stat 2>/dev/null) |
		awk '/streamfuse launcher/ { print "launcher", $1, $NF } /streamfuse worker/ { print "worker", $1, $NF }'
}

# Five views over a stream with rows, all of them durable: the server has nothing left to do.
idle_begin()
{
	(
		server_start idle
		sql -c 'CREATE EXTENSION streamfuse'
		events_table stream
		for view in "v1 '10 seconds' category" "v2 '1 minute' category" "v3 '1 minute' status" "v4 '1 hour' category" \
			"v5 '1 day' user_id"; do
			eval "events_view $view"
		done
		SF_RESULTS='' client load tx1000 1 1000 postgres >/dev/null
		sleep 15 # the longest time until a checkpoint of the views' state
		idle_cpu "$PGDATA" >"$SF_WORK/idle.before"
		sleep "$(idle_seconds)"
		idle_cpu "$PGDATA" >"$SF_WORK/idle.after"
		server_stop
	) &
	idle_job=$!
}

idle_end()
{
	local process

	wait "$idle_job"
	for process in worker launcher; do
		result "idle.$process" ms/min "$(join -j 2 <(sort -k2 "$SF_WORK/idle.before") <(sort -k2 "$SF_WORK/idle.after") |
			awk -v process=$process -v seconds="$(idle_seconds)" '$2 == process { printf "%.4f", ($5 - $3) / 1e6 * 60 / seconds }')"
	done
}
