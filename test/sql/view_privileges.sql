-- No superuser is needed, and nobody reads through a view what was not granted.
SET client_min_messages = warning;
CREATE ROLE regress_maker;
CREATE ROLE regress_reader;
CREATE SCHEMA shop AUTHORIZATION regress_maker;
CREATE TABLE orders (amount int, event_time timestamptz NOT NULL) USING stream;
INSERT INTO orders VALUES (10, '2026-01-01 00:01+00');
CREATE VIEW make AS SELECT $$CREATE MATERIALIZED VIEW shop.sales WITH (streamfuse.continuous) AS
  SELECT window_start, sum(amount) AS revenue FROM orders, tumble(event_time, '5 minutes')
  GROUP BY window_start, window_end$$ AS command;
GRANT SELECT ON make TO regress_maker;

-- The maker must be able to read the stream.
SET ROLE regress_maker;
SELECT command FROM make \gexec
RESET ROLE;
GRANT SELECT (event_time) ON orders TO regress_maker;
SET ROLE regress_maker;
SELECT command FROM make \gexec
RESET ROLE;
GRANT SELECT (amount) ON orders TO regress_maker;
SET ROLE regress_maker;
SELECT command FROM make \gexec
SELECT * FROM shop.sales;
RESET ROLE;
SELECT relname, relowner::regrole FROM pg_class
WHERE oid IN ('shop.sales'::regclass, streamfuse.output('shop.sales')) ORDER BY relname;

-- A reader needs the view, and neither the stream nor the output table.
GRANT USAGE ON SCHEMA shop TO regress_reader;
SET ROLE regress_reader;
SELECT * FROM shop.sales;
RESET ROLE;
GRANT SELECT ON shop.sales TO regress_reader;
SET ROLE regress_reader;
SELECT * FROM shop.sales;
SELECT * FROM orders;
SELECT * FROM shop.sales_closed;
SELECT view, output FROM streamfuse.views;
RESET ROLE;

-- Columns can be granted, too.
REVOKE SELECT ON shop.sales FROM regress_reader;
GRANT SELECT (revenue) ON shop.sales TO regress_reader;
SET ROLE regress_reader;
SELECT revenue FROM shop.sales;
SELECT * FROM shop.sales;

-- What belongs to the owner.
ALTER MATERIALIZED VIEW shop.sales SET (streamfuse.emit = final);
ALTER MATERIALIZED VIEW shop.sales RENAME TO mine;
REFRESH MATERIALIZED VIEW shop.sales;
CREATE INDEX ON shop.sales (revenue);
DROP MATERIALIZED VIEW shop.sales;
SELECT * FROM streamfuse.fragment;
RESET ROLE;

DROP VIEW make;
DROP TABLE orders CASCADE;
DROP SCHEMA shop;
DROP ROLE regress_maker, regress_reader;
