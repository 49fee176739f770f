-- Reading a continuous view: it may stand wherever a materialized view may.  Closed windows come from its output table,
-- open ones from the memory of the worker, and no query can tell which came from where.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE TABLE orders (order_id int, category text, amount numeric(12,2), event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
SET client_min_messages = warning;
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, window_end, category, sum(amount) AS revenue, count(*) AS orders
FROM orders, tumble(event_time, '5 minutes')
WHERE amount > 0
GROUP BY window_start, window_end, category;
RESET client_min_messages;
CREATE TABLE categories (category text PRIMARY KEY, label text);
INSERT INTO categories VALUES ('book', 'Books'), ('food', 'Groceries'), ('toy', 'Toys');

-- Windows 10:00 and 10:05 are closed by the row of 10:12; window 10:10 is open.
INSERT INTO orders VALUES
  (1, 'book', 10.00, '2026-01-01 10:01'), (2, 'book',  5.50, '2026-01-01 10:04'), (3, 'food', 7.25, '2026-01-01 10:02'),
  (4, 'book', 20.00, '2026-01-01 10:05'), (5, 'toy',   1.00, '2026-01-01 10:09'), (6, 'food', 0.00, '2026-01-01 10:06');
INSERT INTO orders VALUES
  (7, 'book', 30.00, '2026-01-01 10:10'), (8, 'toy',   2.00, '2026-01-01 10:12'), (9, NULL,   9.00, '2026-01-01 10:11');
SELECT streamfuse.flush('sales') IS NOT NULL AS flushed;

SELECT * FROM sales ORDER BY window_start, category;
TABLE sales ORDER BY 1, 3 LIMIT 2;
SELECT count(*), sum(revenue), max(window_start) FROM sales;
SELECT * FROM ONLY sales AS s (starts, ends, c, r, n) WHERE c = 'book' ORDER BY starts;

-- Conditions on windows and keys.
SELECT category, revenue FROM sales WHERE window_start >= '2026-01-01 10:10' ORDER BY category;
SELECT category, revenue FROM sales WHERE window_end <= '2026-01-01 10:10' ORDER BY 1, 2;
SELECT category, revenue FROM sales WHERE window_end > '2026-01-01 10:09' AND window_start < '2026-01-01 10:09' ORDER BY 1;
SELECT category, revenue FROM sales WHERE window_start = '2026-01-01 10:10' AND category = 'toy';
SELECT window_start FROM sales WHERE '2026-01-01 10:05' < window_start ORDER BY window_start LIMIT 1;
SELECT category FROM sales WHERE window_start > 'infinity' OR window_start = NULL;
SELECT window_start, revenue FROM sales WHERE category IS NULL;
SELECT category FROM sales WHERE category = NULL;
SELECT window_start FROM sales ORDER BY window_start DESC LIMIT 1;

-- Joins, also with the view itself.
SELECT c.label, s.revenue FROM sales s JOIN categories c USING (category) WHERE s.window_start = '2026-01-01 10:10'
ORDER BY c.label;
SELECT c.label, s.window_start FROM categories c LEFT JOIN sales s ON s.category = c.category AND s.revenue > 15
ORDER BY 1, 2;
SELECT a.category, a.revenue - b.revenue AS growth FROM sales a JOIN sales b
ON a.category = b.category AND a.window_start = b.window_end ORDER BY a.window_start, 1;
SELECT c.label, latest.revenue FROM categories c, LATERAL
  (SELECT revenue FROM sales s WHERE s.category = c.category ORDER BY window_start DESC LIMIT 1) latest ORDER BY 1;
SELECT coalesce(a.category, b.category) AS category, a.revenue AS before, b.revenue AS after
FROM (SELECT * FROM sales WHERE window_start = '2026-01-01 10:00') a
FULL JOIN (SELECT * FROM sales WHERE window_start = '2026-01-01 10:10') b ON a.category = b.category ORDER BY 1;

-- Sub-selects, common table expressions, set operations, grouping.
SELECT label FROM categories c WHERE EXISTS (SELECT FROM sales s WHERE s.category = c.category AND s.orders > 1);
SELECT label, (SELECT sum(revenue) FROM sales s WHERE s.category = c.category) FROM categories c ORDER BY 1;
SELECT label FROM categories WHERE category IN (SELECT category FROM sales WHERE revenue < 5);
WITH best AS MATERIALIZED (SELECT category, max(revenue) AS revenue FROM sales GROUP BY category)
SELECT s.window_start, best.* FROM best JOIN sales s USING (category, revenue) ORDER BY 1, 2;
WITH RECURSIVE walk AS (
  SELECT window_start, window_end FROM sales WHERE window_start = '2026-01-01 10:00'
  UNION SELECT s.window_start, s.window_end FROM walk JOIN sales s ON s.window_start = walk.window_end)
SELECT count(*) FROM walk;
SELECT category FROM sales EXCEPT SELECT category FROM categories;
SELECT category, window_start, sum(orders) FROM sales GROUP BY GROUPING SETS ((category), (window_start), ())
ORDER BY 1, 2;
SELECT window_start, category, rank() OVER (PARTITION BY window_start ORDER BY revenue DESC) FROM sales ORDER BY 1, 3;

-- Whole rows.
SELECT s FROM sales s WHERE category = 'toy' ORDER BY s.window_start;
SELECT (s).revenue, row_to_json(s)->>'category' AS category FROM sales s WHERE orders > 1;
SELECT c.label, s FROM categories c LEFT JOIN sales s ON s.category = c.category AND s.orders > 1 ORDER BY 1;
CREATE FUNCTION describe(sales) RETURNS text LANGUAGE sql STABLE RETURN $1.category || ': ' || $1.revenue;
SELECT describe(s), s.describe FROM sales s WHERE window_start = '2026-01-01 10:10' AND category = 'book';

-- Functions: inlined SQL, SQL that is not inlined, PL/pgSQL; functions inside functions.
CREATE FUNCTION sales_since(since timestamptz) RETURNS SETOF sales LANGUAGE sql STABLE
  AS 'SELECT * FROM sales WHERE window_start >= since';
CREATE FUNCTION sales_of(kind text) RETURNS TABLE (starts timestamptz, revenue numeric) LANGUAGE sql STABLE
  BEGIN ATOMIC SELECT window_start, revenue FROM sales WHERE category = kind; END;
CREATE FUNCTION recent_books() RETURNS SETOF sales LANGUAGE sql STABLE
  AS 'SELECT * FROM sales_since(''2026-01-01 10:05'') WHERE category = ''book''';
CREATE FUNCTION revenue_of(kind text) RETURNS numeric LANGUAGE sql STABLE
  AS 'SELECT sum(revenue) FROM sales WHERE category = kind';
CREATE FUNCTION orders_in_all() RETURNS int LANGUAGE plpgsql STABLE AS $$
DECLARE total int := 0; s sales;
BEGIN
  FOR s IN SELECT * FROM sales LOOP total := total + s.orders; END LOOP;
  RETURN total;
END $$;
SELECT category, revenue FROM sales_since('2026-01-01 10:10') ORDER BY 1;
SELECT * FROM sales_of('book') ORDER BY 1;
SELECT revenue FROM recent_books() ORDER BY 1;
SELECT label, revenue_of(category), orders_in_all() FROM categories ORDER BY 1;
DO $$
BEGIN
  BEGIN
    PERFORM 1 / (orders - 1) FROM sales;
  EXCEPTION WHEN division_by_zero THEN
    RAISE NOTICE 'caught; orders: %', (SELECT sum(orders) FROM sales);
  END;
END $$;

-- Prepared statements, custom and generic.
PREPARE of_category (text, timestamptz) AS
  SELECT window_start, revenue FROM sales WHERE category = $1 AND window_start >= $2 ORDER BY 1;
EXECUTE of_category ('book', '2026-01-01 10:05');
SET plan_cache_mode = force_generic_plan;
EXECUTE of_category ('book', '2026-01-01 10:05');
EXECUTE of_category ('toy', '-infinity');
EXECUTE of_category (NULL, '-infinity');
RESET plan_cache_mode;
DEALLOCATE of_category;

-- Cursors, held ones too.
BEGIN;
DECLARE by_time SCROLL CURSOR FOR SELECT category, revenue FROM sales ORDER BY window_start, category;
DECLARE held CURSOR WITH HOLD FOR SELECT category, revenue FROM sales ORDER BY revenue DESC;
FETCH 2 FROM by_time;
FETCH BACKWARD 1 FROM by_time;
SAVEPOINT a;
SELECT 1 / (orders - 1) FROM sales;
ROLLBACK TO a;
FETCH LAST FROM by_time;
COMMIT;
FETCH 2 FROM held;
CLOSE held;

-- COPY, CREATE TABLE AS, data-modifying statements.
COPY (SELECT category, revenue FROM sales WHERE window_start = '2026-01-01 10:10' ORDER BY 1) TO STDOUT;
CREATE TABLE kept AS SELECT * FROM sales WHERE category = 'book';
INSERT INTO kept SELECT * FROM sales WHERE category = 'toy';
UPDATE kept k SET orders = 0 FROM sales s WHERE s.category = k.category AND s.window_start = k.window_start AND s.revenue = 30;
DELETE FROM kept k USING sales s WHERE s.category = k.category AND s.window_start = k.window_start AND s.revenue = 1;
MERGE INTO kept k USING sales s ON s.category = k.category AND s.window_start = k.window_start
WHEN MATCHED THEN UPDATE SET revenue = -k.revenue
WHEN NOT MATCHED AND s.category = 'food' THEN INSERT VALUES (s.window_start, s.window_end, s.category, s.revenue, s.orders);
SELECT category, revenue, orders FROM kept ORDER BY 1, 2;

-- Views and materialized views over it.
CREATE VIEW books AS SELECT window_start, revenue FROM sales WHERE category = 'book';
CREATE MATERIALIZED VIEW report AS SELECT count(*) AS windows, sum(revenue) AS revenue FROM books;
SELECT * FROM books ORDER BY 1;
SELECT * FROM report;
REFRESH MATERIALIZED VIEW report;
SELECT * FROM report;

-- A condition that leaks its arguments sees only what the barrier lets pass.
CREATE FUNCTION leak(text) RETURNS bool LANGUAGE plpgsql COST 0.001
  AS $$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$;
CREATE VIEW toys WITH (security_barrier) AS SELECT * FROM sales WHERE category = 'toy' AND window_start >= '2026-01-01 10:10';
SELECT revenue FROM toys WHERE leak(category);

-- The view's rights are all that is asked for; neither the stream nor the output table need any.
CREATE ROLE regress_sf_reader;
GRANT SELECT (window_start, category) ON sales TO regress_sf_reader;
SET ROLE regress_sf_reader;
SELECT category FROM sales WHERE window_start = '2026-01-01 10:10' ORDER BY 1;
SELECT revenue FROM sales;
SELECT sales FROM sales;
SELECT * FROM orders;
RESET ROLE;
GRANT SELECT ON sales TO regress_sf_reader;
SET ROLE regress_sf_reader;
SELECT sum(revenue) FROM sales;
RESET ROLE;
CREATE ROLE regress_sf_owner;
GRANT CREATE ON SCHEMA public TO regress_sf_owner;
ALTER MATERIALIZED VIEW sales OWNER TO regress_sf_owner;
GRANT SELECT ON orders TO regress_sf_owner;
SET ROLE regress_sf_reader;
SELECT sum(revenue) FROM sales;
RESET ROLE;

-- What a view's answer does not have.
SELECT ctid FROM sales;
SELECT (SELECT s.tableoid) FROM sales s;
SELECT * FROM sales FOR UPDATE;
SELECT * FROM categories c JOIN sales s USING (category) ORDER BY window_start, category FOR SHARE OF c;
SELECT * FROM sales TABLESAMPLE system (10);
INSERT INTO sales SELECT * FROM sales;
COPY sales TO STDOUT;

-- Renamed columns and views stay readable.
ALTER MATERIALIZED VIEW sales RENAME COLUMN revenue TO turnover;
ALTER MATERIALIZED VIEW sales RENAME TO takings;
SELECT sum(turnover) FROM takings;
SELECT * FROM books ORDER BY 1 LIMIT 1;

SET client_min_messages = warning;
DROP MATERIALIZED VIEW takings CASCADE;
DROP TABLE orders, categories, kept;
DROP FUNCTION leak, revenue_of, orders_in_all;
REVOKE CREATE ON SCHEMA public FROM regress_sf_owner;
DROP ROLE regress_sf_reader, regress_sf_owner;
