-- Reading one's own committed writes: read_consistency = 'latest' makes each statement wait for what was committed
-- before it.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE TABLE orders (id int, amount int, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
SET client_min_messages = warning;
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, count(*) AS orders, sum(amount) AS revenue
FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW closed_sales WITH (streamfuse.continuous, streamfuse.emit = 'final') AS
SELECT window_start, count(*) AS orders
FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
RESET client_min_messages;
SELECT streamfuse.flush('sales') IS NOT NULL AND streamfuse.flush('closed_sales') IS NOT NULL AS flushed;

SET streamfuse.read_consistency = 'latest';
INSERT INTO orders VALUES (1, 10, '2026-01-01 10:01'), (2, 20, '2026-01-01 10:02');
SELECT * FROM sales;
INSERT INTO orders VALUES (3, 30, '2026-01-01 10:03');
SELECT * FROM sales;
INSERT INTO orders VALUES (4, 40, '2026-01-01 10:06');
SELECT * FROM sales ORDER BY 1;

-- A view of closed windows waits until they are committed, and shows them.
SELECT * FROM closed_sales;
INSERT INTO orders VALUES (5, 50, '2026-01-01 10:11');
SELECT c.* FROM closed_sales AS c ORDER BY 1;
INSERT INTO orders VALUES (6, 60, '2026-01-01 10:16');
CREATE TABLE copied AS SELECT * FROM closed_sales;
SELECT * FROM copied ORDER BY 1;
-- EXPLAIN ANALYZE runs the query, so it waits as well.  PostgreSQL's versions write the rows as 4 or 4.00.
CREATE FUNCTION explain_analyze(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, BUFFERS OFF, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
    RETURN NEXT replace(line, '.00', '');
  END LOOP;
END $$;
INSERT INTO orders VALUES (7, 70, '2026-01-01 10:21');
SELECT explain_analyze('SELECT * FROM closed_sales');

-- Rows of an open transaction of one's own are not waited for.
BEGIN;
INSERT INTO orders VALUES (8, 80, '2026-01-01 10:22');
SELECT * FROM sales WHERE window_start = '2026-01-01 10:20';
COMMIT;
SELECT * FROM sales WHERE window_start = '2026-01-01 10:20';

-- Functions, prepared statements and cursors wait too.
PREPARE newest AS SELECT orders FROM sales WHERE window_start = '2026-01-01 10:20';
EXECUTE newest;
INSERT INTO orders VALUES (9, 90, '2026-01-01 10:23');
EXECUTE newest;
DEALLOCATE newest;
BEGIN;
INSERT INTO orders VALUES (10, 100, '2026-01-01 10:23');
COMMIT;
BEGIN;
DECLARE c CURSOR FOR SELECT orders FROM sales WHERE window_start = '2026-01-01 10:20';
FETCH c;
COMMIT;

-- EXPLAIN does not wait, and neither do statements that read no view.
EXPLAIN (COSTS OFF) SELECT orders FROM sales;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM orders;
EXPLAIN (COSTS OFF) SELECT orders FROM sales;

-- A transaction that keeps its snapshot cannot wait.
SELECT * FROM sales;
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM closed_sales;
ROLLBACK;

RESET streamfuse.read_consistency;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM sales;
COMMIT;
SET client_min_messages = warning;
DROP MATERIALIZED VIEW sales, closed_sales;
DROP TABLE orders, copied;
DROP FUNCTION explain_analyze;
