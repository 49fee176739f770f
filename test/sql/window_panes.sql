-- What views over overlapping windows are made of: panes, the last window of a time, windows in order of their ends.
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET work_mem = '256MB';
CREATE SCHEMA window_test;
SET search_path = window_test, public;
CREATE FUNCTION pane(kind text, size interval, step interval, shift interval, zone text, at timestamptz,
                     OUT pane_start timestamptz, OUT pane_end timestamptz, OUT last_start timestamptz, OUT last_end timestamptz)
  LANGUAGE C STABLE AS '$libdir/streamfuse', 'sf_test_window_pane';
CREATE FUNCTION windows_ending(kind text, size interval, step interval, shift interval, zone text, after timestamptz, until timestamptz)
  RETURNS TABLE (window_start timestamptz, window_end timestamptz)
  LANGUAGE C STABLE AS '$libdir/streamfuse', 'sf_test_windows_ending';

-- A pane is a window of the greatest common divisor of size and slide, or of the step.
SELECT kind, size, step, pane_start, pane_end, last_start, last_end
FROM (VALUES ('tumble', '5 minutes'::interval, '5 minutes'::interval), ('hop', '1 hour', '5 minutes'),
             ('hop', '25 minutes', '10 minutes'), ('hop', '2 days', '7 days'), ('hop', '1 year', '5 months'),
             ('cumulate', '1 day', '1 day'), ('cumulate', '1 year', '3 months')) w (kind, size, step),
     pane(kind, size, step, '0', 'Europe/London', '2024-05-01 12:14');

CREATE TABLE zones (zone text);
INSERT INTO zones VALUES ('Europe/London'), ('America/New_York'), ('America/Sao_Paulo'), ('America/Havana'),
  ('Australia/Lord_Howe'), ('Pacific/Apia'), ('UTC');

-- Lengths are a number of spans: 1 day, 1 month or 1 minute.
CREATE TABLE windows (kind text, span interval, size int, step int, shift interval);
INSERT INTO windows VALUES
  ('tumble', '1 day', 1, 1, '6 hours'), ('tumble', '1 month', 3, 3, '0'), ('tumble', '1 minute', 90, 90, '-7 seconds'),
  ('hop', '1 day', 7, 1, '6 hours'), ('hop', '1 day', 10, 3, '36 hours'), ('hop', '1 day', 2, 5, '0'),
  ('hop', '1 month', 12, 1, '14 days 6 hours'), ('hop', '1 month', 12, 5, '1 month 2 days'), ('hop', '1 month', 2, 7, '0'),
  ('hop', '1 minute', 60, 5, '0'), ('hop', '1 minute', 25, 10, '45 seconds'), ('hop', '1 minute', 20, 60, '0'),
  ('cumulate', '1 day', 7, 1, '0'), ('cumulate', '1 day', 30, 3, '10 days 5 hours'), ('cumulate', '1 day', 1, 1, '12 hours'),
  ('cumulate', '1 month', 12, 3, '1 month 10 days'), ('cumulate', '1 month', 21, 7, '0'),
  ('cumulate', '1 minute', 60, 5, '0'), ('cumulate', '1 minute', 1440, 60, '1 minute');

-- From before the origin until after it, and days around changes of clocks.
CREATE TABLE times AS
  SELECT at FROM generate_series('1999-01-01'::timestamptz, '2001-12-31', '31 days 05:43:21.012345') at
  UNION ALL
  SELECT at FROM (VALUES ('2024-03-31 00:00'::timestamptz), ('2024-10-27 00:00'), ('2024-03-10 05:00'), ('2024-11-03 04:00'),
                         ('2018-02-18 00:00'), ('2018-11-04 02:00'), ('2024-04-06 14:00'), ('2024-10-05 14:00'),
                         ('2011-12-30 08:00')) c (first), generate_series(first, first + '3 hours', '20 minutes') at;

