-- on_error = 'skip': a row whose expression raises is put into the error table, and the view goes on without it.
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE TABLE orders (id int, event_time timestamptz NOT NULL, amount int, parts int, note text) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time');
CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
SELECT window_start, sum(amount / parts) AS share, count(*) AS orders FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW sums WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) AS amount, count(*) AS orders FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end;
SELECT view, on_error FROM streamfuse.views ORDER BY view::text;

-- The row is left out of one view, and of no other.
INSERT INTO orders VALUES (1, '2026-01-01 00:01', 10, 2), (2, '2026-01-01 00:02', 7, 0), (3, '2026-01-01 00:03', 12, 3);
SELECT streamfuse.flush();
SELECT * FROM shares;
SELECT * FROM sums;
SELECT view, stream, tid, event_time, sqlstate, message, "row" FROM streamfuse.errors;
SELECT view, status, rows_in, rows_failed, error FROM streamfuse.stat_views ORDER BY view::text;
SELECT count(*) FROM streamfuse.verify('shares');

-- A window in which no row is left has no row in the view; it closes like any other.
INSERT INTO orders VALUES (4, '2026-01-01 00:06', 5, 0), (5, '2026-01-01 00:11', 5, 1);
SELECT streamfuse.flush();
SELECT * FROM shares ORDER BY 1;
SELECT * FROM sums ORDER BY 1;

-- The law in plain SQL: the query over the stored rows less those in the error table, which are found by where they are.
WITH good AS MATERIALIZED (
  SELECT o.* FROM orders o
  WHERE NOT EXISTS (SELECT FROM streamfuse.errors e WHERE e.view = 'shares'::regclass AND e.stream = o.tableoid AND e.tid = o.ctid))
SELECT window_start, sum(amount / parts) AS share, count(*) AS orders FROM good, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end ORDER BY 1;

-- A row that comes too late and raises is failed, not late: the query over the stored rows would raise at it as well.
INSERT INTO orders VALUES (6, '2026-01-01 00:02', 5, 0), (7, '2026-01-01 00:02', 5, 1);
SELECT streamfuse.flush();
SELECT view, rows_in, rows_late, rows_failed FROM streamfuse.stat_views ORDER BY view::text;
SELECT "row"->>'id' AS id, message FROM streamfuse.errors ORDER BY 1;
SELECT count(*) FROM streamfuse.verify('shares');

