-- ALTER on a continuous view is PostgreSQL's own; the output table follows.
SET client_min_messages = warning;
CREATE TABLE orders (category text, amount int, event_time timestamptz NOT NULL) USING stream;
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, window_end, category, sum(amount) AS revenue
FROM   orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, category;

-- A view that is renamed keeps its output under the old name.
ALTER MATERIALIZED VIEW sales RENAME TO revenue;
SELECT streamfuse.output('revenue');
ALTER TABLE sales_closed RENAME TO revenue_history;
SELECT streamfuse.output('revenue');
SELECT option_value FROM pg_class, pg_options_to_table(reloptions)
WHERE oid = 'revenue'::regclass AND option_name = 'streamfuse.output';

-- Columns.
ALTER MATERIALIZED VIEW revenue RENAME COLUMN revenue TO total;
SELECT attname FROM pg_attribute WHERE attrelid = 'revenue_history'::regclass AND attnum > 0 ORDER BY attnum;
-- A column of ours in the output table gets out of the way of the view's.
ALTER MATERIALIZED VIEW revenue RENAME COLUMN category TO closed_xid;
SELECT attname FROM pg_attribute WHERE attrelid = 'revenue_history'::regclass AND attnum > 0 ORDER BY attnum;
ALTER MATERIALIZED VIEW revenue RENAME COLUMN closed_xid TO category;
ALTER MATERIALIZED VIEW revenue ALTER COLUMN total SET STATISTICS 500;

-- Schema.  A table of the output's name is there already.
CREATE SCHEMA reports;
CREATE TABLE reports.revenue_history (a int);
ALTER MATERIALIZED VIEW revenue SET SCHEMA reports;
SELECT streamfuse.output('reports.revenue');
ALTER TABLE reports.revenue SET SCHEMA public;
SELECT streamfuse.output('revenue');

-- Owner.
CREATE ROLE regress_owner;
ALTER MATERIALIZED VIEW revenue OWNER TO regress_owner;
SELECT relname, relowner::regrole FROM pg_class
WHERE oid IN ('revenue'::regclass, streamfuse.output('revenue')) ORDER BY relname;
REASSIGN OWNED BY regress_owner TO CURRENT_USER;
SELECT relname, relowner::regrole = current_user::regrole AS mine FROM pg_class
WHERE oid IN ('revenue'::regclass, streamfuse.output('revenue')) ORDER BY relname;
DROP ROLE regress_owner;

-- Comments, and what PostgreSQL refuses for any materialized view.
COMMENT ON MATERIALIZED VIEW revenue IS 'what we earn';
COMMENT ON COLUMN revenue.total IS 'in cents';
ALTER MATERIALIZED VIEW revenue ADD COLUMN more int;
ALTER TABLE orders DROP COLUMN amount;
ALTER MATERIALIZED VIEW revenue SET ACCESS METHOD heap;

-- REFRESH has nothing to do.
REFRESH MATERIALIZED VIEW revenue;
REFRESH MATERIALIZED VIEW CONCURRENTLY revenue;
REFRESH MATERIALIZED VIEW revenue WITH NO DATA;

-- Maintenance.
ANALYZE revenue;
VACUUM revenue;
VACUUM (FREEZE) revenue;
VACUUM (FULL) revenue;

-- The output table can be tuned, constrained and given triggers, but keeps its columns, schema and rows.
ALTER TABLE revenue_closed SET (fillfactor = 90), ALTER COLUMN total SET STATISTICS 100, REPLICA IDENTITY FULL;
ALTER TABLE revenue_closed ADD CONSTRAINT total_is_positive CHECK (total > 0);
ALTER TABLE revenue_closed ADD UNIQUE (window_start, category);
ALTER TABLE revenue_closed ADD COLUMN more int;
ALTER TABLE revenue_closed DROP COLUMN total;
ALTER TABLE revenue_closed ALTER COLUMN total TYPE numeric;
ALTER TABLE revenue_closed RENAME COLUMN total TO sum;
ALTER TABLE revenue_closed OWNER TO pg_monitor;
ALTER TABLE revenue_closed SET SCHEMA reports;
ALTER TABLE revenue_closed ENABLE ROW LEVEL SECURITY;
CREATE TABLE parts (LIKE revenue_closed) PARTITION BY RANGE (window_start);
ALTER TABLE parts ATTACH PARTITION revenue_closed DEFAULT;
INSERT INTO revenue_closed DEFAULT VALUES;
UPDATE revenue_closed SET total = 0;
DELETE FROM revenue_closed;
TRUNCATE revenue_closed;
COPY revenue_closed FROM stdin;
\.
SELECT FROM revenue_closed FOR UPDATE;
MERGE INTO revenue_closed USING orders ON false WHEN NOT MATCHED THEN INSERT DEFAULT VALUES;
SELECT count(*) FROM revenue_closed;

DROP SCHEMA reports CASCADE;
DROP TABLE parts;
DROP TABLE orders CASCADE;
