-- When windows close: at window_end <= watermark, after the rows of a tick; what comes later is late.
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE TABLE orders (event_time timestamptz NOT NULL, amount int) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 minute');
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, window_end, sum(amount) AS revenue FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end;
CREATE VIEW figures AS SELECT watermark, rows_in, rows_late, rows_missed, rows_ahead FROM streamfuse.stat_views
WHERE view = 'sales'::regclass;

-- The watermark is a second short of the window's end, then it is the end.
INSERT INTO orders VALUES ('2026-01-01 00:01', 1), ('2026-01-01 00:05:59', 2);
SELECT streamfuse.flush('sales');
SELECT window_start, revenue FROM sales_closed ORDER BY 1;
INSERT INTO orders VALUES ('2026-01-01 00:06', 3);
SELECT streamfuse.flush('sales');
SELECT window_start, revenue FROM sales_closed ORDER BY 1;

-- A row whose time is the watermark is on time.
INSERT INTO orders VALUES ('2026-01-01 00:05', 4);
SELECT streamfuse.flush('sales');
SELECT * FROM figures;

-- A tick is a set: the rows of one transaction are never late with respect to each other, in whatever order they come.
INSERT INTO orders VALUES ('2026-01-01 01:00', 5), ('2026-01-01 00:07', 6), ('2026-01-01 00:31', 7);
SELECT streamfuse.flush('sales');
SELECT * FROM figures;
SELECT window_start, revenue FROM sales_closed ORDER BY 1;

-- What comes after that is late.  It is dropped, counted, and its window is listed: the stream has the row, the view not.
INSERT INTO orders VALUES ('2026-01-01 00:08', 100), ('2026-01-01 00:33', 100), ('2026-01-01 00:09', 100), ('2026-01-01 00:59', 8);
SELECT streamfuse.flush('sales');
SELECT * FROM figures;
SELECT view, window_start, window_end, missed, first_missed <= last_missed AS in_order FROM streamfuse.dirty_windows ORDER BY 2;
SELECT window_start, revenue FROM sales ORDER BY 1;

-- A late row for a window in which there was none.
INSERT INTO orders VALUES ('2026-01-01 00:20', 100);
SELECT streamfuse.flush('sales');
SELECT window_start, missed FROM streamfuse.dirty_windows ORDER BY 1;

-- A row far ahead of the clock counts in its window, but does not close the future.
INSERT INTO orders VALUES ('2999-01-01 00:00', 9), ('2026-01-01 01:01', 10);
SELECT streamfuse.flush('sales');
SELECT * FROM figures;
SELECT window_start, revenue FROM sales WHERE window_start > '2026-01-01 00:55' ORDER BY 1;
INSERT INTO orders VALUES ('2026-01-01 01:02', 11);
SELECT streamfuse.flush('sales');
SELECT * FROM figures;

-- Closed once, and whatever becomes of the watermark, closed for ever.
SELECT streamfuse.reset_watermark('orders', '2026-01-01 00:00');
SELECT streamfuse.flush('sales');
INSERT INTO orders VALUES ('2026-01-01 00:02', 100);
SELECT streamfuse.flush('sales');
SELECT window_start, revenue FROM sales WHERE window_start < '2026-01-01 00:05';
SELECT * FROM figures;
DROP TABLE orders CASCADE;

-- A stream without a watermark: nothing closes, nothing is late.  Windows close as soon as there is one.
CREATE TABLE clicks (clicked timestamptz NOT NULL) USING stream;
CREATE MATERIALIZED VIEW by_hour WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM clicks, tumble(clicked, '1 hour') GROUP BY window_start, window_end;
INSERT INTO clicks VALUES ('2026-01-01 10:00');
INSERT INTO clicks VALUES ('2026-01-01 08:00');
SELECT streamfuse.flush('by_hour');
SELECT * FROM by_hour ORDER BY 1;
SELECT * FROM by_hour_closed;
SELECT streamfuse.advance_watermark('clicks', '2026-01-01 09:00');
SELECT streamfuse.flush('by_hour');
SELECT window_start, count FROM by_hour_closed;
SELECT streamfuse.set_watermark('clicks', 'clicked');
INSERT INTO clicks VALUES ('2026-01-01 11:00');
SELECT streamfuse.flush('by_hour');
SELECT window_start, count FROM by_hour_closed ORDER BY 1;
DROP TABLE clicks CASCADE;

-- A column without time zone counts as UTC, whatever the session's zone.
SET TimeZone = 'America/New_York';
CREATE TABLE readings (taken timestamp NOT NULL, value float8) USING stream;
SELECT streamfuse.set_watermark('readings', 'taken', delay => '10 s');
CREATE MATERIALIZED VIEW by_minute WITH (streamfuse.continuous) AS
SELECT window_start, window_end, max(value) FROM readings, tumble(taken, '1 minute') GROUP BY window_start, window_end;
INSERT INTO readings VALUES ('2026-01-01 00:00:30', 0.5), ('2026-01-01 00:01:10', 1.5);
SELECT streamfuse.flush('by_minute') AT TIME ZONE 'UTC' AS watermark;
SELECT window_start, window_end, max FROM by_minute_closed;
SELECT * FROM by_minute ORDER BY 1;
DROP TABLE readings CASCADE;