-- Every kind of expression: filter, window, key, argument, FILTER.
CREATE FUNCTION grade(amount int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF amount < 0 THEN RAISE EXCEPTION 'no grade for %', amount USING ERRCODE = 'ZZ001'; END IF;
  RETURN CASE WHEN amount < 10 THEN 'low' ELSE 'high' END;
END $$;
CREATE TABLE events (id int, event_time timestamptz NOT NULL, amount int, number text) USING stream;
SELECT streamfuse.set_watermark('events', 'event_time', max_ahead => 'infinity');
CREATE MATERIALIZED VIEW graded WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
SELECT window_start, grade(amount) AS grade, count(*) AS events, sum(number::numeric) AS total,
       count(*) FILTER (WHERE 100 / (amount - 20) > 5) AS near
FROM events, tumble(event_time, '5 minutes')
WHERE 1000 / (amount - 30) <> 0
GROUP BY window_start, window_end, grade(amount);
INSERT INTO events VALUES
  (1, '2026-01-01 00:00',  5, '1.5'),
  (2, '2026-01-01 00:00', 30, '1'),        -- filter
  (3, '2026-01-01 00:00', -1, '1'),        -- key
  (4, '2026-01-01 00:00', 12, 'twelve'),   -- argument
  (5, '2026-01-01 00:00', 20, '1'),        -- FILTER
  (6, '-infinity',        13, '1'),        -- window
  (7, '2026-01-01 00:00', 14, '2.5');
SELECT streamfuse.flush('graded');
SELECT "row"->>'id' AS id, event_time, sqlstate, message FROM streamfuse.errors WHERE view = 'graded'::regclass ORDER BY 1;
SELECT * FROM graded ORDER BY 1, 2;
SELECT count(*) FROM streamfuse.verify('graded');

-- Aggregates that raise: the row is in none of the aggregates, and does not bring a group into being.
CREATE FUNCTION add_below(total int, value int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF coalesce(total, 0) + value >= 100 THEN RAISE EXCEPTION 'total would be %', coalesce(total, 0) + value; END IF;
  RETURN coalesce(total, 0) + value;
END $$;
CREATE AGGREGATE sum_below(int) (SFUNC = add_below, STYPE = int);
CREATE AGGREGATE joined(text) (SFUNC = textcat, STYPE = text);
CREATE TABLE steps (id int, event_time timestamptz NOT NULL, kind text, amount int, wait interval) USING stream;
SELECT streamfuse.set_watermark('steps', 'event_time');
CREATE MATERIALIZED VIEW bounded WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
SELECT window_start, kind, joined(id::text) AS ids, sum(wait) AS wait, sum_below(amount) AS total
FROM steps, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end, kind;
INSERT INTO steps VALUES
  (1, '2026-01-01 00:00', 'a',  60, '1 day'),
  (2, '2026-01-01 00:00', 'a',  50, '1 day'),          -- 110
  (3, '2026-01-01 00:00', 'a',  20, '1 day'),
  (4, '2026-01-01 00:00', 'b', 120, '1 day'),          -- 120, and the only row of its group
  (5, '2026-01-01 00:00', 'c',   1, '100000000 years'),
  (6, '2026-01-01 00:00', 'c',   1, '100000000 years'); -- an interval out of range
SELECT streamfuse.flush('bounded');
SELECT * FROM bounded ORDER BY 2;
SELECT "row"->>'id' AS id, message FROM streamfuse.errors WHERE view = 'bounded'::regclass ORDER BY 1;
INSERT INTO steps VALUES (7, '2026-01-01 00:01', 'a', 30, '1 day'), (8, '2026-01-01 00:01', 'a', 10, '1 day'), (9, '2026-01-01 00:01', 'b', 1, '1 day');
SELECT streamfuse.flush('bounded');
SELECT * FROM bounded ORDER BY 2;
SELECT "row"->>'id' AS id, message FROM streamfuse.errors WHERE view = 'bounded'::regclass ORDER BY 1;
SELECT count(*) FROM streamfuse.verify('bounded');

-- Errors that are no row's own stop the view all the same: here one in the select list, when the window closes.
CREATE MATERIALIZED VIEW ratios WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
SELECT window_start, 1 / (count(*) - 1) AS ratio FROM steps, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
INSERT INTO steps VALUES (10, '2026-01-01 00:05', 'd', 1, '1 day'), (11, '2026-01-01 00:10', 'd', 1, '1 day');
SELECT streamfuse.flush('ratios');
DROP MATERIALIZED VIEW ratios;

-- Changed for a view that runs: from the next tick on.  The error of a view that stops names the row.
ALTER MATERIALIZED VIEW bounded RESET (streamfuse.on_error);
INSERT INTO steps VALUES (12, '2026-01-01 00:11', 'd', 7, '1 day');
SELECT streamfuse.flush('bounded');
ALTER MATERIALIZED VIEW bounded SET (streamfuse.on_error = skip);
INSERT INTO steps VALUES (13, '2026-01-01 00:11', 'd', 500, '1 day');
SELECT streamfuse.flush('bounded');
ALTER MATERIALIZED VIEW bounded SET (streamfuse.on_error = stop);
INSERT INTO steps VALUES (14, '2026-01-01 00:12', 'd', 501, '1 day');
SELECT streamfuse.flush('bounded');
SELECT id FROM steps WHERE ctid = '(0,14)';

-- A failed view that skips from now on is resumed: the row that stopped it is set aside.
ALTER MATERIALIZED VIEW bounded SET (streamfuse.on_error = skip);
SELECT streamfuse.resume('bounded');
SELECT streamfuse.flush('bounded');
SELECT * FROM bounded WHERE kind = 'd' ORDER BY 1;
SELECT "row"->>'id' AS id, message FROM streamfuse.errors WHERE view = 'bounded'::regclass ORDER BY ("row"->>'id')::int;
SELECT count(*) FROM streamfuse.verify('bounded');

-- The stream of an error is the partition; the columns shown are those of the stream, wherever they are in it.
CREATE TABLE visits (id int, event_time timestamptz NOT NULL, pages int) PARTITION BY RANGE (event_time);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2026-01-02') USING stream;
CREATE TABLE visits_2 (pages int, event_time timestamptz NOT NULL, id int) USING stream;
ALTER TABLE visits ATTACH PARTITION visits_2 FOR VALUES FROM ('2026-01-02') TO ('2026-01-03');
SELECT streamfuse.set_watermark('visits', 'event_time');
CREATE MATERIALIZED VIEW visits_1h WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
SELECT window_start, sum(100 / pages) AS pages FROM visits, tumble(event_time, '1 hour') GROUP BY window_start, window_end;
INSERT INTO visits VALUES (1, '2026-01-01 00:01', 4), (2, '2026-01-01 00:02', 0), (3, '2026-01-02 00:01', 0), (4, '2026-01-02 00:02', 5);
SELECT streamfuse.flush('visits_1h');
SELECT * FROM visits_1h ORDER BY 1;
SELECT stream, tid, "row" FROM streamfuse.errors WHERE view = 'visits_1h'::regclass ORDER BY 1;
SELECT count(*) FROM streamfuse.verify('visits_1h');
-- What is known of a row that is gone stays.
DROP TABLE visits_1;
SELECT stream::text ~ '^[0-9]+$' AS gone, tid, event_time, message, "row" FROM streamfuse.errors WHERE view = 'visits_1h'::regclass ORDER BY event_time;

-- Messages and rows are data: they are for who owns the view.
CREATE ROLE sf_clerk;
SET ROLE sf_clerk;
SELECT count(*) FROM streamfuse.errors;
SELECT count(*) FROM streamfuse.error_row;
RESET ROLE;
-- A long value is cut.
INSERT INTO orders VALUES (8, '2026-01-01 00:12', 5, 0, repeat('x', 10000));
SELECT streamfuse.flush('shares');
SELECT length("row"->>'note') FROM streamfuse.errors WHERE "row"->>'id' = '8';
-- An owner who may not read a column of the stream does not see it here either.
GRANT SELECT (id, event_time, amount, parts) ON orders TO sf_clerk;
GRANT CREATE ON SCHEMA public TO sf_clerk;
ALTER MATERIALIZED VIEW shares OWNER TO sf_clerk;
SET ROLE sf_clerk;
SELECT view, "row" FROM streamfuse.errors ORDER BY tid;
RESET ROLE;
-- Nor does anybody see rows of a table in a schema that he may not look into.
CREATE SCHEMA sf_closed;
CREATE TABLE sf_closed.notes AS SELECT 1 AS id;
GRANT SELECT ON sf_closed.notes TO sf_clerk;
SELECT 'sf_closed.notes'::regclass::oid AS notes \gset
SET ROLE sf_clerk;
SELECT streamfuse.stream_row(ARRAY[:notes]::oid[], :notes, '(0,1)');
RESET ROLE;
GRANT USAGE ON SCHEMA sf_closed TO sf_clerk;
SET ROLE sf_clerk;
SELECT streamfuse.stream_row(ARRAY[:notes]::oid[], :notes, '(0,1)');
RESET ROLE;
DROP SCHEMA sf_closed CASCADE;

-- Gone with the view.
SELECT count(*) > 0 AS some FROM streamfuse.error_row;
DROP TABLE orders, events, steps, visits CASCADE;
SELECT count(*) FROM streamfuse.error_row;
SELECT count(*) FROM streamfuse.errors;
DROP OWNED BY sf_clerk;
DROP ROLE sf_clerk;
DROP AGGREGATE sum_below(int);
DROP AGGREGATE joined(text);
DROP FUNCTION add_below, grade;
