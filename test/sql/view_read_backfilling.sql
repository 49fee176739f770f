-- Reading a view while its history is still being worked in: the worker is held at the start of its first tick.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE FUNCTION fault_set(name text, action text) RETURNS void LANGUAGE c AS 'streamfuse', 'sf_fault_set';
CREATE FUNCTION fault_wait_hit(name text) RETURNS void LANGUAGE c AS 'streamfuse', 'sf_fault_wait_hit';
CREATE TABLE orders (id int, category text, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
INSERT INTO orders VALUES (1, 'book', '2026-01-01 10:01'), (2, 'toy', '2026-01-01 10:02'), (3, 'book', '2026-01-01 10:06');
-- The scans in a statement's plan.
CREATE FUNCTION scans(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
    IF line ~ 'Scan' THEN RETURN NEXT ltrim(line, ' ->'); END IF;
  END LOOP;
END $$;

SELECT fault_set('tick-after-snapshot', 'wait');
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, category, count(*) AS orders
FROM orders, tumble(event_time, '5 minutes')
WHERE category <> 'secret'
GROUP BY window_start, window_end, category;
SELECT fault_wait_hit('tick-after-snapshot');

-- The view's own query is run: right from the first moment.
SELECT scans('SELECT * FROM sales');
SELECT * FROM sales ORDER BY 1, 2;
INSERT INTO orders VALUES (4, 'book', '2026-01-01 10:07'), (5, 'secret', '2026-01-01 10:07');
SELECT * FROM sales ORDER BY 1, 2;

-- A condition that leaks its arguments sees rows of the view, not those its query rejects.
CREATE FUNCTION leak(text) RETURNS bool LANGUAGE plpgsql COST 0.001
  AS $$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$;
SELECT orders FROM sales WHERE leak(category) AND window_start = '2026-01-01 10:05';

-- Only the view's rights are asked for.
CREATE ROLE regress_sf_reader;
GRANT SELECT ON sales TO regress_sf_reader;
SET ROLE regress_sf_reader;
SELECT sum(orders) FROM sales;
SELECT count(*) FROM orders;
RESET ROLE;
REVOKE SELECT ON sales FROM regress_sf_reader;
SET ROLE regress_sf_reader;
SELECT sum(orders) FROM sales;
RESET ROLE;
DROP ROLE regress_sf_reader;

-- The other two ways.
SET streamfuse.read_backfilling = 'error';
SELECT * FROM sales;
SET streamfuse.read_backfilling = 'partial';
SET plan_cache_mode = force_generic_plan;
PREPARE parts AS SELECT count(*) FROM sales;
EXECUTE parts;
RESET streamfuse.read_backfilling;

-- A plan that reads what is counted so far does not answer a question for everything.
EXECUTE parts;
EXECUTE parts;
DEALLOCATE parts;
RESET plan_cache_mode;

-- Plans made now are made again when the view is live.
PREPARE total AS SELECT sum(orders) FROM sales;
EXECUTE total;
SELECT scans('EXECUTE total');
CREATE FUNCTION total_orders() RETURNS numeric LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT sum(orders) FROM sales); END $$;
SELECT total_orders();
SELECT fault_set('tick-after-snapshot', 'none');
SELECT streamfuse.flush('sales') IS NOT NULL AS flushed;
SELECT scans('EXECUTE total');
EXECUTE total;
SELECT total_orders();
SELECT * FROM sales ORDER BY 1, 2;

-- Made WITH NO DATA, a view of overlapping windows has none that begins before it, however many later rows it holds.
SELECT fault_set('tick-after-snapshot', 'wait');
CREATE MATERIALIZED VIEW sliding WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) AS orders FROM orders, hop(event_time, '15 minutes', '5 minutes')
GROUP BY window_start, window_end WITH NO DATA;
INSERT INTO orders VALUES (6, 'book', '2026-01-01 10:11');
SELECT fault_wait_hit('tick-after-snapshot');
SELECT scans('SELECT * FROM sliding');
SELECT * FROM sliding ORDER BY 1;
SELECT fault_set('tick-after-snapshot', 'none');
SELECT streamfuse.flush('sliding') IS NOT NULL AS flushed;
SELECT * FROM sliding ORDER BY 1;
DROP MATERIALIZED VIEW sliding;

SET client_min_messages = warning;
DROP MATERIALIZED VIEW sales;
DROP TABLE orders;
DROP FUNCTION fault_set, fault_wait_hit, leak, total_orders, scans;