CREATE TABLE found AS
  SELECT w, zone, at, f.*
  FROM times, windows w, zones,
       LATERAL (SELECT * FROM tumble(at, size * span, shift, zone) WHERE kind = 'tumble'
                UNION ALL SELECT * FROM hop(at, size * span, step * span, shift, zone, true) WHERE kind = 'hop'
                UNION ALL SELECT * FROM cumulate(at, size * span, step * span, shift, zone) WHERE kind = 'cumulate') f;

-- A pane holds its time, and every window of the time holds the pane; what holds one end of a pane holds the other.
CREATE TABLE panes AS
  SELECT w, zone, at, p.* FROM times, windows w, zones, pane(kind, size * span, step * span, shift, zone, at) p;
SELECT count(*) AS panes, count(*) FILTER (WHERE at < pane_start OR at >= pane_end) AS wrong FROM panes;
SELECT count(*) AS pairs, count(*) FILTER (WHERE window_start > pane_start OR window_end < pane_end) AS wrong
FROM panes JOIN found USING (w, zone, at);
SELECT count(*) AS windows, count(*) FILTER (WHERE n <> 2) AS wrong
FROM (SELECT count(*) AS n
      FROM panes, LATERAL (VALUES (pane_start), (pane_end - interval '1 microsecond')) e (edge),
           LATERAL (SELECT * FROM hop(edge, (w).size * (w).span, (w).step * (w).span, (w).shift, zone, true) WHERE (w).kind = 'hop'
                    UNION ALL
                    SELECT * FROM cumulate(edge, (w).size * (w).span, (w).step * (w).span, (w).shift, zone) WHERE (w).kind = 'cumulate') f
      GROUP BY w, zone, at, window_start, window_end) s;

-- The last window of a time is the last in order, and there is none where there are none.
SELECT count(*) AS times, count(*) FILTER (WHERE (last_start, last_end) IS DISTINCT FROM (window_start, window_end)) AS wrong
FROM panes LEFT JOIN (SELECT DISTINCT ON (w, zone, at) w, zone, at, window_start, window_end FROM found
                      ORDER BY w, zone, at, window_start DESC, window_end DESC) l USING (w, zone, at);

-- The windows that end in a span of time, against all windows by number from the origin.  The clock of the zone counts
-- days and months; minutes are elapsed time.
CREATE TABLE spans AS SELECT w, zone, at AS after, at + reach AS until
  FROM times, windows w, zones, LATERAL (VALUES (CASE span WHEN '1 minute' THEN '3 hours' WHEN '1 day' THEN '9 days' ELSE '200 days' END::interval)) r (reach)
  WHERE extract(minute FROM at)::int % 3 = 0;
CREATE TABLE ending AS SELECT w, zone, after, until, e.*
  FROM spans, LATERAL windows_ending((w).kind, (w).size * (w).span, (w).step * (w).span, (w).shift, zone, after, until) e;

CREATE FUNCTION boundary(w windows, zone text, n int) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT CASE w.span WHEN '1 day' THEN ('2000-01-03'::timestamp + n * w.span + w.shift) AT TIME ZONE zone
                     WHEN '1 month' THEN ('2000-01-01'::timestamp + n * w.span + w.shift) AT TIME ZONE zone
                     ELSE ('2000-01-03'::timestamp + w.shift) AT TIME ZONE zone + n * w.span END
$$;
CREATE TABLE expected AS
  SELECT DISTINCT w, zone, after, until, boundary(w, zone, start_n) AS window_start, boundary(w, zone, end_n) AS window_end
  FROM spans,
       LATERAL (SELECT CASE (w).kind WHEN 'cumulate' THEN (w).size ELSE (w).step END AS period,
                       floor(extract(epoch FROM after - boundary(w, zone, 0)) / CASE (w).span WHEN '1 minute' THEN 60 WHEN '1 day' THEN 86400 ELSE 2629746 END)::int AS unit_n) p,
       generate_series((unit_n - (w).size) / period - 2, (unit_n + 182) / period + 2) n,
       LATERAL (SELECT n * period AS start_n) s,
       generate_series(CASE (w).kind WHEN 'cumulate' THEN (w).step ELSE (w).size END, (w).size, (w).step) length,
       LATERAL (SELECT start_n + length AS end_n) e
  WHERE boundary(w, zone, end_n) > after AND boundary(w, zone, end_n) <= until
    AND boundary(w, zone, start_n) < boundary(w, zone, end_n);
