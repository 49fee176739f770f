-- Stateless views: SELECT expressions FROM a stream WHERE a filter, without GROUP BY.  A row of the stream becomes a row
-- of the view, once; nothing closes, nothing is late, and the row is output at once.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE TABLE orders (order_id int, category text, amount numeric(12,2), tags text[], spot point, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
INSERT INTO orders VALUES (1, 'book', 10, '{a,b}', '(1,2)', '2026-01-01 10:01'), (2, NULL, 20, NULL, NULL, '2026-01-01 10:02');

-- Filter and map; columns of any type, also those that cannot be grouped; one expression twice is one value.
CREATE MATERIALIZED VIEW dear WITH (streamfuse.continuous) AS
SELECT order_id, upper(category) AS category, amount * 2 AS twice, amount * 2 AS again, tags, spot, 'x' AS constant
FROM orders WHERE amount > 5;
SELECT streamfuse.flush('dear') IS NOT NULL AS flushed;
TABLE dear ORDER BY order_id;

-- A row that is behind the watermark is a row like any other.  What is filtered out is not there.
INSERT INTO orders VALUES (3, 'toy', 30, '{}', '(0,0)', '2026-01-02'), (4, 'toy', 1, '{}', '(0,0)', '2026-01-02'),
  (5, repeat('long', 1000), 50, '{}', NULL, '2025-01-01');
SELECT streamfuse.flush('dear') IS NOT NULL AS flushed;
SELECT order_id, left(category, 8) AS category, length(category), twice, tags, spot FROM dear ORDER BY order_id;
SELECT rows_read, rows_in, rows_late, rows_missed FROM streamfuse.stat_views WHERE view = 'dear'::regclass;
SELECT count(*) FROM streamfuse.dirty_windows;
SELECT * FROM streamfuse.verify('dear');

-- The output table has the view's columns and the transaction that wrote the row; after a flush all rows are there.
\d dear_closed
SELECT count(*) FROM dear_closed;

-- A read takes the output table, with its indexes, and what has not been committed yet; never the stream.
CREATE INDEX ON dear (order_id);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM dear WHERE order_id = 3;
RESET enable_seqscan;
SELECT order_id, twice FROM dear WHERE order_id = 3;
SELECT category, count(*), sum(twice) FROM dear GROUP BY category HAVING count(*) = 1 AND max(length(category)) < 10 ORDER BY 1;
SELECT d.order_id, o.amount FROM dear d JOIN orders o USING (order_id) WHERE d.order_id < 3 ORDER BY 1;

-- Columns of a tumbling window are columns like others.
CREATE MATERIALIZED VIEW placed WITH (streamfuse.continuous) AS
SELECT order_id, window_start, window_end FROM orders, tumble(event_time, '1 hour') WHERE event_time >= window_start + interval '1 minute';
SELECT streamfuse.flush('placed') IS NOT NULL AS flushed;
TABLE placed ORDER BY order_id;
SELECT order_id FROM placed WHERE window_start = '2026-01-01 10:00' ORDER BY 1;
SELECT * FROM streamfuse.verify('placed');

-- All rows are final.
CREATE MATERIALIZED VIEW finals WITH (streamfuse.continuous, streamfuse.emit = 'final') AS SELECT order_id FROM orders;
SELECT streamfuse.flush('finals') IS NOT NULL AS flushed;
SELECT count(*) FROM finals;
SELECT * FROM streamfuse.verify('finals');

-- WITH NO DATA: what comes after everything stored, by the watermark's column.
CREATE MATERIALIZED VIEW fresh WITH (streamfuse.continuous) AS SELECT order_id, event_time FROM orders WITH NO DATA;
INSERT INTO orders (order_id, amount, event_time) VALUES (6, 6, '2026-01-03'), (7, 7, '2026-01-01');
SELECT streamfuse.flush('orders') IS NOT NULL AS flushed;
TABLE fresh;
SELECT count(*) FROM finals;
SELECT * FROM streamfuse.verify('fresh');
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 second');

-- Verification is of the whole.
SELECT * FROM streamfuse.verify('dear', '2026-01-01', '2026-02-01');

-- A row that raises: set aside, and in no other view.
CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous, streamfuse.on_error = 'skip') AS
SELECT order_id, 100 / (order_id - 3) AS share FROM orders;
SELECT streamfuse.flush('shares') IS NOT NULL AS flushed;
TABLE shares ORDER BY 1;
SELECT view, event_time, message FROM streamfuse.errors;
SELECT * FROM streamfuse.verify('shares');

