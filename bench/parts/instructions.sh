# What inserting into a stream costs the inserting backend against a heap table, in instructions rather than time: the
# same on a busy machine as on an idle one.  A single-user server runs under callgrind.
rows=$SF_WORK/rows
sql -c 'CREATE EXTENSION streamfuse'
sql -o /dev/null <<-SQL
	CREATE TABLE h (key int NOT NULL, value int NOT NULL, event_time timestamptz NOT NULL);
	CREATE TABLE s (LIKE h) USING stream;
	COPY (SELECT i % 10000, i, timestamptz '2026-01-01' + i * interval '1 ms' FROM generate_series(1, 100000) i) TO '$rows';
SQL
server_stop

# instructions SQL: how many the server runs for it, start and stop included.
instructions()
{
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$SF_BIN/postgres" --single -D "$PGDATA" postgres \
		<<<"$1" 2>&1 | awk '/Collected/ { print $NF }'
}

# compare NAME SQL: the statement for stream and for heap, TABLE standing for the table.
compare()
{
	local heap stream

	heap=$(instructions "${2//TABLE/h}")
	stream=$(instructions "${2//TABLE/s}")
	result "instructions.$1" x "$(calculate "($stream - $start) / ($heap - $start)")"
}

start=$(instructions 'SELECT 1')
compare copy "COPY TABLE FROM '$rows'"
compare single "$(for i in {1..2000}; do echo "INSERT INTO TABLE VALUES ($i, $i, '2026-01-01 00:00+00')"; done)"
server_restart
