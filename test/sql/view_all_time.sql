-- Continuous views without a window: groups over all time, which live for ever.  Nothing closes, and nothing is late.
CREATE TABLE orders (order_id int, customer int, category text, amount numeric, event_time timestamptz) USING stream;
CREATE MATERIALIZED VIEW totals WITH (streamfuse.continuous) AS
SELECT count(*) AS orders, sum(amount) AS revenue, max(category) AS greatest FROM orders;
CREATE MATERIALIZED VIEW customers WITH (streamfuse.continuous) AS
SELECT customer, count(*) AS orders, sum(amount) AS revenue, min(event_time) AS first_at FROM orders GROUP BY customer;
CREATE MATERIALIZED VIEW pairs WITH (streamfuse.continuous) AS
SELECT category, customer % 2 AS parity, count(*) FILTER (WHERE amount > 50) AS large, avg(amount)::numeric(12, 4) AS mean
FROM orders WHERE amount IS NOT NULL GROUP BY category, customer % 2 HAVING count(*) > 1;
SELECT streamfuse.flush('orders');

-- Without GROUP BY there is one row, as in PostgreSQL also of an empty stream; HAVING may leave it out.
SELECT * FROM totals;
SELECT * FROM customers;
CREATE MATERIALIZED VIEW busy WITH (streamfuse.continuous) AS SELECT sum(amount) AS revenue FROM orders HAVING count(*) > 3;
SELECT streamfuse.flush('busy');
SELECT * FROM busy;

-- A row is counted whatever its time, and if it has none.
INSERT INTO orders VALUES (1, 1, 'tea', 10, '2026-01-01 10:00+00'), (2, 2, 'tea', 90, '2026-01-01 10:01+00'),
  (3, 1, NULL, 70, '1999-01-01 00:00+00'), (4, NULL, 'rum', NULL, NULL), (5, NULL, 'rum', 5, 'infinity'),
  (10, 4, 'tea', 20, '-infinity');
SELECT streamfuse.flush('orders');
SELECT * FROM totals;
SELECT * FROM customers ORDER BY customer;
SELECT * FROM pairs ORDER BY category, parity;
SELECT * FROM busy;

-- Such a view needs no watermark, and leaves the choice of its column free.  Where there is one, windows of other views
-- close by it, and these groups go on.
CREATE TABLE clicks (customer int, at timestamptz NOT NULL, seen_at timestamptz NOT NULL) USING stream;
CREATE MATERIALIZED VIEW clicks_all WITH (streamfuse.continuous) AS SELECT customer, count(*) AS n FROM clicks GROUP BY customer;
SELECT streamfuse.set_watermark('clicks', 'seen_at');
SELECT streamfuse.set_watermark('clicks', 'at');
CREATE MATERIALIZED VIEW clicks_1m WITH (streamfuse.continuous) AS
SELECT window_start, customer, count(*) AS n FROM clicks, tumble(at, '1 minute') GROUP BY window_start, window_end, customer;
INSERT INTO clicks VALUES (1, '2026-01-01 10:00+00', 'now'), (2, '2026-01-01 11:00+00', 'now');
SELECT streamfuse.flush('clicks');
INSERT INTO clicks VALUES (1, '2026-01-01 10:00+00', 'now'), (3, '1999-01-01 10:00+00', 'now');
SELECT streamfuse.flush('clicks');
SELECT * FROM clicks_all ORDER BY customer;
SELECT customer, n FROM clicks_1m_closed ORDER BY customer;
SELECT streamfuse.advance_watermark('clicks', '2030-01-01 00:00+00');
INSERT INTO clicks VALUES (1, '2026-01-01 10:00+00', 'now');
SELECT streamfuse.flush('clicks');
SELECT * FROM clicks_all ORDER BY customer;
SELECT count(*) FROM clicks_all_closed;
SELECT view, rows_in, rows_late, rows_missed, open_windows, groups, next_close, waits_for
FROM streamfuse.stat_views WHERE view = 'clicks_all'::regclass;
SELECT view, exact, hints FROM streamfuse.views WHERE view IN ('customers'::regclass, 'clicks_all'::regclass) ORDER BY view::text;
SELECT * FROM streamfuse.dirty_windows WHERE view = 'clicks_all'::regclass;
-- A watermark that is set back opens nothing, and loses nothing.
SELECT streamfuse.reset_watermark('clicks', '2020-01-01 00:00+00');
SELECT streamfuse.flush('clicks');
INSERT INTO clicks VALUES (1, '2026-01-01 10:00+00', 'now');
SELECT streamfuse.flush('clicks');
SELECT * FROM clicks_all ORDER BY customer;