SELECT (w).kind, (w).span, count(*) AS windows FROM expected GROUP BY 1, 2 ORDER BY 1, 2;
(TABLE expected EXCEPT ALL TABLE ending) UNION ALL (TABLE ending EXCEPT ALL TABLE expected) LIMIT 10;

-- In order of their ends, then of their starts.
SELECT count(*) FILTER (WHERE wrong) AS unordered
FROM (SELECT (e.window_end, e.window_start) < lag((e.window_end, e.window_start)) OVER (PARTITION BY w, zone, after ORDER BY n) AS wrong
      FROM spans, LATERAL windows_ending((w).kind, (w).size * (w).span, (w).step * (w).span, (w).shift, zone, after, until)
                          WITH ORDINALITY e (window_start, window_end, n)) o;

-- ---------------------------------------------------------------------------
-- date_trunc and date_bin as windows: their values are the starts, also where clocks are set back across one.
-- ---------------------------------------------------------------------------
CREATE FUNCTION trunc_window(field text, at timestamptz, zone text, OUT window_start timestamptz, OUT window_end timestamptz,
                             OUT regular bool, OUT first_start timestamptz)
  LANGUAGE C STABLE AS '$libdir/streamfuse', 'sf_test_window_trunc';
CREATE FUNCTION bin_window(stride interval, at timestamptz, origin timestamptz, OUT window_start timestamptz,
                           OUT window_end timestamptz, OUT regular bool, OUT first_start timestamptz)
  LANGUAGE C STABLE AS '$libdir/streamfuse', 'sf_test_window_bin';

-- St John's changed its clocks a minute after midnight; CET is an abbreviation before it is a zone.
INSERT INTO zones VALUES ('America/St_Johns'), ('Asia/Kathmandu'), ('CET'), ('Europe/Dublin');
INSERT INTO times
  SELECT at FROM generate_series('1850-01-01 00:07:43'::timestamptz, '2099-12-31', '1709 days 05:43:21.012345') at
  UNION ALL
  SELECT at FROM generate_series('0300-01-01 BC'::timestamptz, '4000-01-01', '97 years 3 days') at
  UNION ALL
  SELECT at FROM (VALUES ('2010-03-14 03:20'::timestamptz), ('2010-11-07 01:50')) c (first), -- St John's
                 generate_series(first, first + '3 hours', '5 minutes 0.5 seconds') at;
CREATE TABLE fields (field text);
INSERT INTO fields VALUES ('microseconds'), ('milliseconds'), ('second'), ('minute'), ('Hour'), ('day'), ('week'), ('month'),
  ('quarter'), ('year'), ('decade'), ('century'), ('millennium');

SELECT count(*) AS pairs, count(*) FILTER (WHERE window_start <> date_trunc(field, at, zone) OR window_end <= at) AS wrong,
       count(*) FILTER (WHERE NOT regular) > 0 AS has_irregular, count(*) FILTER (WHERE window_start > at) AS before_start
FROM times, fields, zones, trunc_window(field, at, zone);

-- All times in a regular window have that window, and only those.
SELECT count(*) AS pairs, count(*) FILTER (WHERE date_trunc(field, inside, zone) <> window_start) AS wrong
FROM times, fields, zones, trunc_window(field, at, zone),
     generate_series(0, 10) n, LATERAL (SELECT window_start + n * (window_end - window_start - interval '1 microsecond') / 10.0 AS inside) i
WHERE regular AND field NOT IN ('microseconds', 'milliseconds', 'decade', 'century', 'millennium');
SELECT count(*) AS pairs, count(*) FILTER (WHERE date_trunc(field, outside, zone) = window_start) AS wrong
FROM times, fields, zones, trunc_window(field, at, zone),
     LATERAL (VALUES (window_start - interval '1 microsecond'), (window_end)) o (outside)
WHERE regular;

