# What reading a view costs: 10,000 open groups of five columns beside 1,000 closed windows; one key; and a heap table of
# the same rows.  A read touches no stream.
sql -c 'CREATE EXTENSION streamfuse'
sql -o /dev/null <<-'SQL'
	CREATE TABLE events (key int NOT NULL, value int NOT NULL, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('events', 'event_time', delay => '30 minutes', max_ahead => 'infinity');
	SET client_min_messages = warning;
	CREATE MATERIALIZED VIEW board WITH (streamfuse.continuous) AS
	SELECT window_start, window_end, key, count(*) AS n, sum(value) AS total
	FROM events, tumble(event_time, '1 hour') GROUP BY window_start, window_end, key;
	INSERT INTO events SELECT i % 100, i, timestamptz '2026-01-01 12:30+00' - interval '1 hour' * (i / 100 + 1)
	FROM generate_series(0, 99999) i;
	INSERT INTO events SELECT i % 10000, i, '2026-01-01 12:30+00' FROM generate_series(0, 99999) i;
	SELECT streamfuse.flush('board');
	CREATE TABLE stored AS SELECT * FROM board WHERE window_start >= '2026-01-01 12:00+00';
	VACUUM ANALYZE stored, board_closed;
SQL
open="SELECT * FROM board WHERE window_start >= '2026-01-01 12:00+00'"
plan=$(sql -c "EXPLAIN (COSTS OFF) $open")
[[ $plan != *events* ]] || die "a read of the view touches the stream"
client reads open_groups "$open" "$(often 200 20)"
client reads one_key "SELECT * FROM board WHERE window_start = '2026-01-01 12:00+00' AND key = 77" "$(often 200 20)"
client reads heap_table 'SELECT * FROM stored' "$(often 200 20)"