-- One group by its whole key is a hash probe; nothing but memory is read.
EXPLAIN (COSTS OFF) SELECT * FROM customers WHERE customer = 1;
SELECT * FROM customers WHERE customer = 1;
SELECT * FROM customers WHERE customer = 42;
SELECT * FROM customers WHERE customer IS NULL;
EXPLAIN (COSTS OFF) SELECT * FROM pairs WHERE parity = 1 AND category = 'tea';
SELECT * FROM pairs WHERE parity = 0 AND category = 'tea';
SELECT * FROM pairs WHERE parity = 0 AND category = 'rum';
EXPLAIN (COSTS OFF) SELECT * FROM pairs WHERE category = 'tea';
EXPLAIN (COSTS OFF) SELECT * FROM totals;
-- So is it by a value of another type, where its cast loses nothing: not where the key's type is the narrower one.
CREATE MATERIALIZED VIEW wide WITH (streamfuse.continuous) AS
SELECT customer::bigint AS number, amount::float8 AS amount, count(*) FROM orders GROUP BY 1, 2;
SELECT streamfuse.flush('wide') IS NOT NULL AS flushed;
EXPLAIN (COSTS OFF) SELECT * FROM wide WHERE number = 2 AND amount = '90'::float4;
SELECT * FROM wide WHERE number = 2 AND amount = '90'::float4;
EXPLAIN (COSTS OFF) SELECT * FROM customers WHERE customer = 8589934593;
SELECT * FROM customers WHERE customer = 8589934593;
DROP MATERIALIZED VIEW wide;
CREATE TABLE asked (customer int);
INSERT INTO asked VALUES (2), (3), (NULL);
ANALYZE asked;
EXPLAIN (COSTS OFF) SELECT a.customer, c.orders FROM asked a LEFT JOIN customers c ON c.customer = a.customer;
SELECT a.customer, c.orders FROM asked a LEFT JOIN customers c ON c.customer = a.customer ORDER BY 1;
PREPARE one_customer(int) AS SELECT orders, revenue FROM customers WHERE customer = $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE one_customer(1);
EXECUTE one_customer(2);
RESET plan_cache_mode;

-- Views of one stream in one statement; conditions and aggregates over them.
SELECT t.orders = (SELECT sum(orders) FROM customers) AS same FROM totals t;
SELECT count(*), sum(revenue) FROM customers WHERE revenue > 10;
SELECT c.customer, p.parity FROM customers c FULL JOIN (SELECT DISTINCT parity FROM pairs) p ON p.parity = c.customer ORDER BY 1, 2;

-- The law.
SELECT * FROM streamfuse.verify('totals');
SELECT * FROM streamfuse.verify('customers');
SELECT * FROM streamfuse.verify('pairs');
SELECT * FROM streamfuse.verify('busy');
SELECT * FROM streamfuse.verify('clicks_all');
SELECT * FROM streamfuse.verify('customers', '2026-01-01');

-- What is stored when a view is made is counted.
CREATE MATERIALIZED VIEW later WITH (streamfuse.continuous) AS SELECT category, count(*) AS n FROM orders GROUP BY category;
SELECT streamfuse.flush('later');
SELECT * FROM later ORDER BY category;

-- A view that is paused answers from the tables, and goes on where it was.
SELECT streamfuse.pause('customers');
SELECT streamfuse.pause('totals');
INSERT INTO orders VALUES (6, 2, 'tea', 1, '2026-01-01 10:00+00');
SELECT orders, revenue FROM totals;
SELECT customer, orders FROM customers ORDER BY customer;
SELECT streamfuse.resume('customers');
SELECT streamfuse.resume('totals');
SELECT streamfuse.flush('orders');
SELECT orders, revenue FROM totals;
SELECT customer, orders FROM customers ORDER BY customer;

-- Rows that raise are set aside; they have no event time that a window was asked for.
CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous, streamfuse.on_error = 'skip') AS
SELECT customer, sum(100 / (amount - 5)) AS share FROM orders GROUP BY customer;
SELECT streamfuse.flush('shares');
SELECT customer, round(share, 2) AS share FROM shares ORDER BY customer;
SELECT event_time, sqlstate, "row" ->> 'order_id' AS order_id FROM streamfuse.errors WHERE view = 'shares'::regclass;
SELECT * FROM streamfuse.verify('shares');

-- An expression of the time that is not a window's start is a key like any other.
CREATE MATERIALIZED VIEW hours WITH (streamfuse.continuous) AS
SELECT extract(hour FROM at AT TIME ZONE 'UTC') AS hour, count(*) AS n FROM clicks GROUP BY 1;
SELECT streamfuse.flush('hours');
SELECT * FROM hours WHERE hour = 10;
SELECT count(*) FROM hours_closed;

-- What an aggregate keeps is kept for ever, which is said.
CREATE MATERIALIZED VIEW visitors WITH (streamfuse.continuous) AS SELECT count(DISTINCT customer) AS customers FROM clicks;
SELECT streamfuse.flush('visitors');
SELECT * FROM visitors;
SELECT hints FROM streamfuse.views WHERE view = 'visitors'::regclass;
SELECT * FROM streamfuse.verify('visitors');

-- Keys whose equality is not that of their bytes.
CREATE MATERIALIZED VIEW by_amount WITH (streamfuse.continuous) AS SELECT amount, count(*) AS n FROM orders GROUP BY amount;
INSERT INTO orders VALUES (7, 3, 'tea', 1.00, NULL), (8, 3, 'tea', 'NaN', NULL), (9, 3, 'tea', 'NaN', NULL);
SELECT streamfuse.flush('orders');
SELECT * FROM by_amount WHERE amount = 1.0;
SELECT * FROM by_amount WHERE amount = 'NaN';
SELECT * FROM streamfuse.verify('by_amount');

-- What needs a window.
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous, streamfuse.emit = 'final') AS SELECT count(*) FROM orders;
ALTER MATERIALIZED VIEW totals SET (streamfuse.emit = 'final');
ALTER MATERIALIZED VIEW totals SET (streamfuse.on_error = 'skip');
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT count(*) FROM orders WITH NO DATA;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT category, count(*) FROM orders, tumble(event_time, '1 minute') GROUP BY category;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT count(*) FROM orders, tumble(event_time, '1 minute');

SET client_min_messages = warning;
DROP TABLE orders, clicks, asked CASCADE;
