-- What a view shows: open windows too (live), or closed ones only (final); and from when on it counts.
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE TABLE orders (event_time timestamptz NOT NULL, amount int) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time');
INSERT INTO orders VALUES ('2026-01-01 00:01', 1), ('2026-01-01 00:06', 2);

CREATE MATERIALIZED VIEW live WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) AS revenue FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW final WITH (streamfuse.continuous, streamfuse.emit = final) AS
SELECT window_start, sum(amount) AS revenue FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
SELECT streamfuse.flush();
SELECT * FROM live ORDER BY 1;
SELECT * FROM final ORDER BY 1;
INSERT INTO orders VALUES ('2026-01-01 00:10', 4);
SELECT streamfuse.flush();
SELECT * FROM final ORDER BY 1;

-- It can be changed, at once.
ALTER MATERIALIZED VIEW final SET (streamfuse.emit = live);
SELECT * FROM final ORDER BY 1;
ALTER MATERIALIZED VIEW live SET (streamfuse.emit = final);
SELECT * FROM live ORDER BY 1;
SELECT view, emit, status FROM streamfuse.views ORDER BY view::text;

-- IF NOT EXISTS leaves what is there as it is.
SET client_min_messages = notice;
CREATE MATERIALIZED VIEW IF NOT EXISTS live WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(event_time, '1 hour') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW live WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(event_time, '1 hour') GROUP BY window_start, window_end;
SET client_min_messages = warning;
SELECT count(*) FROM streamfuse.stat_views;

-- WITH NO DATA: from the first window on that begins after the latest row there is.  No row before that counts, whenever
-- it comes.
CREATE MATERIALIZED VIEW from_now WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) AS revenue FROM orders, tumble(event_time, '1 hour') GROUP BY window_start, window_end
WITH NO DATA;
SELECT streamfuse.flush('from_now');
SELECT * FROM from_now;
INSERT INTO orders VALUES ('2026-01-01 00:50', 8), ('2026-01-01 01:00', 16), ('2026-01-01 03:30', 32);
SELECT streamfuse.flush('from_now');
SELECT * FROM from_now ORDER BY 1;
SELECT rows_missed FROM streamfuse.stat_views WHERE view = 'from_now'::regclass;
DROP TABLE orders CASCADE;
