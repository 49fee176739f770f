-- A continuous view is a materialized view with an option.
CREATE TABLE orders (order_id bigint, category text, amount int, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 minute');
INSERT INTO orders VALUES
  (1, 'books', 10, '2026-01-01 00:01+00'), (2, 'books', 20, '2026-01-01 00:02+00'),
  (3, 'games', 30, '2026-01-01 00:03+00'), (4, 'books', 40, '2026-01-01 00:06+00');

CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, window_end, category, sum(amount) AS revenue, count(*) AS orders
FROM   orders, tumble(event_time, '5 minutes')
GROUP  BY window_start, window_end, category;

-- It looks like one, too.
\d sales
SELECT matviewname, ispopulated, definition FROM pg_matviews WHERE matviewname = 'sales';

-- Closed windows go to the output table, which has the view's columns first.
SELECT streamfuse.output('sales');
\d sales_closed

-- A name that exists is left alone.
CREATE MATERIALIZED VIEW IF NOT EXISTS sales WITH (streamfuse.continuous) AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;

-- Column names, options of PostgreSQL's own, and an output name that is taken.
CREATE TABLE sales_hourly_closed (a int);
CREATE MATERIALIZED VIEW sales_hourly (since, total) WITH (streamfuse.continuous, streamfuse.emit = final, fillfactor = 70) AS
SELECT window_start, sum(amount) FROM orders, tumble(event_time, '1 hour') GROUP BY window_start, window_end;
SELECT streamfuse.output('sales_hourly');
\d sales_hourly_closed1

-- WITH NO DATA: from the first window on that starts after everything stored.
CREATE MATERIALIZED VIEW sales_new WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end
WITH NO DATA;
-- Rows of earlier windows are not the view's, nor are they while it is being filled.
BEGIN;
CREATE MATERIALIZED VIEW sales_newer WITH (streamfuse.continuous) AS
SELECT window_start AT TIME ZONE 'UTC' AS since, sum(amount) FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end
WITH NO DATA;
INSERT INTO orders VALUES (5, 'books', 50, '2026-01-01 00:09+00'), (6, 'books', 60, '2026-01-01 00:11+00');
SELECT * FROM sales_newer;
COMMIT;
SELECT streamfuse.flush('sales_newer') IS NOT NULL AS flushed;
SELECT * FROM sales_newer;
SELECT view::regclass, begins_at AT TIME ZONE 'UTC' AS begins_at FROM streamfuse.fragment ORDER BY id;

-- Nothing is left behind by a transaction that is rolled back.
BEGIN;
CREATE MATERIALIZED VIEW sales_daily WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) FROM orders, tumble(event_time, '1 day') GROUP BY window_start, window_end;
ROLLBACK;
SELECT to_regclass('sales_daily'), to_regclass('sales_daily_closed');
SELECT count(*) FROM streamfuse.fragment;

-- A stream without a watermark works, but its windows stay open.
CREATE TABLE clicks (url text, at timestamptz NOT NULL) USING stream;
CREATE MATERIALIZED VIEW hits WITH (streamfuse.continuous) AS
SELECT window_start, url, count(*) FROM clicks, tumble(at, '1 hour') GROUP BY window_start, window_end, url;

-- What there is.
SELECT view, output, streams, emit FROM streamfuse.views ORDER BY view::text;

-- Users' event triggers see the view alone, and may create views themselves.
CREATE FUNCTION log_command() RETURNS event_trigger LANGUAGE plpgsql AS
$$ DECLARE c record;
BEGIN
  FOR c IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
    RAISE NOTICE '% %', c.command_tag, c.object_identity;
  END LOOP;
END $$;
CREATE EVENT TRIGGER log_command ON ddl_command_end EXECUTE FUNCTION log_command();
CREATE MATERIALIZED VIEW visits WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM clicks, tumble(at, '1 hour') GROUP BY window_start, window_end;
DROP EVENT TRIGGER log_command;
DROP FUNCTION log_command();

SET client_min_messages = warning;
DROP TABLE orders, clicks, sales_hourly_closed CASCADE;
