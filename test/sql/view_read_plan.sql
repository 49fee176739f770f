-- How reads of a continuous view are planned: its closed windows and its live side are one append, conditions reach both.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
CREATE TABLE orders (id int, category text, region int, amount int, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
SET client_min_messages = warning;
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, window_end, region, category, sum(amount) AS revenue, count(*) AS orders
FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end, region, category;
CREATE MATERIALIZED VIEW totals WITH (streamfuse.continuous, streamfuse.emit = 'final') AS
SELECT window_start, window_end, count(*) AS orders
FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end;
RESET client_min_messages;
INSERT INTO orders
SELECT i, 'c' || i % 1000, i % 10, i, '2026-01-01 10:00'::timestamptz + i * interval '0.1 seconds'
FROM generate_series(1, 20000) i;
SELECT streamfuse.flush('sales') IS NOT NULL AND streamfuse.flush('totals') IS NOT NULL AS flushed;
CREATE INDEX sales_key ON sales (category, region);
ANALYZE sales_closed;
CREATE TABLE shops (region int, category text, opened timestamptz);
INSERT INTO shops SELECT i, 'c' || i FROM generate_series(1, 3) i;
ANALYZE shops;

-- A plan whose join conditions name the view's column first; PostgreSQL's versions write them one way or the other.
CREATE FUNCTION join_plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    RETURN NEXT regexp_replace(line, '\((shops\.\w+) = (\w+)\)', '(\2 = \1)');
  END LOOP;
END $$;

-- A value for every grouping key: an index scan and one look-up per open window.
EXPLAIN (COSTS OFF) SELECT * FROM sales WHERE category = 'c7' AND region = 7;
EXPLAIN (COSTS OFF) SELECT * FROM sales WHERE category = 'c7';
SELECT window_start, orders FROM sales WHERE category = 'c7' AND region = 7 ORDER BY 1;

-- Conditions on windows narrow what is visited.
EXPLAIN (COSTS OFF) SELECT * FROM sales WHERE window_start >= now() - interval '1 hour';
EXPLAIN (COSTS OFF)
SELECT * FROM sales
WHERE category = 'c7' AND region = 7 AND window_end > '2026-01-01 10:25' AND '2026-01-01 10:40' > window_start;
SELECT window_start, orders FROM sales
WHERE category = 'c7' AND region = 7 AND window_end > '2026-01-01 10:25' AND '2026-01-01 10:40' > window_start
ORDER BY 1;

-- The live side is in the order of its windows.
EXPLAIN (COSTS OFF) SELECT * FROM sales ORDER BY window_start LIMIT 10;
EXPLAIN (COSTS OFF) SELECT * FROM sales ORDER BY window_start DESC LIMIT 10;
SELECT window_start, count(*) FROM (SELECT * FROM sales ORDER BY window_start LIMIT 1500) s GROUP BY 1 ORDER BY 1;

-- As the inner side of a nested loop, with one key from the outer row and one from a constant.
SELECT join_plan($$ SELECT * FROM shops JOIN sales USING (region) WHERE sales.category = 'c1' $$);
SELECT region, window_start, orders FROM shops JOIN sales USING (region) WHERE sales.category = 'c1' ORDER BY 2;

-- Where the outer rows give only some of the keys, or a window, both sides are still scanned by what they give.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT join_plan($$ SELECT * FROM shops JOIN sales USING (category) $$);
SELECT category, sales.region, count(*), sum(orders) FROM shops JOIN sales USING (category) GROUP BY 1, 2 ORDER BY 1;
UPDATE shops SET opened = '2026-01-01 10:30' WHERE region = 2;
SELECT join_plan($$ SELECT * FROM shops JOIN sales ON window_start = opened $$);
SELECT shops.region, count(*), sum(orders) FROM shops JOIN sales ON window_start = opened GROUP BY 1;
RESET enable_hashjoin;
RESET enable_mergejoin;

-- Parameters of a generic plan.
SET plan_cache_mode = force_generic_plan;
PREPARE of_shop (text, int) AS SELECT window_start, orders FROM sales WHERE category = $1 AND region = $2 ORDER BY 1;
EXPLAIN (COSTS OFF) EXECUTE of_shop ('c7', 7);
EXECUTE of_shop ('c8', 8);
EXECUTE of_shop ('c8', 7);
DEALLOCATE of_shop;
RESET plan_cache_mode;

-- Parallel: workers share the tick of their leader.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT region, sum(orders) FROM sales GROUP BY region;
SELECT region, sum(orders), count(*) FROM sales GROUP BY region ORDER BY 1;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- A view of closed windows only has no live side.
EXPLAIN (COSTS OFF) SELECT * FROM totals;
SELECT * FROM totals ORDER BY 1;

-- A function that SQL inlines is planned like its body.
CREATE FUNCTION sales_of(text, int) RETURNS SETOF sales LANGUAGE sql STABLE
  AS 'SELECT * FROM sales WHERE category = $1 AND region = $2';
EXPLAIN (COSTS OFF) SELECT * FROM sales_of('c7', 7);

SET client_min_messages = warning;
DROP MATERIALIZED VIEW sales, totals CASCADE;
DROP TABLE orders, shops;
DROP FUNCTION join_plan;
