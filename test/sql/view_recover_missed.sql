-- Rows that came too late are listed, also when the worker that found them was terminated before the view's first commit.
SET TimeZone = 'UTC';
SET client_min_messages = warning;
CREATE FUNCTION fault_set(name text, action text) RETURNS void LANGUAGE c AS 'streamfuse', 'sf_fault_set';
CREATE TABLE orders (amount int, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
SELECT fault_set('commit-before', 'error');
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) AS revenue FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;

-- Counted, but not committed.
SET streamfuse.read_consistency = 'latest';
SET streamfuse.read_backfilling = 'partial';
INSERT INTO orders VALUES (1, '2026-01-01 10:01'), (2, '2026-01-01 10:06');
SELECT * FROM sales ORDER BY 1;
INSERT INTO orders VALUES (3, '2026-01-01 10:02');
SELECT * FROM sales ORDER BY 1;

SELECT bool_and(pg_terminate_backend(pid, 60000)) AS terminated FROM streamfuse.stat_workers;
SELECT fault_set('commit-before', 'none');
SELECT streamfuse.flush('sales');
SELECT window_start, missed FROM streamfuse.dirty_windows;
SELECT rows_in, rows_missed FROM streamfuse.stat_views;
SELECT * FROM streamfuse.verify('sales');

RESET streamfuse.read_consistency;
DROP TABLE orders CASCADE;
DROP FUNCTION fault_set;
