-- tumble(): windows of one size that follow each other without gaps.
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';

CREATE TABLE orders (at timestamptz, amount int);
INSERT INTO orders VALUES
  ('2024-05-01 12:00:00', 1), ('2024-05-01 12:04:59.999999', 2), ('2024-05-01 12:05:00', 4), (NULL, 8);

-- A window is half-open; a row without a time is in none.
SELECT window_start, window_end, count(*), sum(amount)
FROM orders, tumble(at, '5 minutes') GROUP BY 1, 2 ORDER BY 1;

-- The planner puts the function's body in its place: no Function Scan, whatever the arguments.
CREATE FUNCTION scans_function(query text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
  line text;
  found bool := false;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
    found := found OR line LIKE '%Function Scan%';
  END LOOP;
  RETURN found;
END $$;
SELECT scans_function($$ SELECT * FROM orders, generate_series(1, amount) $$);
SELECT scans_function($$ SELECT window_start, window_end, count(*) FROM orders, tumble(at, '5 minutes') GROUP BY 1, 2 $$);
SELECT scans_function($$ SELECT * FROM orders, tumble(at, size => '1 day', "offset" => '6 hours', timezone => 'Asia/Tokyo') $$);
SELECT scans_function($$ SELECT * FROM orders LEFT JOIN tumble(at::timestamp, '1 month') ON true $$);

-- Origins: Monday 2000-01-03 for weeks and less, 2000-01-01 for months and years.  Days and months follow the calendar
-- of the session's time zone or the one that is given; hours and less are elapsed time from 00:00 UTC, or from a
-- midnight of the zone that is given.
SET timezone = 'America/New_York';
SELECT size, zone, to_char(window_start, 'Dy YYYY-MM-DD HH24:MI OF') AS starts, window_end - window_start AS length
FROM (VALUES ('7 hours'::interval, NULL), ('24 hours', NULL), ('24 hours', 'America/New_York'), ('168 hours', NULL),
             ('1 day', NULL), ('1 week', NULL), ('2 weeks', NULL), ('1 month', NULL), ('3 months', NULL),
             ('1 year', NULL), ('10 years', NULL), ('1 day', 'Asia/Tokyo')) w (size, zone),
     tumble('2024-02-29 23:30:00', size, timezone => zone);
SET timezone = 'UTC';

-- An offset moves the origin.
SELECT size, shift, window_start, window_end
FROM (VALUES ('1 hour'::interval, '15 minutes'::interval), ('1 hour', '-45 minutes'), ('1 hour', '5 days 15 minutes'),
             ('24 hours', '6 hours'), ('1 day', '6 hours'), ('1 week', '-1 day'), ('1 week', '-1 day 6 hours'),
             ('1 month', '14 days'), ('3 months', '1 month'), ('1 year', '3 months 5 days'), ('1 hour', NULL)) w (size, shift),
     tumble('2024-05-01 12:10:00', size, "offset" => shift);

-- Arguments may change from row to row.
SELECT window_start, window_end
FROM (VALUES ('2024-05-01 12:10', '1 hour'::interval, '0'::interval, NULL), ('2024-05-01 12:10', '1 day', '0', NULL),
             ('2024-05-01 12:10', '1 day', '0', 'Asia/Tokyo'), ('2024-05-01 12:10', '1 day', '0', 'Asia/Seoul'),
             ('2024-05-01 12:10', '1 day', '0', 'Asia/Karachi'), ('2024-05-01 12:10', '1 day', '1 hour', 'Asia/Karachi'),
             ('2024-05-01 12:10', '1 day', '1 hour', NULL)) w (at, size, shift, zone),
     tumble(at::timestamptz, size, shift, zone);

-- Days on which clocks change have 23 or 25 hours, and some other lengths.  Sao Paulo and Havana change at midnight: a
-- day whose 00:00 is skipped begins with the change, and one whose 00:00 comes twice begins with the second, as
-- PostgreSQL reads such times.  Samoa left out 30 December 2011.
SELECT zone, day, window_start AT TIME ZONE zone AS local_start, window_end - window_start AS length
FROM (VALUES ('Europe/London', '2024-03-31'), ('Europe/London', '2024-10-27'),
             ('America/New_York', '2024-03-10'), ('America/New_York', '2024-11-03'),
             ('America/Sao_Paulo', '2018-02-17'), ('America/Sao_Paulo', '2018-11-04'),
             ('America/Havana', '2024-03-10'), ('America/Havana', '2024-11-02'), ('America/Havana', '2024-11-03'),
             ('Australia/Lord_Howe', '2024-04-07'), ('Australia/Lord_Howe', '2024-10-06'),
             ('Pacific/Apia', '2011-12-29'), ('Pacific/Apia', '2011-12-31')) d (zone, day),
     tumble((day || ' 15:00')::timestamp AT TIME ZONE zone, '1 day', timezone => zone);

-- Every hour of such a day is in it, and 24 hours stay 24 hours.
SELECT size::text, window_start, count(*)
FROM generate_series('2024-03-30 00:00 Europe/London'::timestamptz, '2024-04-01 22:59 Europe/London', '1 hour') at,
     (VALUES ('1 day'::interval), ('24 hours')) w (size), tumble(at, size, timezone => 'Europe/London')
GROUP BY 1, 2 ORDER BY 1, 2;

-- ---------------------------------------------------------------------------
-- Against definitions in plain SQL.  Each kind: how many pairs of time and window, and how many are wrong.
-- ---------------------------------------------------------------------------

-- From 1890 to 2099, the hours of a leap year, and the half-hours around changes of clocks: 2024 in most zones, 2018 in
-- Sao Paulo, the day that Samoa left out.
CREATE TABLE times AS
  SELECT at FROM generate_series('1890-01-01'::timestamptz, '2099-12-31', '17 days 05:43:21.012345') at
  UNION ALL
  SELECT at FROM generate_series('2023-12-30'::timestamptz, '2025-01-02', '3 hours') at
  UNION ALL
  SELECT at - '1 microsecond'::interval
  FROM (VALUES ('2024-03-08'::timestamptz, '2024-04-10'::timestamptz), ('2024-10-04', '2024-11-06'),
               ('2018-02-16', '2018-02-20'), ('2018-11-02', '2018-11-06'), ('2011-12-28', '2012-01-02')) c (first, last),
       generate_series(first, last, '30 minutes') at;

CREATE TABLE zones (zone text);
INSERT INTO zones VALUES ('Europe/London'), ('America/New_York'), ('America/Sao_Paulo'), ('America/Havana'),
  ('Australia/Lord_Howe'), ('Pacific/Apia');

-- Elapsed windows: what date_bin does, from the origin.
CREATE TABLE elapsed_windows (size interval, shift interval);
INSERT INTO elapsed_windows VALUES ('7 microseconds', '0'), ('1 second', '0'), ('90 seconds', '-20 seconds'),
  ('5 minutes', '0'), ('1 hour', '15 minutes'), ('7 hours', '0'), ('24 hours', '2 days 6 hours'), ('168 hours', '0'),
  ('1000 hours', '-1 hour');

SELECT count(*) AS pairs,
       count(*) FILTER (WHERE window_start IS DISTINCT FROM date_bin(size, at, '2000-01-03 00:00+00'::timestamptz + shift)
                           OR window_end IS DISTINCT FROM window_start + size) AS wrong
FROM times, elapsed_windows, tumble(at, size, shift);

SELECT count(*) AS pairs,
       count(*) FILTER (WHERE window_start IS DISTINCT FROM date_bin(size, at, '2000-01-03'::timestamp + shift)
                           OR window_end IS DISTINCT FROM window_start + size) AS wrong
FROM (SELECT at AT TIME ZONE 'UTC' AS at FROM times) t, elapsed_windows, tumble(at, size, shift);

SELECT count(*) AS pairs,
       count(*) FILTER (WHERE window_start IS DISTINCT FROM
                                date_bin(size, at, ('2000-01-03'::timestamp + shift) AT TIME ZONE zone)
                           OR window_end IS DISTINCT FROM window_start + size) AS wrong
FROM times, zones, (SELECT * FROM elapsed_windows WHERE size IN ('5 minutes', '7 hours', '24 hours')) w,
     tumble(at, size, shift, zone);

-- Windows of days and months: the list of all of them, by their number from the origin.
CREATE TABLE calendar_windows (kind text, size interval, shift interval);
INSERT INTO calendar_windows VALUES
  ('days', '1 day', '0'), ('days', '1 day', '6 hours'), ('days', '1 week', '0'), ('days', '10 days', '-3 days 01:30'),
  ('days', '2 days', '1 day'), ('days', '30 days', '36 hours'), ('days', '365 days', '-100 days'),
  ('months', '1 month', '0'), ('months', '3 months', '1 month'), ('months', '1 month', '14 days 6 hours'),
  ('months', '1 year', '3 months 5 days'), ('months', '7 months', '-1 month -2 days'), ('months', '10 years', '0');

CREATE TABLE calendar AS
  SELECT kind, size, shift, local_start AS window_start, local_end
  FROM calendar_windows,
       LATERAL (SELECT CASE kind WHEN 'days' THEN extract(day FROM size)
                                 ELSE extract(year FROM size) * 12 + extract(month FROM size) END::int AS units) u,
       generate_series(-42000 / units, 38000 / units) n,
       LATERAL (SELECT CASE kind WHEN 'days' THEN '2000-01-03'::timestamp + make_interval(days => n * units) + shift
                                 ELSE '2000-01-01'::timestamp + make_interval(months => n * units) + shift END AS local_start,
                       CASE kind WHEN 'days' THEN '2000-01-03'::timestamp + make_interval(days => (n + 1) * units) + shift
                                 ELSE '2000-01-01'::timestamp + make_interval(months => (n + 1) * units) + shift END AS local_end) w
  WHERE local_start BETWEEN '1870-01-01' AND '2100-01-01';

CREATE TABLE zoned_calendar AS
  SELECT kind, size, shift, zone, window_start AT TIME ZONE zone AS window_start, local_end AT TIME ZONE zone AS ends
  FROM calendar, zones;
DELETE FROM zoned_calendar WHERE window_start = ends RETURNING zone, window_start, size, shift;
ANALYZE;

SELECT kind, count(*) AS pairs,
       count(*) FILTER (WHERE c.ends IS NULL OR c.ends <> window_end OR at < window_start OR at >= window_end) AS wrong
FROM times CROSS JOIN zones CROSS JOIN calendar_windows CROSS JOIN tumble(at, size, shift, zone)
     LEFT JOIN zoned_calendar c USING (kind, size, shift, zone, window_start)
GROUP BY 1 ORDER BY 1;

SELECT kind, count(*) AS pairs,
       count(*) FILTER (WHERE c.local_end IS NULL OR c.local_end <> window_end OR at < window_start OR at >= window_end) AS wrong
FROM (SELECT at AT TIME ZONE 'UTC' AS at FROM times) t CROSS JOIN calendar_windows CROSS JOIN tumble(at, size, shift)
     LEFT JOIN calendar c USING (kind, size, shift, window_start)
GROUP BY 1 ORDER BY 1;

-- Where the clocks do not change at midnight, windows begin as date_trunc would have it.
SELECT unit, zone, count(*) FILTER (WHERE window_start <> date_trunc(unit, at, zone)) AS wrong
FROM times, (VALUES ('Europe/London'), ('America/New_York'), ('Asia/Kathmandu')) z (zone),
     (VALUES ('day'), ('week'), ('month'), ('quarter'), ('year'), ('decade')) u (unit),
     tumble(at, CASE unit WHEN 'quarter' THEN '3 months' ELSE '1 ' || unit END::interval, timezone => zone)
GROUP BY 1, 2 HAVING count(*) FILTER (WHERE window_start <> date_trunc(unit, at, zone)) > 0;

-- Without an argument, the session's zone counts.
SET timezone = 'America/New_York';
SELECT count(*) AS pairs, count(*) FILTER (WHERE own.window_start <> given.window_start) AS wrong
FROM times, tumble(at, '1 day') own, tumble(at, '1 day', timezone => 'America/New_York') given;
SET timezone = 'UTC';

-- ---------------------------------------------------------------------------
-- Corners and errors
-- ---------------------------------------------------------------------------

-- Leap years, and years before Christ.
SELECT at, size, window_start, window_end
FROM (VALUES ('1900-02-28 12:00'::timestamp, '1 month'::interval), ('2000-02-29 12:00', '1 month'),
             ('2023-02-28 12:00', '1 day'), ('2024-02-28 12:00', '1 day'), ('2024-02-29 12:00', '1 year'),
             ('0001-01-01 00:00', '1 year'), ('0001-12-31 23:00 BC', '1 year'), ('0001-12-31 23:00 BC', '1 day'),
             ('4713-01-01 00:00 BC', '1 week'), ('294276-11-30 00:00', '1 month')) w (at, size),
     tumble(at, size);

-- No time, no window.
SELECT * FROM tumble(NULL::timestamptz, '1 day');
SELECT * FROM tumble(NULL::timestamp, NULL);

-- Infinity is in no window, and a window must lie within the range of timestamps.
DO $$
DECLARE
  call text;
  state text;
  message text;
  detail text;
  hint text;
BEGIN
  FOREACH call IN ARRAY ARRAY[
    $q$'infinity'::timestamptz, '5 minutes'$q$,
    $q$'-infinity'::timestamp, '1 day'$q$,
    $q$'infinity'::timestamptz, '1 month'$q$,
    $q$'294276-12-31 23:59'::timestamptz, '5 minutes'$q$,
    $q$'294276-12-31 23:59'::timestamptz, '1 day'$q$,
    $q$'294276-12-31 23:59'::timestamp, '1 month'$q$,
    $q$'4714-11-24 00:00 BC'::timestamp, '1000 hours'$q$,
    $q$'4714-11-24 00:00 BC'::timestamp, '1 week', '1 day'$q$,
    $q$'4714-11-24 00:00 BC'::timestamp, '1 month'$q$,
    $q$'2024-05-01'::timestamptz, '178000000 years'$q$,
    $q$'2024-05-01'::timestamptz, '200000000 days'$q$,
    $q$'2024-05-01'::timestamptz, '0'$q$,
    $q$'2024-05-01'::timestamptz, '-1 hour'$q$,
    $q$'2024-05-01'::timestamp, '-1 month'$q$,
    $q$'2024-05-01'::timestamptz, '1 day 12 hours'$q$,
    $q$'2024-05-01'::timestamptz, '1 month 1 day'$q$,
    $q$'2024-05-01'::timestamptz, NULL$q$,
    $q$'2024-05-01'::timestamptz, '1 day', timezone => 'Mars/Olympus'$q$,
    $q$'2024-05-01'::timestamp, '1 day', timezone => 'Europe/London'$q$,
    $q$'2024-05-01'::timestamptz, '1 hour', '1 month'$q$,
    $q$'2024-05-01'::timestamptz, '1 day', '-1 year'$q$,
    $q$'2024-05-01'::timestamptz, '1 day', '200000000 days'$q$
  ]
  LOOP
    BEGIN
      EXECUTE 'SELECT * FROM tumble(' || call || ')';
      RAISE INFO '%: no error', call;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT;
      RAISE INFO '%', concat_ws(E'\n   ', 'tumble(' || call || ')', state || ' ' || message, nullif(detail, ''),
                               nullif(hint, ''));
    END;
  END LOOP;
END $$;

DROP TABLE orders, times, zones, elapsed_windows, calendar_windows, calendar, zoned_calendar;
DROP FUNCTION scans_function;
