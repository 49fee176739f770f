# What windows and kinds of aggregates cost: how fast views with them work in stored rows, in pairs.
#
# hop: windows of a minute that begin each second, so of 60 panes each, to tumbling windows of a minute; all are closed and
# written at the end.  numeric and session: the view to its own query as PostgreSQL runs it, sessions by window functions.
rows=$(often 4000000 500000)
sql -c 'CREATE EXTENSION streamfuse'
sql -o /dev/null <<-SQL
	CREATE TABLE events (one int NOT NULL, hundred int NOT NULL, user_id int NOT NULL, value int NOT NULL, amount numeric(12, 2) NOT NULL, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('events', 'event_time', delay => '1 s');
	INSERT INTO events
	SELECT 1, abs(hashint4(i)) % 100, abs(hashint4(i + 7)) % 3000, abs(hashint4(-i)) % 100000, (abs(hashint4(-i)) % 10000000) / 100.0,
		timestamptz '2026-01-01 00:00+00' + i * interval '200 us'
	FROM generate_series(0, $rows - 1) i;
	VACUUM (FREEZE OFF, ANALYZE) events;
	CHECKPOINT;
	SELECT count(*) FROM events;
SQL
end=$(sql -c "SELECT max(event_time) + interval '1 hour' FROM events")

# window_view QUERY: from CREATE until all windows are closed and durable.
window_view()
{
	sql -c "SET client_min_messages = warning" -c "CREATE MATERIALIZED VIEW board WITH (streamfuse.continuous) AS $1" \
		-c "SELECT streamfuse.flush('board')"
}

window_batch() { sql -c "SET work_mem = '1GB'" -c "EXPLAIN (ANALYZE, TIMING OFF) $1"; }

drop_board()
{
	[ "$1" -gt 1 ] || [ "$(sql -c "SELECT count(*) FROM streamfuse.verify('board')")" = 0 ] ||
		die "the view's answer differs from the batch"
	sql -c "SET client_min_messages = warning" -c "DROP MATERIALIZED VIEW board"
}

# Every window is over when a view is made, so that each is closed.
sql -o /dev/null -c "SELECT streamfuse.advance_watermark('events', '$end')"

aggregates='count(*) AS n, sum(value) AS total, avg(value) AS mean, min(value) AS low, max(value) AS high'
tumble() { window_view "SELECT window_start, window_end, $1, $aggregates FROM events, tumble(event_time, '1 minute') GROUP BY window_start, window_end, $1"; }
hop() { window_view "SELECT window_start, window_end, $1, $aggregates FROM events, hop(event_time, '1 minute', '1 second') GROUP BY window_start, window_end, $1"; }

# The first of all finds nothing in the processor's and the system's caches.
tumble one >/dev/null
drop_board 1
for keys in one hundred; do
	hop_s=() tumble_s=() rate=()
	for i in $(seq "$(often 5 1)"); do
		tumble_s+=("$(seconds_of tumble $keys)")
		drop_board "$i"
		hop_s+=("$(seconds_of hop $keys)")
		drop_board "$i"
		rate+=("$(calculate "${tumble_s[-1]} / ${hop_s[-1]}")")
	done
	result "windows.tumble_${keys}_key" s "${tumble_s[@]}"
	result "windows.hop_${keys}_key" s "${hop_s[@]}"
	if [ $keys = one ]; then
		bounded windows.hop_to_tumble_one_key x 0.7 "${rate[@]}"
	else
		result windows.hop_to_tumble_hundred_keys x "${rate[@]}"
	fi
done

# view_to_batch NAME BOUND VIEW BATCH
view_to_batch()
{
	local view_s=() batch_s=() rate=() i

	for i in $(seq "$(often 5 1)"); do
		batch_s+=("$(seconds_of window_batch "$4")")
		view_s+=("$(seconds_of window_view "$3")")
		drop_board "$i"
		rate+=("$(calculate "${batch_s[-1]} / ${view_s[-1]}")")
	done
	result "windows.$1_batch" s "${batch_s[@]}"
	result "windows.$1_view" s "${view_s[@]}"
	bounded "windows.$1_to_batch" x "$2" "${rate[@]}"
}

sums='count(*) AS n, sum(amount) AS total, avg(amount) AS mean'
view_to_batch numeric 2 "SELECT window_start, window_end, hundred, $sums
	FROM events, tumble(event_time, '1 minute') GROUP BY window_start, window_end, hundred" \
	"SELECT date_bin('1 minute', event_time, timestamptz '2000-01-03 00:00+00') AS window_start, hundred, $sums FROM events GROUP BY 1, 2"
session="SELECT window_start, window_end, user_id, count(*) AS n, sum(value) AS total
	FROM events, session(event_time, '2 seconds') GROUP BY window_start, window_end, user_id"
view_to_batch session 2 "$session" "$session"
