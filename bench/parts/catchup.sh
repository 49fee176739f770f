# How fast a new view works in 20 million stored rows, against PostgreSQL's own best SQL for the same answer.
#
# 20 windows of 1,000,000 rows over 10,000 keys, so 10,000 groups are live at a time and 200,000 come out.  The view's time
# is from CREATE to flush's return: all rows counted, every closed window committed; the pre-pass over the history is in it.
rows=$(often 20000000 2000000)
sql -c 'CREATE EXTENSION streamfuse'
sql -o /dev/null <<-SQL
	CREATE TABLE events (key int NOT NULL, value int NOT NULL, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('events', 'event_time', delay => '1 s');
	INSERT INTO events
	SELECT abs(hashint4(i)) % 10000, abs(hashint4(-i)) % 100000, timestamptz '2026-01-01 00:00+00' + i * interval '60 us'
	FROM generate_series(0, $rows - 1) i;
	VACUUM (FREEZE OFF, ANALYZE) events;
	CHECKPOINT;
	SELECT count(*) FROM events;
SQL

batch="SELECT date_bin('1 minute', event_time, timestamptz '2000-01-03 00:00+00') AS window_start, key,
       count(*) AS n, sum(value) AS total, avg(value) AS mean, min(value) AS low, max(value) AS high
FROM events GROUP BY 1, 2"
view="SELECT window_start, window_end, key,
       count(*) AS n, sum(value) AS total, avg(value) AS mean, min(value) AS low, max(value) AS high
FROM events, tumble(event_time, '1 minute') GROUP BY window_start, window_end, key"

batch_once() { sql -c "SET work_mem = '1GB'" -c "EXPLAIN (ANALYZE, TIMING OFF) $batch"; }
batch_stored()
{
	sql -c "SET work_mem = '1GB'" -c "SET client_min_messages = warning" -c "DROP TABLE IF EXISTS stored" \
		-c "CREATE TABLE stored AS $batch"
}
view_once()
{
	sql -c "SET client_min_messages = warning" -c "CREATE MATERIALIZED VIEW board WITH (streamfuse.continuous) AS $view" \
		-c "SELECT streamfuse.flush('board')"
}

batch_s=() stored_s=() view_s=() ratio=()
for i in $(seq "$(often 3 1)"); do
	batch_s+=("$(seconds_of batch_once)")
	stored_s+=("$(seconds_of batch_stored)")
	view_s+=("$(seconds_of view_once)")
	ratio+=("$(calculate "${batch_s[-1]} / ${view_s[-1]}")")
	[ "$i" -gt 1 ] || [ "$(sql -c "SELECT count(*) FROM streamfuse.verify('board')")" = 0 ] ||
		die "the view's answer differs from the batch"
	sql -c "SET client_min_messages = warning" -c "DROP MATERIALIZED VIEW board"
done
result catchup.batch s "${batch_s[@]}"
result catchup.batch_stored s "${stored_s[@]}"
result catchup.view s "${view_s[@]}"
result catchup.batch_to_view x "${ratio[@]}"
result catchup.rate rows/s "$(calculate "$rows / $(printf '%s\n' "${view_s[@]}" | sort -g | sed -n "$((${#view_s[@]} / 2 + 1))p")")"
