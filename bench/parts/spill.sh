# Ten times more groups over all time than memory holds: how fast rows are counted, what WAL one costs beside that of the
# stream, and what memory the state and the worker take. First all keys are new; then each comes back, in any order; then
# nine rows of ten are for keys that stay in memory. To compare: the same into a view whose groups all fit.
rows=$(often 2000000 200000)
bound=$(often 24MB 4MB)
hot=$(often 20000 2000)
sql -c 'CREATE EXTENSION streamfuse'

events()
{
	sql -o /dev/null <<-SQL
		CREATE TABLE events_$1 (key bigint NOT NULL, value int NOT NULL) USING stream;
		${2:+CREATE MATERIALIZED VIEW $1 WITH (streamfuse.continuous, streamfuse.max_state = '$2') AS
		SELECT key, count(*) AS n, sum(value) AS total, max(value) AS high FROM events_$1 GROUP BY key;
		SELECT streamfuse.flush();}
	SQL
}
wal_position() { sql -c "SELECT pg_current_wal_insert_lsn() - '0/0'"; }
worker_memory() # its own, without what is shared
{
	awk '/^RssAnon/ { printf "%.1f", $2 / 1024 }' \
		"/proc/$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'streamfuse worker'")/status"
}
state() { sql -c "SELECT $2 FROM streamfuse.stat_views WHERE view = '$1'::regclass"; }

# round VIEW KEY: rows with these keys, until they are counted and durable. Sets seconds and wal.
insert_and_count()
{
	sql -o /dev/null -c "INSERT INTO events_$1 SELECT $2, g % 1000 FROM generate_series(1, $rows) g" -c 'SELECT streamfuse.flush()' \
		-c 'SELECT streamfuse.checkpoint()'
}
round()
{
	local before

	before=$(wal_position)
	seconds=$(seconds_of insert_and_count "$1" "$2")
	wal=$(calculate "($(wal_position) - $before) / $rows")
}

events none
round none g
stream_wal=$wal
for view in fits spills; do
	events $view "$([ $view = fits ] && echo 4GB || echo "$bound")"
	while read -r name key; do
		round $view "$key"
		result "spill.$view.$name.rate" rows/s "$(calculate "$rows / $seconds")"
		result "spill.$view.$name.wal" bytes/row "$(calculate "$wal - $stream_wal")"
		result "spill.$view.$name.state" MB "$(calculate "$(state $view bytes) / 1048576")"
		result "spill.$view.$name.worker" MB "$(worker_memory)"
	done <<-END
		new g
		back 1+(g*7919::bigint)%$rows
		hot CASE WHEN g % 10 = 0 THEN 1+(g*7919::bigint)%$rows ELSE g % $hot END
	END
	[ "$(sql -c "SELECT count(*) FROM streamfuse.verify('$view')")" = 0 ] || die "the view's answer differs from the batch"
done
result spill.groups_on_disk groups "$(state spills spilled_groups)"
result spill.groups_in_memory groups "$(state spills groups)"
result spill.table bytes/group "$(sql -c "SELECT pg_total_relation_size('streamfuse.spilled') / $(state spills spilled_groups)")"
