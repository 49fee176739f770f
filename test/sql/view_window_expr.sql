-- date_trunc, date_bin and the date of the watermark's column are windows: groups by them close.
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET client_min_messages = warning;
CREATE TABLE orders (category text, amount int, at timestamptz NOT NULL, local_at timestamp NOT NULL, noted timestamptz) USING stream;
SELECT streamfuse.set_watermark('orders', 'at', delay => '10 minutes');

CREATE MATERIALIZED VIEW hourly WITH (streamfuse.continuous) AS
SELECT date_trunc('hour', at) AS hour, category, sum(amount) AS revenue, count(*) AS orders
FROM orders GROUP BY date_trunc('hour', at), category;
-- The name may be PostgreSQL's own, the expression be part of others, and stand in HAVING.
CREATE MATERIALIZED VIEW quarters WITH (streamfuse.continuous) AS
SELECT date_bin('15 minutes', at, '2000-01-01'), date_bin('15 minutes', at, '2000-01-01') AT TIME ZONE 'Asia/Tokyo' AS in_tokyo,
       max(amount) AS largest
FROM orders WHERE category <> 'none' GROUP BY 1
HAVING date_bin('15 minutes', at, '2000-01-01') > '1990-01-01';
-- Of several, groups close with the shortest; the others are keys.
CREATE MATERIALIZED VIEW nested WITH (streamfuse.continuous) AS
SELECT date_trunc('day', at) AS day, date_trunc('hour', at) AS hour, count(*) FROM orders GROUP BY 1, 2;
CREATE MATERIALIZED VIEW unseen WITH (streamfuse.continuous) AS
SELECT category, count(*) FROM orders GROUP BY category, date_trunc('month', at);

-- A day is one in the time zone of the view's creator, as the stored query says, whoever reads it.
SET timezone = 'America/New_York';
CREATE MATERIALIZED VIEW daily WITH (streamfuse.continuous) AS
SELECT date_trunc('day', at) AS day, count(*) AS orders FROM orders GROUP BY 1;
CREATE MATERIALIZED VIEW tokyo WITH (streamfuse.continuous) AS
SELECT date_trunc('week', at, 'Asia/Tokyo') AS week, count(*) AS orders FROM orders GROUP BY 1;
SET timezone = 'UTC';
-- PostgreSQL before 16 writes the table's name before each column.
SELECT matviewname, replace(definition, 'orders.', '') AS definition
FROM pg_matviews WHERE matviewname IN ('daily', 'quarters', 'tokyo') ORDER BY 1;

INSERT INTO orders SELECT c, n, at, at, NULL
FROM (VALUES ('books', 1, '2024-03-10 04:50+00'::timestamptz), ('books', 2, '2024-03-10 05:00'), ('games', 4, '2024-03-10 05:20'),
             ('books', 8, '2024-03-10 05:59:59.999999'), ('games', 16, '2024-03-10 06:00'), ('books', 32, '2024-03-11 03:59'),
             ('books', 64, '2024-03-11 04:00')) o (c, n, at);
SELECT streamfuse.flush('orders');
SELECT * FROM hourly ORDER BY hour, category;
SELECT hour, category, revenue FROM hourly_closed ORDER BY hour, category;
SELECT * FROM quarters ORDER BY 1;
SELECT * FROM nested ORDER BY 1, 2;
SELECT * FROM unseen ORDER BY category;
SELECT * FROM daily ORDER BY 1;
SELECT * FROM tokyo ORDER BY 1;
\d daily_closed

-- The next day: 23 hours long in New York.
INSERT INTO orders VALUES ('games', 128, '2024-03-12 04:10', '2024-03-12 04:10');
SELECT streamfuse.flush('orders');
SELECT day, orders, window_end - day AS length FROM daily_closed ORDER BY day;
SELECT day, hour, count FROM nested_closed ORDER BY 1, 2;
SELECT * FROM hourly WHERE hour >= '2024-03-11 04:00+00' AND hour < '2024-03-12' ORDER BY 1, 2;

