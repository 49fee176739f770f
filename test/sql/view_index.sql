-- CREATE INDEX on a continuous view makes the index on its output table.
SET client_min_messages = warning;
CREATE TABLE orders (category text, amount int, event_time timestamptz NOT NULL) USING stream;
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, window_end, category, sum(amount) AS revenue
FROM   orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, category;

CREATE INDEX ON sales (category, window_start);
CREATE INDEX sales_lower ON sales (lower(category)) WHERE revenue > 0;
CREATE INDEX IF NOT EXISTS sales_lower ON sales (category);
CREATE INDEX CONCURRENTLY sales_revenue ON sales USING brin (revenue);
SELECT indexdef FROM pg_indexes WHERE tablename = 'sales_closed' ORDER BY indexname;
SELECT count(*) FROM pg_indexes WHERE tablename = 'sales';

-- A unique one could stop the view.
CREATE UNIQUE INDEX ON sales (category);
CREATE UNIQUE INDEX ON sales_closed (category);

REINDEX TABLE sales;
REINDEX TABLE CONCURRENTLY sales;
REINDEX INDEX sales_lower;
CLUSTER sales USING sales_closed_category_window_start_idx;
CLUSTER sales;
DROP INDEX sales_lower;
SELECT indexname FROM pg_indexes WHERE tablename = 'sales_closed' ORDER BY indexname;

DROP TABLE orders CASCADE;
