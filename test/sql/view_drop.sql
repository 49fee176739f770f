-- However a view goes, its output table and all that is kept for it go too.
SET client_min_messages = warning;
CREATE ROLE regress_owner;
CREATE SCHEMA reports AUTHORIZATION regress_owner;
CREATE TABLE orders (amount int, event_time timestamptz NOT NULL) USING stream;
INSERT INTO orders VALUES (10, '2026-01-01 00:01+00');
GRANT SELECT ON orders TO regress_owner;
CREATE FUNCTION make_view(name text) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN
  EXECUTE format('CREATE MATERIALIZED VIEW %s WITH (streamfuse.continuous) AS
    SELECT window_start, sum(amount) FROM orders, tumble(event_time, ''5 minutes'')
    GROUP BY window_start, window_end', name);
END $$;
CREATE FUNCTION leftovers() RETURNS TABLE (kept text) LANGUAGE sql AS
$$ SELECT relname::text FROM pg_class WHERE relname ~ '^sales' AND relkind IN ('m', 'r')
   UNION ALL SELECT 'fragment of ' || view::regclass FROM streamfuse.fragment
   UNION ALL SELECT 'state' FROM streamfuse.state
   UNION ALL SELECT 'progress' FROM streamfuse.progress
   UNION ALL SELECT 'dirty window' FROM streamfuse.dirty_window $$;

SELECT make_view('sales');
DROP MATERIALIZED VIEW sales;
SELECT * FROM leftovers();

-- A stream that a view reads is kept, but with CASCADE.
SELECT make_view('sales');
DROP TABLE orders;
BEGIN;
DROP TABLE orders CASCADE;
SELECT * FROM leftovers();
ROLLBACK;
SELECT * FROM leftovers() WHERE kept NOT IN ('progress', 'state');
DROP MATERIALIZED VIEW sales;

-- With its schema, with its owner.
SELECT make_view('reports.sales');
DROP SCHEMA reports CASCADE;
SELECT * FROM leftovers();
CREATE SCHEMA reports AUTHORIZATION regress_owner;
SET ROLE regress_owner;
SELECT make_view('reports.sales');
RESET ROLE;
DROP OWNED BY regress_owner;
SELECT * FROM leftovers();

-- Without event triggers, in a subtransaction that fails, in one that does not.
SELECT make_view('sales');
BEGIN;
SAVEPOINT a;
DROP MATERIALIZED VIEW sales;
ROLLBACK TO a;
SELECT streamfuse.output('sales');
SAVEPOINT b;
DROP MATERIALIZED VIEW sales;
RELEASE b;
COMMIT;
SELECT * FROM leftovers();

-- A view whose output is dropped is inert until it is refreshed.
SELECT make_view('sales');
DROP TABLE sales_closed;
SELECT streamfuse.output('sales');
SELECT * FROM sales;
CREATE INDEX ON sales (window_start);
SELECT * FROM leftovers();
REFRESH MATERIALIZED VIEW sales;
SELECT streamfuse.output('sales');
SELECT * FROM sales;
DROP MATERIALIZED VIEW sales;

-- The extension is needed as long as there are views.
SELECT make_view('sales');
BEGIN;
DROP EXTENSION streamfuse CASCADE;
SELECT relname FROM pg_class WHERE relname ~ '^(sales|orders)' AND relkind IN ('m', 'r');
ROLLBACK;

DROP TABLE orders CASCADE;
DROP FUNCTION make_view(text);
DROP FUNCTION leftovers();
DROP OWNED BY regress_owner;
DROP ROLE regress_owner;