-- A late row is missed in its window, and verify() leaves that out.
INSERT INTO orders VALUES ('books', 256, '2024-03-10 05:30', '2024-03-10 05:30');
SELECT streamfuse.flush('orders');
SELECT view, window_start, window_end, missed FROM streamfuse.dirty_windows ORDER BY view::text;
SELECT v, d.* FROM unnest('{hourly,nested,daily,tokyo}'::text[]) v, streamfuse.verify(v::regclass) d;
SELECT * FROM streamfuse.verify('hourly', '2024-03-10 06:00', '2024-03-12');
DROP MATERIALIZED VIEW hourly, quarters, nested, unseen, daily, tokyo;

-- WITH NO DATA: from the next window on.
CREATE MATERIALIZED VIEW later WITH (streamfuse.continuous) AS
SELECT date_trunc('month', at) AS month, count(*) FROM orders GROUP BY 1 WITH NO DATA;
INSERT INTO orders VALUES ('games', 1, '2024-03-31 23:50', '2024-03-31'), ('games', 1, '2024-04-01 00:00', '2024-04-01');
SELECT streamfuse.flush('orders');
SELECT * FROM later;
SELECT * FROM streamfuse.verify('later');
DROP MATERIALIZED VIEW later;

-- Where clocks are set back across midnight, hours after midnight come twice.  date_trunc counts both to the day that the
-- clock shows, St John's in 2010 even minutes before the day that it left for an hour; and so does the view.
CREATE TABLE ticks (at timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('ticks', 'at', delay => '0');
CREATE MATERIALIZED VIEW havana WITH (streamfuse.continuous) AS
SELECT date_trunc('day', at, 'America/Havana') AS day, count(*) FROM ticks GROUP BY 1;
CREATE MATERIALIZED VIEW st_johns WITH (streamfuse.continuous) AS
SELECT date_trunc('day', at, 'America/St_Johns') AS day, count(*), min(at), max(at) FROM ticks GROUP BY 1;
CREATE MATERIALIZED VIEW lord_howe WITH (streamfuse.continuous, streamfuse.emit = final) AS
SELECT date_trunc('hour', at, 'Australia/Lord_Howe') AS hour, count(*), min(at), max(at) FROM ticks GROUP BY 1;
CREATE FUNCTION tick(first timestamptz, last timestamptz, step interval) RETURNS void LANGUAGE sql AS $$
  INSERT INTO ticks SELECT at FROM generate_series(first, last, step) at ORDER BY md5(at::text);
$$;
SELECT tick('2010-11-06 00:00', '2010-11-08 12:00', '30 seconds');
SELECT streamfuse.flush('ticks') IS NOT NULL AS flushed;
SELECT tick('2024-04-06 12:00', '2024-04-06 18:00', '10 minutes');
SELECT streamfuse.flush('ticks') IS NOT NULL AS flushed;
SELECT tick('2024-11-02 00:00', '2024-11-04 12:00', '10 minutes');
SELECT streamfuse.flush('ticks') IS NOT NULL AS flushed;
SELECT * FROM havana WHERE day >= '2024-11-01' ORDER BY day;
SELECT * FROM st_johns WHERE day < '2011-01-01' ORDER BY day;
SELECT * FROM lord_howe WHERE hour BETWEEN '2024-04-06 12:00' AND '2024-04-06 18:00' ORDER BY hour;
SELECT v, d.* FROM unnest('{havana,st_johns,lord_howe}'::text[]) v, streamfuse.verify(v::regclass) d;
-- Conditions on an end: each is applied to what is in memory, too.
SELECT day FROM st_johns s WHERE EXISTS (SELECT FROM st_johns_closed c WHERE c.day = s.day AND c.window_end > '2010-11-07 02:30:30') ORDER BY 1;
DROP TABLE ticks CASCADE;
DROP FUNCTION tick;

-- A group by the date of a time, or by a coarser window of tumble()'s columns, closes with the last window it takes in.
CREATE TABLE readings (at timestamptz NOT NULL, value int) USING stream;
SELECT streamfuse.set_watermark('readings', 'at', delay => '0');
CREATE MATERIALIZED VIEW dates WITH (streamfuse.continuous) AS
SELECT at::date AS date, count(*), sum(value) FROM readings GROUP BY at::date;
CREATE MATERIALIZED VIEW local_dates WITH (streamfuse.continuous, streamfuse.emit = final) AS
SELECT (at AT TIME ZONE 'America/Havana')::date, count(*) FROM readings GROUP BY 1;
-- Shifts of 7 hours do not end with the day.
CREATE MATERIALIZED VIEW by_start WITH (streamfuse.continuous) AS
SELECT window_start::date AS date, count(*), min(window_start) AS first_start, max(window_end) AS last_end, min(at), max(at)
FROM readings, tumble(at, '7 hours') GROUP BY window_start::date;
CREATE MATERIALIZED VIEW by_end WITH (streamfuse.continuous, streamfuse.emit = final) AS
SELECT window_end::date AS date, count(*), min(window_start) AS first_start, max(window_end) AS last_end, min(at), max(at)
FROM readings, tumble(at, '7 hours') GROUP BY window_end::date;
CREATE MATERIALIZED VIEW weeks WITH (streamfuse.continuous) AS
SELECT date_trunc('week', window_start, 'Europe/London') AS week, extract(hour FROM window_start) AS hour, count(*)
FROM readings, tumble(at, '6 hours') GROUP BY 1, 2;
CREATE MATERIALIZED VIEW bins WITH (streamfuse.continuous) AS
SELECT date_bin('36 hours', window_end, '2024-01-01') AS bin, count(*)
FROM readings, tumble(at, '1 day', timezone => 'Europe/London') WHERE window_end > '2000-01-01' GROUP BY 1;
-- Where the window is grouped by as well, the date is a key like others.
CREATE MATERIALIZED VIEW shifts WITH (streamfuse.continuous) AS
SELECT window_start::date AS date, window_start, count(*) FROM readings, tumble(at, '7 hours') GROUP BY 1, 2;
SELECT definition FROM pg_matviews WHERE matviewname = 'by_start';

INSERT INTO readings SELECT at, 1 FROM generate_series('2024-03-29 00:00'::timestamptz, '2024-04-02 10:30', '30 minutes') at ORDER BY md5(at::text);
SELECT streamfuse.flush('readings');
SELECT * FROM dates ORDER BY date;
SELECT date, count, window_start, window_end FROM dates_closed ORDER BY date;
SELECT * FROM by_start ORDER BY date;
SELECT date, count, window_start, window_end FROM by_start_closed ORDER BY date;
SELECT * FROM by_end ORDER BY date;
SELECT * FROM weeks ORDER BY 1, 2;
SELECT * FROM bins ORDER BY 1;
SELECT count(*) AS shifts FROM shifts_closed;
SELECT v, d.* FROM unnest('{dates,local_dates,by_start,by_end,weeks,bins,shifts}'::text[]) v, streamfuse.verify(v::regclass) d;
-- Row by row as well, across changes of clocks.
INSERT INTO readings SELECT at, 2 FROM generate_series('2024-10-25 00:00'::timestamptz, '2024-11-05', '1 hour') at;
SELECT streamfuse.flush('readings');
INSERT INTO readings SELECT at, 3 FROM generate_series('2024-11-05 00:00'::timestamptz, '2024-11-20', '5 hours 13 minutes') at;
SELECT streamfuse.flush('readings');
SELECT v, d.* FROM unnest('{dates,local_dates,by_start,by_end,weeks,bins,shifts}'::text[]) v, streamfuse.verify(v::regclass) d;
-- A late row.
INSERT INTO readings VALUES ('2024-11-04 23:00', 4);
SELECT streamfuse.flush('readings');
SELECT view, window_start, window_end, missed FROM streamfuse.dirty_windows WHERE view IN ('dates'::regclass, 'by_start'::regclass) ORDER BY view::text;
-- Begun without data: with the next window.
CREATE MATERIALIZED VIEW later WITH (streamfuse.continuous) AS
SELECT window_start::date AS date, count(*) FROM readings, tumble(at, '7 hours') GROUP BY window_start::date WITH NO DATA;
INSERT INTO readings SELECT at, 5 FROM generate_series('2024-11-20 12:00'::timestamptz, '2024-11-24', '1 hour') at;
SELECT streamfuse.flush('readings');
SELECT * FROM later ORDER BY date;
-- verify() tells windows apart by their start, which is not a column here.
SELECT * FROM streamfuse.verify('later');
DROP TABLE readings CASCADE;

-- Times without a zone, where nothing changes; one column of a window alone.
CREATE TABLE local_orders (amount int, at timestamp NOT NULL) USING stream;
SELECT streamfuse.set_watermark('local_orders', 'at', delay => '10 minutes');
CREATE MATERIALIZED VIEW years WITH (streamfuse.continuous) AS
SELECT date_trunc('year', at) AS year, sum(amount) FROM local_orders GROUP BY 1;
CREATE MATERIALIZED VIEW starts WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) FROM local_orders, tumble(at, '1 month') GROUP BY window_start;
CREATE MATERIALIZED VIEW ends WITH (streamfuse.continuous) AS
SELECT window_end - interval '1 day' AS last_day, sum(amount) FROM local_orders, tumble(at, '1 month') GROUP BY window_end;
CREATE MATERIALIZED VIEW hop_starts WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) FROM local_orders, hop(at, '2 months', '1 month') GROUP BY window_start;
CREATE MATERIALIZED VIEW hop_ends WITH (streamfuse.continuous) AS
SELECT window_end, sum(amount) FROM local_orders, hop(at, '2 months', '1 month') GROUP BY window_end;
CREATE MATERIALIZED VIEW growing WITH (streamfuse.continuous) AS
SELECT window_end, sum(amount) FROM local_orders, cumulate(at, '3 months', '1 month') GROUP BY window_end;
INSERT INTO local_orders VALUES (1, '2023-02-28 23:59'), (2, '2023-03-01'), (4, '2023-12-31'), (8, '2024-01-01 00:10'), (16, '2024-02-29');
SELECT streamfuse.flush('local_orders');
SELECT * FROM years ORDER BY 1;
SELECT year, sum FROM years_closed ORDER BY 1;
SELECT * FROM starts ORDER BY 1;
SELECT * FROM ends ORDER BY 1;
SELECT last_day, sum FROM ends_closed ORDER BY 1;
SELECT * FROM growing ORDER BY 1;
SELECT window_end, sum, window_start FROM growing_closed ORDER BY 1;
SELECT v, d.* FROM unnest('{years,starts,ends,hop_starts,hop_ends,growing}'::text[]) v, streamfuse.verify(v::regclass) d;
DROP TABLE local_orders CASCADE;

