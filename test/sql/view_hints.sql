-- What the user of a view should know: a NOTICE when it is made, repeated in streamfuse.views.
SET timezone = 'UTC';
CREATE TABLE orders (id int, amount int, rate float8, at timestamptz NOT NULL, paid timestamptz, noted timestamp NOT NULL) USING stream;
CREATE TABLE clicks (page text, at timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'at', delay => '1 minute');
CREATE FUNCTION add(state bigint, value int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 + coalesce($2, 0)';
CREATE AGGREGATE total(int) (SFUNC = add, STYPE = bigint, INITCOND = '0');
CREATE VIEW hints AS SELECT view, unnest(hints) AS hint FROM streamfuse.views;

-- Nothing to say: windows that close, and small states over all time, a user's own aggregate among them.
CREATE MATERIALIZED VIEW silent_window WITH (streamfuse.continuous) AS
SELECT window_start, array_agg(id), count(DISTINCT id) FROM orders, tumble(at, '1 hour') GROUP BY window_start WITH NO DATA;
CREATE MATERIALIZED VIEW silent_hours WITH (streamfuse.continuous) AS
SELECT date_trunc('hour', at) AS hour, date_trunc('day', paid) AS paid_on, count(*) FROM orders GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW silent_rows WITH (streamfuse.continuous) AS SELECT page FROM clicks;
CREATE MATERIALIZED VIEW silent_totals WITH (streamfuse.continuous) AS
SELECT id, count(*), sum(amount), total(amount) FROM orders GROUP BY id;
SELECT * FROM hints;

-- Windows that do not close.
CREATE MATERIALIZED VIEW by_hour WITH (streamfuse.continuous) AS
SELECT window_start, page, count(*) FROM clicks, tumble(at, '1 hour') GROUP BY window_start, page;
CREATE MATERIALIZED VIEW by_date WITH (streamfuse.continuous) AS SELECT at::date AS date, count(*) FROM clicks GROUP BY at::date;
SELECT * FROM hints ORDER BY view::text;
SELECT streamfuse.set_watermark('clicks', 'at', delay => '1 minute');
SELECT * FROM hints;

-- Hours and days of a time that the watermark is not on: groups over all time.
CREATE MATERIALIZED VIEW by_paid WITH (streamfuse.continuous) AS
SELECT date_trunc('hour', paid) AS hour, count(*) FROM orders GROUP BY 1;
CREATE MATERIALIZED VIEW by_noted WITH (streamfuse.continuous) AS SELECT noted::date AS date, count(*) FROM orders GROUP BY 1;
CREATE TABLE notes (noted timestamptz) USING stream;
CREATE MATERIALIZED VIEW by_note WITH (streamfuse.continuous) AS SELECT date_bin('1 hour', noted, '2024-01-01') AS hour, count(*) FROM notes GROUP BY 1;
CREATE MATERIALIZED VIEW by_shifted WITH (streamfuse.continuous) AS
SELECT date_trunc('hour', u.at) AS hour, count(*) FROM (SELECT at - interval '1 day' AS at FROM orders) u GROUP BY 1;
SELECT * FROM hints ORDER BY view::text;
INSERT INTO orders VALUES (1, 10, 0.5, '2024-03-01 10:10', '2024-03-01 11:20', '2024-03-01 00:00'),
                          (2, 20, 0.5, '2024-03-01 14:10', NULL, '2024-02-29 23:59'), (3, 30, 0.5, '2024-03-01 10:20', '2024-03-01 11:59', '2024-03-01 09:00');
INSERT INTO notes VALUES ('2024-03-01 10:10'), (NULL), ('2024-03-01 10:50');
SELECT streamfuse.flush() IS NOT NULL AS flushed;
SELECT * FROM by_paid ORDER BY hour;
SELECT * FROM by_noted ORDER BY date;
SELECT * FROM by_note ORDER BY hour;
SELECT v, d.* FROM unnest('{by_paid,by_noted,by_note}'::text[]) v, streamfuse.verify(v::regclass) d;
-- Which it is stays with the view: a watermark that comes to such a column makes no windows of its groups.
CREATE TABLE entries (entered timestamptz, at timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('entries', 'at');
CREATE MATERIALIZED VIEW by_entry WITH (streamfuse.continuous) AS SELECT date_trunc('hour', entered) AS hour, count(*) FROM entries GROUP BY 1;
ALTER TABLE entries ALTER entered SET NOT NULL;
SELECT streamfuse.set_watermark('entries', 'entered');
INSERT INTO entries VALUES ('2024-03-01 10:10', '2024-03-01'), ('2024-03-01 12:10', '2024-03-01'), ('2024-03-01 10:20', '2024-03-01');
SELECT streamfuse.flush() IS NOT NULL AS flushed;
SELECT * FROM by_entry ORDER BY hour;
SELECT count(*) AS closed FROM by_entry_closed;
SELECT * FROM streamfuse.verify('by_entry');
SELECT * FROM hints WHERE view = 'by_entry'::regclass;

-- Aggregates that keep what they are given, where no group is ever complete.
CREATE MATERIALIZED VIEW keepers WITH (streamfuse.continuous) AS
SELECT id % 10 AS bucket, count(DISTINCT amount), count(DISTINCT id) AS ids, sum(DISTINCT amount), array_agg(id), array_agg(amount) AS amounts,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY rate), string_agg(id::text, ',' ORDER BY at)
FROM orders GROUP BY 1;
SELECT * FROM hints WHERE view = 'keepers'::regclass;
-- state_ttl is its user's word: groups are forgotten, or may be kept for ever.
CREATE MATERIALIZED VIEW meant WITH (streamfuse.continuous, streamfuse.state_ttl = infinity) AS SELECT id, array_agg(amount) FROM orders GROUP BY id;
ALTER MATERIALIZED VIEW keepers SET (streamfuse.state_ttl = '1 day');
SELECT * FROM hints WHERE view IN ('keepers'::regclass, 'meant'::regclass);
SELECT exemptions FROM streamfuse.views WHERE view = 'keepers'::regclass;
SELECT trim(line) AS line FROM streamfuse.explain('keepers') line WHERE line ~ 'Options|Exempt|Hint';

SET client_min_messages = warning;
DROP VIEW hints;
DROP TABLE orders, clicks, notes, entries CASCADE;
DROP AGGREGATE total(int);
DROP FUNCTION add;
