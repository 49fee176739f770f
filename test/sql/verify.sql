-- streamfuse.verify(view): the rows that differ between what a continuous view answers and what its query gives as a
-- batch over the same rows.  None is the answer to hope for.
SET TimeZone = 'UTC';
SET client_min_messages = warning;
CREATE TABLE orders (id int, category text, amount numeric(12,2), weight float8, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, window_end, category, sum(amount) AS revenue, count(*) AS orders
FROM orders, tumble(event_time, '5 minutes')
WHERE amount > 0
GROUP BY window_start, window_end, category;
SELECT streamfuse.flush('sales');

-- Windows 10:00 and 10:05 are closed by the row of 10:12; window 10:10 is open.
INSERT INTO orders VALUES
  (1, 'book', 10.00, 0.1, '2026-01-01 10:01'), (2, 'book',  5.50, 0.2, '2026-01-01 10:04'),
  (3, 'food',  7.25, 0.3, '2026-01-01 10:02'), (4, 'book', 20.00, 0.4, '2026-01-01 10:05'),
  (5, 'toy',   1.00, 0.5, '2026-01-01 10:09'), (6, 'food',  0.00, 0.6, '2026-01-01 10:06'),
  (7, 'book', 30.00, 0.7, '2026-01-01 10:10'), (8, NULL,    2.00, 0.8, '2026-01-01 10:12');
SELECT streamfuse.flush('sales');
SELECT * FROM streamfuse.verify('sales');
SELECT * FROM streamfuse.verify('sales', '2026-01-01 10:05', '2026-01-01 10:10');

-- Rows that are not counted yet, such as this transaction's own, are on neither side.
BEGIN;
INSERT INTO orders VALUES (9, 'book', 99.00, 0.9, '2026-01-01 10:13');
SELECT * FROM streamfuse.verify('sales');
ROLLBACK;

--
-- What is wrong is found.  The output table belongs to the worker, so it takes a superuser who parts it from the view,
-- in one transaction, to falsify it.
--
\c
SET TimeZone = 'UTC';
SET client_min_messages = warning;
SET allow_system_table_mods = on;
CREATE PROCEDURE falsify(change text) LANGUAGE plpgsql AS $$
BEGIN
  UPDATE pg_depend SET deptype = 'n' WHERE objid = 'sales_closed'::regclass AND refobjid = 'sales'::regclass;
  EXECUTE change;
  UPDATE pg_depend SET deptype = 'a' WHERE objid = 'sales_closed'::regclass AND refobjid = 'sales'::regclass;
END $$;
CREATE TABLE kept AS SELECT * FROM sales_closed;

-- An altered row: it is shown as it is and as it should be.
CALL falsify($$ UPDATE sales_closed SET revenue = 15.51 WHERE category = 'book' AND window_start = '2026-01-01 10:00' $$);
SELECT * FROM streamfuse.verify('sales') ORDER BY side;
SELECT * FROM streamfuse.verify('sales', "from" => '2026-01-01 10:05');
SELECT * FROM streamfuse.verify('sales', "to" => '2026-01-01 10:00');
SELECT side, n FROM streamfuse.verify('sales', "to" => '2026-01-01 10:05') ORDER BY side;

-- A missing row.
CALL falsify($$ DELETE FROM sales_closed WHERE category = 'book' AND window_start = '2026-01-01 10:00' $$);
SELECT * FROM streamfuse.verify('sales');

-- Doubled rows: n says how many are too many.
CALL falsify($$ INSERT INTO sales_closed SELECT k.* FROM kept k, generate_series(1, 3) WHERE category = 'book' AND window_start = '2026-01-01 10:00' $$);
SELECT * FROM streamfuse.verify('sales');

-- A window that should not be there.
CALL falsify($$ DELETE FROM sales_closed; INSERT INTO sales_closed SELECT * FROM kept $$);
CALL falsify($$ INSERT INTO sales_closed SELECT '2025-01-01', '2025-01-01 00:05', 'book', 1, 1, closed_xid FROM kept LIMIT 1 $$);
SELECT * FROM streamfuse.verify('sales');
CALL falsify($$ DELETE FROM sales_closed; INSERT INTO sales_closed SELECT * FROM kept $$);
SELECT * FROM streamfuse.verify('sales');

--
-- Live groups are checked as closed rows are.  A function that gave other answers when the rows were counted leaves
-- memory and query at odds.
--
CREATE FUNCTION surcharge(amount numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN amount + 1; END';
CREATE MATERIALIZED VIEW charged WITH (streamfuse.continuous) AS
SELECT window_start, category, sum(surcharge(amount)) AS charged
FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, category;
SELECT streamfuse.flush('charged');
SELECT * FROM streamfuse.verify('charged');
CREATE OR REPLACE FUNCTION surcharge(amount numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS
  'BEGIN RETURN amount + CASE WHEN amount = 30 THEN 2 ELSE 1 END; END';
SELECT * FROM streamfuse.verify('charged') ORDER BY side;
DROP MATERIALIZED VIEW charged;

--
-- Dirty windows are left out: what they missed is in the stream and not in the view.
--
INSERT INTO orders VALUES (10, 'book', 44.00, 1.0, '2026-01-01 10:03');
SELECT streamfuse.flush('sales');
SELECT window_start, missed FROM streamfuse.dirty_windows;
SELECT * FROM streamfuse.verify('sales');
CALL falsify($$ DELETE FROM sales_closed WHERE window_start = '2026-01-01 10:00' $$);
SELECT * FROM streamfuse.verify('sales');
CALL falsify($$ DELETE FROM sales_closed WHERE window_start = '2026-01-01 10:05' AND category = 'toy' $$);
SELECT * FROM streamfuse.verify('sales');

-- A view that does not show window_start can be verified as long as nothing has to be left out.
CREATE MATERIALIZED VIEW by_end WITH (streamfuse.continuous) AS
SELECT window_end, count(*) AS orders FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
SELECT streamfuse.flush('by_end');
SELECT * FROM streamfuse.verify('by_end');
SELECT * FROM streamfuse.verify('by_end', '2026-01-01');
INSERT INTO orders VALUES (11, 'book', 1.00, 1.1, '2026-01-01 10:06');
SELECT streamfuse.flush('by_end');
SELECT * FROM streamfuse.verify('by_end');
DROP MATERIALIZED VIEW by_end;

--
-- Sums of floating-point numbers depend on the order of addition: they agree when they differ by little of what was
-- added, even where almost all of it cancels out.  All else of them is compared as it is.
--
CREATE TABLE readings (sensor int, value float8, small float4, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('readings', 'event_time', delay => '0 seconds');
CREATE MATERIALIZED VIEW averages WITH (streamfuse.continuous) AS
SELECT window_start, sensor, sum(value) AS total, avg(value) FILTER (WHERE value > 0) AS positive, sum(small) AS small,
  max(value) AS highest, count(*)::float8 / 2 AS half
FROM readings, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, sensor;
SELECT streamfuse.flush('averages');
INSERT INTO readings SELECT g % 7, (g % 13 - 6) / 7.0, (g % 11 - 5) / 3.0, '2026-01-01 10:00'::timestamptz + g * interval '1 s'
FROM generate_series(1, 1000) g;
INSERT INTO readings VALUES (100, 'NaN', 'NaN', '2026-01-01 10:20'), (101, 'infinity', '-infinity', '2026-01-01 10:20'),
  (102, 1e308, 3e38, '2026-01-01 10:20'), (102, -1e308, -3e38, '2026-01-01 10:20'), (103, NULL, NULL, '2026-01-01 10:20');
SELECT streamfuse.flush('averages');
SELECT * FROM streamfuse.verify('averages');
SELECT total, positive, small, highest FROM averages WHERE sensor >= 100 ORDER BY sensor;
\c
SET TimeZone = 'UTC';
SET client_min_messages = warning;
SET allow_system_table_mods = on;
CREATE OR REPLACE PROCEDURE falsify(change text) LANGUAGE plpgsql AS $$
BEGIN
  UPDATE pg_depend SET deptype = 'n' WHERE objid = 'averages_closed'::regclass AND refobjid = 'averages'::regclass;
  EXECUTE change;
  UPDATE pg_depend SET deptype = 'a' WHERE objid = 'averages_closed'::regclass AND refobjid = 'averages'::regclass;
END $$;
CALL falsify($$ UPDATE averages_closed SET total = total + 1e-12 WHERE window_start = '2026-01-01 10:00' $$);
SELECT * FROM streamfuse.verify('averages');
CALL falsify($$ UPDATE averages_closed SET total = total + 1e-3 WHERE window_start = '2026-01-01 10:00' AND sensor = 1 $$);
CALL falsify($$ UPDATE averages_closed SET small = NULL WHERE window_start = '2026-01-01 10:00' AND sensor = 2 $$);
CALL falsify($$ DELETE FROM averages_closed WHERE window_start = '2026-01-01 10:00' AND sensor = 3 $$);
CALL falsify($$ UPDATE averages_closed SET sensor = 40 WHERE window_start = '2026-01-01 10:00' AND sensor = 4 $$);
SELECT side, "row"->'sensor' AS sensor, "row"->'small' IS DISTINCT FROM 'null' AS has_small, n FROM streamfuse.verify('averages') ORDER BY 2, 1;
DROP TABLE readings CASCADE;

--
-- Types without an order, and several equal rows: what is compared is the multiset.
--
CREATE TABLE events (kind text, event_time timestamp NOT NULL) USING stream;
SELECT streamfuse.set_watermark('events', 'event_time', delay => '0 seconds');
CREATE MATERIALIZED VIEW details WITH (streamfuse.continuous) AS
SELECT window_start, count(*) AS n, ('{"low": ' || (kind < 'k')::text || '}')::json AS detail, point(count(*)::float8, 0) AS place
FROM events, tumble(event_time, '1 day') GROUP BY window_start, window_end, kind;
SELECT streamfuse.flush('details');
INSERT INTO events SELECT chr(97 + g % 20), '2026-01-01'::timestamp + g * interval '1 hour' FROM generate_series(0, 199) g;
SELECT streamfuse.flush('details');
SELECT n, detail::text, count(*) FROM details WHERE window_start = '2026-01-02' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM streamfuse.verify('details');
\c
SET TimeZone = 'UTC';
SET client_min_messages = warning;
SET allow_system_table_mods = on;
CREATE OR REPLACE PROCEDURE falsify(change text) LANGUAGE plpgsql AS $$
BEGIN
  UPDATE pg_depend SET deptype = 'n' WHERE objid = 'details_closed'::regclass AND refobjid = 'details'::regclass;
  EXECUTE change;
  UPDATE pg_depend SET deptype = 'a' WHERE objid = 'details_closed'::regclass AND refobjid = 'details'::regclass;
END $$;
CALL falsify($$ DELETE FROM details_closed WHERE window_start = '2026-01-02' $$);
SELECT * FROM streamfuse.verify('details') ORDER BY "row"->'n', "row"->'detail';
SELECT sum(n) FROM streamfuse.verify('details', '2026-01-02', '2026-01-03');
SELECT sum(n) FROM streamfuse.verify('details', '2026-01-03');
DROP TABLE events CASCADE;
DROP PROCEDURE falsify;

--
-- A view of closed windows only is held to its query over closed windows; one without data, to what began after it.
--
CREATE MATERIALIZED VIEW finals WITH (streamfuse.continuous, streamfuse.emit = 'final') AS
SELECT window_start, sum(amount) AS revenue FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW later WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) AS revenue FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end
WITH NO DATA;
SELECT streamfuse.flush();
INSERT INTO orders VALUES (20, 'book', 1.00, 1, '2026-01-01 10:17'), (21, 'book', 2.00, 1, '2026-01-01 10:22');
SELECT streamfuse.flush();
SELECT max(window_start) FROM finals;
SELECT * FROM streamfuse.verify('finals');
SELECT count(*) > 0 AS answers FROM later;
SELECT * FROM streamfuse.verify('later');
DROP MATERIALIZED VIEW finals, later;

--
-- Who may read the view may verify it; the stream is read as the view's owner reads it.
--
CREATE ROLE regress_sf_verifier;
SET ROLE regress_sf_verifier;
SELECT count(*) FROM streamfuse.verify('sales');
RESET ROLE;
GRANT SELECT ON sales TO regress_sf_verifier;
SET ROLE regress_sf_verifier;
SELECT count(*) FROM streamfuse.verify('sales', '2026-01-01 10:10');
SELECT count(*) FROM sales AS "streamfuse batch" WHERE window_start >= '2026-01-01 10:10';
SELECT streamfuse.counted('orders'::regclass, '(0,1)', '3', 0);
RESET ROLE;
REVOKE SELECT ON sales FROM regress_sf_verifier;
DROP ROLE regress_sf_verifier;

-- What cannot be verified.
SELECT * FROM streamfuse.verify(NULL);
SELECT * FROM streamfuse.verify('orders');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM streamfuse.verify('sales');
ROLLBACK;
BEGIN;
CREATE MATERIALIZED VIEW fresh WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
SELECT * FROM streamfuse.verify('fresh');
ROLLBACK;
CREATE MATERIALIZED VIEW failing WITH (streamfuse.continuous) AS
SELECT window_start, sum(1 / (id - 30)) AS n FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
SELECT streamfuse.flush('failing') IS NOT NULL AS flushed;
INSERT INTO orders VALUES (30, 'book', 1.00, 1, '2026-01-01 10:23');
SELECT streamfuse.flush('failing');
SELECT * FROM streamfuse.verify('failing');
DROP TABLE orders CASCADE;
DROP TABLE kept;
DROP FUNCTION surcharge;