-- What is no window says so; of a column that the watermark is not on, these are keys (view_hints).
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT date_trunc(category, at), count(*) FROM orders GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT date_trunc('fortnight', at), count(*) FROM orders GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT date_trunc(NULL, at), count(*) FROM orders GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT date_trunc('day', at, 'Mars/Olympus'), count(*) FROM orders GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT date_bin('1 month', at, '2000-01-01'), count(*) FROM orders GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT date_bin('0', at, '2000-01-01'), count(*) FROM orders GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT date_bin('-1 hour', at, '2000-01-01'), count(*) FROM orders GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT date_bin('1 hour', at, 'infinity'), count(*) FROM orders GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT date_bin('1 hour', at, now()), count(*) FROM orders GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT extract(hour FROM window_start), count(*) FROM orders, tumble(at, '1 hour') GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start::date, count(*) FROM orders, hop(at, '2 hours', '1 hour') GROUP BY 1;

-- The same for window functions.
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(local_at, '1 hour') GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(at, now() - '2024-01-01') GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(at, '1 hour', "offset" => now() - '2024-01-01') GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(now(), '1 hour') GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(at, '0') GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(at, '-1 hour') GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, tumble(at, '1 month 1 day') GROUP BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM orders, hop(at, '1 hour', '2 hours') GROUP BY 1, 2;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM orders, hop(at, '1 hour', '0') GROUP BY 1, 2;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM orders, hop(at, '1 hour', now() - '2024-01-01') GROUP BY 1, 2;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM orders, hop(local_at, '1 hour', '10 minutes') GROUP BY 1, 2;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM orders, cumulate(at, '1 hour', '-10 minutes') GROUP BY 1, 2;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM orders, cumulate(at, '1 day', '1 hour') GROUP BY 1, 2;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM orders, cumulate(at, '1 day', '1 day') GROUP BY 1;

DROP TABLE orders;
