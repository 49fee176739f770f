-- What the statistics views say.  Times of the clock, sizes and durations are left out: they differ from run to run.
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE TABLE orders (event_time timestamptz NOT NULL, category text, amount int) USING stream;
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, category, sum(amount) AS amount FROM orders, tumble(event_time, '5 minutes')
WHERE amount > 0 GROUP BY window_start, window_end, category;

-- No watermark is set: no window will close, and the view says what it waits for.
INSERT INTO orders VALUES ('2026-01-01 00:01', 'a', 10), ('2026-01-01 00:02', 'b', 20), ('2026-01-01 00:06', 'a', -1);
SELECT streamfuse.flush('sales');
SELECT view, status, watermark, waits_for, next_close, next_close_needs FROM streamfuse.stat_views;

-- With one, it says which row would close the next window.  The negative amount was read but is not in.
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 minute');
INSERT INTO orders VALUES ('2026-01-01 00:04', 'a', 5);
SELECT streamfuse.flush('sales');
SELECT view, stream, watermark, waits_for, next_close, next_close_needs, rows_read, rows_in, open_windows, groups
FROM streamfuse.stat_views;
INSERT INTO orders VALUES ('2026-01-01 00:06', 'a', 7);
SELECT streamfuse.flush('sales');
SELECT watermark, closed_until, next_close, next_close_needs FROM streamfuse.stat_views;

-- A late row is missed.  What flush() waits for is committed: the counters that a crash would leave are the same.
INSERT INTO orders VALUES ('2026-01-01 00:03', 'a', 1);
SELECT streamfuse.flush('sales');
SELECT rows_read, rows_in, rows_late, rows_missed, rows_ahead FROM streamfuse.stat_views;
SELECT committed_rows_read, committed_rows_in, committed_rows_late, committed_rows_missed, committed_rows_ahead
FROM streamfuse.stat_views;
SELECT view, window_start, missed FROM streamfuse.dirty_windows;

-- Nothing waits, so nothing lags; and nothing has gone wrong.
SELECT lag < '1 minute' AS prompt, lag_bytes, lag_rows, last_checkpoint >= last_rows AS durable, sqlstate, error, failed_at FROM streamfuse.stat_views;
SELECT * FROM streamfuse.stat_progress_backfill;

-- A stream is as far as the slowest of its views.  All it has fits into a page, which inserts may still write to.
SELECT stream, views, leaves, bytes / 8192 AS pages, watermark, max_event_time, bytes_read / 8192 AS pages_read,
       open_bytes / 8192 AS open_pages, lag_bytes, lag_rows, locked, pending_transactions FROM streamfuse.stat_streams;

-- One stream of several tables.  Without a view there is nothing to say of positions.
CREATE TABLE clicks (event_time timestamptz NOT NULL, url text) PARTITION BY RANGE (event_time);
CREATE TABLE clicks_1 PARTITION OF clicks FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') USING stream;
CREATE TABLE clicks_2 PARTITION OF clicks FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') USING stream;
SELECT stream, views, leaves, bytes, bytes_read, lag IS NOT NULL AS has_lag, pending_transactions FROM streamfuse.stat_streams ORDER BY stream::text;

-- The worker.
SELECT datname = current_database() AS here, state IS NOT NULL AS has_state, ready, views, rows > 0 AS has_rows
FROM streamfuse.stat_workers WHERE datid = (SELECT oid FROM pg_database WHERE datname = current_database());
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'streamfuse worker' AND application_name = 'streamfuse' AND datname = current_database();

-- In what a view may differ from its query, run as a batch: most in nothing.
CREATE MATERIALIZED VIEW averages WITH (streamfuse.continuous) AS
SELECT window_start, avg(amount / 3.0::float8) AS average, max(amount::float8) AS most FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end;
SELECT view, exact, exemptions, hints FROM streamfuse.views ORDER BY view::text;
DROP MATERIALIZED VIEW averages;

-- checkpoint() makes open windows durable, too, which flush() leaves to the checkpoint interval.
CREATE TABLE pages (event_time timestamptz NOT NULL) USING stream;
CREATE MATERIALIZED VIEW hits WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM pages, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
SELECT streamfuse.flush();
INSERT INTO pages VALUES ('2026-01-01 00:01');
SELECT streamfuse.checkpoint();
SELECT rows_in, committed_rows_in FROM streamfuse.stat_views WHERE view = 'hits'::regclass;
DROP TABLE pages CASCADE;

-- A view that has failed: anybody sees that, and who may see data sees why.
CREATE ROLE regress_stat_owner;
CREATE ROLE regress_stat_other;
CREATE ROLE regress_stat_monitor IN ROLE pg_read_all_stats;
GRANT SELECT ON orders TO regress_stat_owner;
GRANT CREATE ON SCHEMA public TO regress_stat_owner;
SET ROLE regress_stat_owner;
CREATE MATERIALIZED VIEW numbers WITH (streamfuse.continuous) AS
SELECT window_start, sum(category::int) FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
SELECT streamfuse.flush('numbers');
SELECT view, status, sqlstate, error, failed_at IS NOT NULL AS has_time, waits_for FROM streamfuse.stat_views WHERE view = 'numbers'::regclass;
SET ROLE regress_stat_other;
SELECT view, status, sqlstate, error FROM streamfuse.stat_views ORDER BY view::text;
SET ROLE regress_stat_monitor;
SELECT error FROM streamfuse.stat_views WHERE view = 'numbers'::regclass;
SET ROLE regress_stat_other;
SELECT streamfuse.flush('numbers');
RESET ROLE;
-- It keeps nobody from a checkpoint of the others.
SELECT streamfuse.checkpoint();

-- All that is dropped is gone from here.
DROP TABLE orders, clicks CASCADE;
SELECT view FROM streamfuse.stat_views;
SELECT stream FROM streamfuse.stat_streams;
REVOKE CREATE ON SCHEMA public FROM regress_stat_owner;
DROP ROLE regress_stat_owner, regress_stat_other, regress_stat_monitor;
