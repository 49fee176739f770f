-- What cannot be a continuous view, and what cannot be done to one, says so.
SET client_min_messages = warning;
CREATE TABLE orders (amount int, event_time timestamptz NOT NULL) USING stream;
CREATE TABLE plain (amount int, event_time timestamptz NOT NULL);

-- Options.
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous, streamfuse.tempo = fast) AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW v WITH (streamfuse.emit = final) AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous = false) AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous = perhaps) AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous, streamfuse.continuous) AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous, streamfuse.output = o) AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous, streamfuse.allowed_lateness = '1 minute') AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous, streamfuse.lateness = side_output) AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW v USING heap WITH (streamfuse.continuous) AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW v WITH ("streamfuse.continuous" = true, "streamfuse.settings" = 'role=''postgres''') AS
SELECT 1 AS one;

-- Kinds of views and tables.
CREATE UNLOGGED MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
CREATE VIEW v WITH (streamfuse.continuous) AS SELECT 1 AS one;
CREATE TABLE t WITH (streamfuse.continuous) AS SELECT 1 AS one;

-- The access method is for nothing else.
CREATE TABLE t (a int) USING streamfuse_view;
CREATE TABLE t USING streamfuse_view AS SELECT 1 AS one WITH NO DATA;
CREATE MATERIALIZED VIEW v USING streamfuse_view AS SELECT 1 AS one WITH NO DATA;
ALTER TABLE plain SET ACCESS METHOD streamfuse_view;
SET default_table_access_method = streamfuse_view;
CREATE TABLE t (a int);
SELECT 1 AS one INTO t;
RESET default_table_access_method;

-- Queries: without a stream, and of an ordinary table.
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM plain, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;

-- Row-level security would show each reader other rows.
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
ALTER TABLE orders DISABLE ROW LEVEL SECURITY;

-- Nothing was made.
SELECT relname FROM pg_class WHERE relname IN ('v', 't', 'v_closed');
SELECT count(*) FROM streamfuse.fragment;

-- What is refused on a view, most of it by PostgreSQL itself.
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
INSERT INTO v DEFAULT VALUES;
TRUNCATE v;
COPY v TO stdout;
CREATE TRIGGER t AFTER INSERT ON v FOR EACH STATEMENT EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE PUBLICATION p FOR TABLE v;
ALTER TABLE v ENABLE ROW LEVEL SECURITY;
DROP TABLE v;
DROP VIEW v;
SELECT streamfuse.output('plain');
SELECT streamfuse.output(0);

DROP TABLE orders CASCADE;
DROP TABLE plain;