-- A window ends after a time if and only if it starts at that of the first one that does, or later.
SELECT count(*) AS pairs, count(*) FILTER (WHERE (t.window_end > o.at) <> (t.window_start >= f.first_start)) AS wrong
FROM (SELECT at, lead(at) OVER (ORDER BY at) AS next_at FROM times WHERE at BETWEEN '1999-01-01' AND '2025-01-01') o, fields, zones,
     trunc_window(field, o.at, zone) f,
     LATERAL (VALUES (o.at - interval '1 hour'), (o.at), (next_at), (f.window_end), (f.window_start - interval '1 microsecond')) n (near),
     trunc_window(field, near, zone) t
WHERE near IS NOT NULL;

-- Days of a stride are 24 hours.
SELECT count(*) AS pairs,
       count(*) FILTER (WHERE window_start <> date_bin(stride, at, origin) OR window_end <> window_start + s.length) AS wrong
FROM times, (VALUES ('1 day'::interval, '24 hours'::interval), ('1 week 3 hours', '171 hours'), ('7 minutes', '7 minutes'),
                    ('1 microsecond', '1 microsecond'), ('1000 days', '24000 hours')) s (stride, length),
     (VALUES ('2001-01-01'::timestamptz), ('2030-05-05 05:05:05.5'), ('1000-01-01')) o (origin), bin_window(stride, at, origin);

-- ---------------------------------------------------------------------------
-- Windows of windows: all tumbling windows whose starts, or ends, date_trunc makes the same.
-- ---------------------------------------------------------------------------
CREATE FUNCTION coarse_window(kind text, size interval, step interval, shift interval, zone text, at timestamptz, field text, of_end bool,
                              OUT window_start timestamptz, OUT window_end timestamptz, OUT regular bool, OUT first_start timestamptz)
  LANGUAGE C STABLE AS '$libdir/streamfuse', 'sf_test_window_compose';
CREATE TABLE fine (size interval, shift interval);
INSERT INTO fine VALUES ('45 minutes', '0'), ('7 hours', '10 minutes'), ('24 hours', '3 hours'), ('1 day', '0'), ('2 days', '6 hours'), ('1 month', '0');
CREATE TABLE coarse AS
  SELECT f.*, zone, at, field, of_end, c.*
  FROM fine f, (SELECT at FROM times WHERE at > '1990-01-01' AND at < '2025-01-01' AND extract(minute FROM at)::int % 2 = 0) t,
       (VALUES ('Europe/London'), ('America/St_Johns'), ('Australia/Lord_Howe'), ('Pacific/Apia')) z (zone),
       (VALUES ('hour'), ('day'), ('week')) d (field), (VALUES (false), (true)) e (of_end),
       coarse_window('tumble', size, size, shift, zone, at, field, of_end) c;

-- The windows around the time's own that go with it.
CREATE TABLE gathered AS
  SELECT c.*, g.*
  FROM coarse c, tumble(at, size, shift, zone) own (own_start, own_end),
       LATERAL (SELECT min(w.window_start) AS gathered_start, max(w.window_end) AS gathered_end
                FROM windows_ending('tumble', size, size, shift, zone,
                                    own_start - CASE field WHEN 'week' THEN '8 days' WHEN 'day' THEN '2 days' ELSE '3 hours' END::interval,
                                    own_end + CASE field WHEN 'week' THEN '8 days' WHEN 'day' THEN '2 days' ELSE '3 hours' END::interval
                                            + CASE size WHEN '1 month' THEN '31 days'::interval ELSE size END) w
                WHERE date_trunc(field, CASE WHEN of_end THEN w.window_end ELSE w.window_start END, zone)
                    = date_trunc(field, CASE WHEN of_end THEN own_end ELSE own_start END, zone)) g;
SELECT count(*) AS pairs, count(*) FILTER (WHERE NOT regular) > 0 AS has_irregular,
       count(*) FILTER (WHERE regular AND (window_start, window_end) <> (gathered_start, gathered_end)) AS wrong,
       count(*) FILTER (WHERE window_end <> gathered_end OR window_end <= at) AS wrong_end
FROM gathered;

SET client_min_messages = warning;
DROP SCHEMA window_test CASCADE;