-- Paused, a view is read as it stands; resumed, it goes on.
SELECT streamfuse.pause('dear');
INSERT INTO orders (order_id, amount, event_time) VALUES (8, 8, '2026-01-03');
SELECT streamfuse.flush('finals') IS NOT NULL AS flushed;
SELECT (SELECT count(*) FROM dear) AS dear, (SELECT count(*) FROM finals) AS finals;
SELECT streamfuse.resume('dear');
SELECT streamfuse.flush('dear') IS NOT NULL AS flushed;
SELECT count(*) FROM dear;

-- A stream without a watermark will do; a view of it begins with what is stored.
CREATE TABLE notes (id int, note jsonb) USING stream;
CREATE MATERIALIZED VIEW notes_seen WITH (streamfuse.continuous, streamfuse.on_error = 'skip') AS
SELECT id, note->>'text' AS text, 10 / id AS tenth, note FROM notes;
INSERT INTO notes VALUES (1, '{"text": "one"}'), (0, '{}'), (NULL, NULL);
SELECT streamfuse.flush('notes_seen') IS NOT NULL AS flushed;
TABLE notes_seen;
SELECT event_time, message FROM streamfuse.errors WHERE view = 'notes_seen'::regclass;
SELECT * FROM streamfuse.verify('notes_seen');
CREATE MATERIALIZED VIEW notes_fresh WITH (streamfuse.continuous) AS SELECT id FROM notes WITH NO DATA;
-- Such a view does not say which column the watermark may be on.
CREATE TABLE calls (id int, began timestamptz NOT NULL, ended timestamptz NOT NULL) USING stream;
CREATE MATERIALIZED VIEW ids WITH (streamfuse.continuous) AS SELECT id FROM calls;
SELECT streamfuse.set_watermark('calls', 'began', delay => '1 second');
SELECT streamfuse.set_watermark('calls', 'ended', delay => '1 second');
CREATE MATERIALIZED VIEW later WITH (streamfuse.continuous) AS SELECT id FROM calls WITH NO DATA;
INSERT INTO calls VALUES (1, '2026-01-01', '2026-01-02');
SELECT streamfuse.flush('calls') IS NOT NULL AS flushed;
TABLE later;
CREATE MATERIALIZED VIEW latest WITH (streamfuse.continuous) AS SELECT id FROM calls WITH NO DATA;
SELECT streamfuse.set_watermark('calls', 'began', delay => '1 second');

-- What is refused.
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT DISTINCT category FROM orders;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT order_id, row_number() OVER () FROM orders;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT order_id, random() FROM orders;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT order_id FROM orders WHERE event_time > now();
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT order_id FROM orders ORDER BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT order_id FROM orders LIMIT 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT unnest(tags) FROM orders;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT order_id, ctid AS place FROM orders;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT order_id FROM orders UNION SELECT id FROM notes;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT order_id, window_start FROM orders, hop(event_time, '1 hour', '10 minutes');
\set SHOW_CONTEXT never
DO $$ BEGIN
  EXECUTE 'CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT ' ||
    (SELECT string_agg(format('order_id + %s AS c%s', i, i), ', ') FROM generate_series(1, 61) AS i) || ' FROM orders';
END $$;

SET client_min_messages = warning;
DROP TABLE orders, notes, calls CASCADE;
