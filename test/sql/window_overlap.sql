-- Continuous views over windows that overlap: a row is counted in one pane, and in every window that holds it.
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE TABLE visits (at timestamptz NOT NULL, page text, seconds int, price numeric) USING stream;
SELECT streamfuse.set_watermark('visits', 'at', delay => '5 minutes');
CREATE MATERIALIZED VIEW sliding WITH (streamfuse.continuous) AS
SELECT window_start, window_end, page, count(*) AS visits, sum(seconds) AS seconds, avg(price) AS price
FROM visits, hop(at, '1 hour', '20 minutes') GROUP BY window_start, window_end, page;
CREATE MATERIALIZED VIEW growing WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) AS visits, max(seconds) AS longest
FROM visits, cumulate(at, '1 hour', '20 minutes') GROUP BY window_start, window_end;
CREATE VIEW figures AS SELECT view, rows_in, rows_late, rows_missed FROM streamfuse.stat_views ORDER BY view;

-- All open: formed when they are read.
INSERT INTO visits VALUES ('2026-01-01 10:05', 'home', 10, 1), ('2026-01-01 10:15', 'shop', 20, 2.5), ('2026-01-01 10:15', 'home', 30, 3);
SELECT streamfuse.flush();
SELECT * FROM sliding ORDER BY 1, 3;
SELECT * FROM growing ORDER BY 1, 2;
SELECT count(*) FROM sliding_closed;

-- Closed and open ones.  The stored rows, grouped by PostgreSQL, give the same.
INSERT INTO visits VALUES ('2026-01-01 10:25', 'home', 40, NULL), ('2026-01-01 10:46', NULL, 50, 4);
SELECT streamfuse.flush();
SELECT window_start, window_end, page, visits FROM sliding_closed ORDER BY 1, 3;
SELECT window_start, window_end, visits FROM growing_closed ORDER BY 1, 2;
SELECT * FROM sliding ORDER BY 1, 3;
SELECT * FROM streamfuse.verify('sliding');
SELECT * FROM streamfuse.verify('growing');

-- A late row is missed in the windows that have closed, and counted in those that have not.
INSERT INTO visits VALUES ('2026-01-01 10:12', 'home', 60, 5);
SELECT streamfuse.flush();
SELECT view, window_start, window_end, missed FROM streamfuse.dirty_windows ORDER BY view, 2, 3;
SELECT * FROM figures;
SELECT window_start, visits FROM sliding WHERE page = 'home' ORDER BY 1;
SELECT window_end, visits FROM growing ORDER BY 1;
-- One that is late for all of them.
INSERT INTO visits VALUES ('2026-01-01 09:00', 'home', 70, 6);
SELECT streamfuse.flush();
SELECT * FROM figures;
SELECT * FROM streamfuse.verify('sliding');
SELECT * FROM streamfuse.verify('growing');

-- Windows that nothing is in are not there, however long they are; what came before is complete.
INSERT INTO visits VALUES ('2026-02-01 00:00', 'shop', 1, 1);
SELECT streamfuse.flush();
SELECT window_start, window_end, visits FROM sliding WHERE page = 'shop' ORDER BY 1;
SELECT * FROM streamfuse.verify('sliding');

-- Conditions on the window and the key reach the panes.
EXPLAIN (COSTS OFF) SELECT * FROM sliding WHERE page = 'shop' AND window_end > '2026-02-01 00:30';
SELECT window_start, window_end, visits FROM sliding WHERE page = 'shop' AND window_end > '2026-02-01 00:30';
SELECT window_start, window_end, visits FROM sliding WHERE window_end = '2026-02-01 00:20';
SELECT window_start, window_end, visits FROM sliding WHERE window_start >= '2026-01-31 23:40' AND window_end <= '2026-02-01 00:40';
SELECT window_start, window_end, visits FROM growing WHERE window_end BETWEEN '2026-02-01 00:30' AND '2026-02-01 00:40';
SELECT window_start FROM sliding WHERE window_end < window_start;
SELECT page, visits FROM (VALUES ('shop'), ('none')) wanted (page) JOIN sliding USING (page) WHERE window_start = '2026-02-01';

-- A reset opens windows again that were passed over without a row; those that had one stay closed.
SELECT streamfuse.reset_watermark('visits', '2026-01-01 10:00');
SELECT streamfuse.flush();
INSERT INTO visits VALUES ('2026-01-01 10:30', 'late', 1, 1), ('2026-01-01 12:30', 'again', 1, 1);
SELECT streamfuse.flush();
SELECT window_start, window_end, page, visits FROM sliding WHERE page IN ('late', 'again') ORDER BY 1, 3;
SELECT * FROM streamfuse.verify('sliding');
SELECT * FROM streamfuse.verify('growing');

-- A view without data begins with the next window, which is the next to start.
CREATE MATERIALIZED VIEW later WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) AS visits FROM visits, hop(at, '1 hour', '20 minutes') GROUP BY window_start, window_end
WITH NO DATA;
SELECT streamfuse.flush('later');
INSERT INTO visits VALUES ('2026-02-01 00:10', 'shop', 1, 1), ('2026-02-01 00:25', 'shop', 1, 1), ('2026-02-01 00:45', 'shop', 1, 1);
SELECT streamfuse.flush('later');
SELECT * FROM later ORDER BY 1;
SELECT * FROM streamfuse.verify('later');

-- A paused view is read from the tables.
SELECT streamfuse.pause('sliding');
SELECT streamfuse.flush('growing');
SELECT window_start, window_end, visits FROM sliding WHERE window_start >= '2026-02-01' AND page = 'shop' ORDER BY 1;
SELECT streamfuse.resume('sliding');
INSERT INTO visits VALUES ('2026-02-01 00:46', 'shop', 1, 1);
SELECT streamfuse.flush();
SELECT window_start, window_end, visits FROM sliding WHERE window_start >= '2026-02-01' AND page = 'shop' ORDER BY 1;
SELECT * FROM streamfuse.verify('sliding');
DROP TABLE visits CASCADE;

-- Final views; time without a zone; gaps; a size that is not a multiple of the slide; days of a zone across a change of clocks.
CREATE TABLE events (at timestamp NOT NULL, n int) USING stream;
SELECT streamfuse.set_watermark('events', 'at', delay => '0');
CREATE MATERIALIZED VIEW final WITH (streamfuse.continuous, streamfuse.emit = final) AS
SELECT window_start, window_end, sum(n) FROM events, hop(at, '5 s', '2 s') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW sparse WITH (streamfuse.continuous) AS
SELECT window_start, window_end, sum(n) FROM events, hop(at, '2 s', '5 s', gaps => true) GROUP BY window_start, window_end HAVING sum(n) > 2;
INSERT INTO events SELECT '2026-01-01'::timestamp + i * interval '1 s', i FROM generate_series(0, 11) i;
SELECT streamfuse.flush();
SELECT * FROM final ORDER BY 1;
SELECT * FROM sparse ORDER BY 1;
SELECT rows_in FROM streamfuse.stat_views WHERE view = 'sparse'::regclass;
SELECT * FROM streamfuse.verify('final');
SELECT * FROM streamfuse.verify('sparse');
DROP TABLE events CASCADE;
CREATE TABLE calls (at timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('calls', 'at', delay => '0');
CREATE MATERIALIZED VIEW days WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM calls, hop(at, '2 days', '1 day', timezone => 'Europe/Berlin') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW years WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM calls, cumulate(at, '1 year', '3 months', timezone => 'Europe/Berlin') GROUP BY window_start, window_end;
INSERT INTO calls SELECT t FROM generate_series('2026-03-28 12:00+00'::timestamptz, '2026-03-31 00:00+00', '1 hour') t;
SELECT streamfuse.flush();
SELECT *, window_end - window_start AS length FROM days ORDER BY 1;
SELECT * FROM years ORDER BY 1, 2;
SELECT * FROM streamfuse.verify('days');
SELECT * FROM streamfuse.verify('years');
DROP TABLE calls CASCADE;

-- One hour every second: 3,600 windows hold each row.
CREATE TABLE clicks (at timestamptz NOT NULL, n bigint) USING stream;
SELECT streamfuse.set_watermark('clicks', 'at', delay => '0');
CREATE MATERIALIZED VIEW dense WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) AS clicks, sum(n) AS n FROM clicks, hop(at, '1 hour', '1 second') GROUP BY window_start, window_end;
INSERT INTO clicks SELECT '2026-01-01'::timestamptz + i * interval '1 second', i FROM generate_series(1, 5000) i;
SELECT streamfuse.flush();
SELECT count(*), sum(clicks), sum(n), count(*) FILTER (WHERE clicks = 3600) AS full_ones FROM dense;
SELECT count(*) FROM dense_closed;
SELECT rows_in, groups < 20000 AS few FROM streamfuse.stat_views WHERE view = 'dense'::regclass;
DROP TABLE clicks CASCADE;

-- What depends on which window it is cannot be counted once for all of them.
CREATE TABLE readings (at timestamptz NOT NULL, sensor int, value float8) USING stream;
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM readings, hop(at, '1 hour', '20 minutes') WHERE window_start > '2026-01-01' GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT window_start, window_end, at - window_start, count(*) FROM readings, hop(at, '1 hour', '20 minutes') GROUP BY window_start, window_end, at - window_start;
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT window_start, window_end, max(window_end - at) FROM readings, cumulate(at, '1 hour', '20 minutes') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM readings, cumulate(at, '1 hour', '20 minutes') GROUP BY window_start;
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM readings, hop(at, '20 minutes', '1 hour') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM readings, hop(at, '1 hour', NULL) GROUP BY window_start, window_end;
CREATE FUNCTION product(float8, float8) RETURNS float8 IMMUTABLE STRICT LANGUAGE sql RETURN $1 * $2;
CREATE AGGREGATE product(float8) (SFUNC = product, STYPE = float8, INITCOND = '1');
-- Without a combine function an aggregate keeps its inputs.
CREATE MATERIALIZED VIEW kept WITH (streamfuse.continuous) AS
SELECT window_start, window_end, product(value), array_agg(value) AS factors FROM readings, hop(at, '1 hour', '20 minutes')
GROUP BY window_start, window_end;
CREATE AGGREGATE combined_product(float8) (SFUNC = product, STYPE = float8, INITCOND = '1', COMBINEFUNC = product);
CREATE MATERIALIZED VIEW accepted WITH (streamfuse.continuous) AS
SELECT window_start, window_end, combined_product(value) AS product FROM readings, hop(at, '1 hour', '20 minutes')
GROUP BY window_start, window_end;
INSERT INTO readings VALUES ('2026-01-01 00:10', 1, 2), ('2026-01-01 00:30', 1, 3), ('2026-01-01 00:50', 1, 5);
SELECT streamfuse.flush();
SELECT * FROM accepted ORDER BY 1;
SELECT * FROM kept ORDER BY 1;
DROP TABLE readings CASCADE;
DROP AGGREGATE product(float8), combined_product(float8);
DROP FUNCTION product(float8, float8);
