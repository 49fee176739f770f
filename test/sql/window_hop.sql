-- hop() and cumulate(): windows that overlap.
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';

-- hop(): windows of a size, one of them starts every slide.  A time is in size/slide of them.
SELECT * FROM hop('2024-05-01 12:10:00'::timestamptz, '1 hour', '20 minutes');
SELECT * FROM hop('2024-05-01 12:10:00'::timestamp, size => '1 hour', slide => '20 minutes', "offset" => '5 minutes');

-- The size need not be a multiple of the slide: then some times are in one window more than others.
SELECT at, window_start, window_end
FROM (VALUES ('2024-05-01 12:04'::timestamp), ('2024-05-01 12:06')) t (at), hop(at, '25 minutes', '10 minutes');

-- With gaps, times between two windows are in none.
SELECT at, window_start, window_end
FROM (VALUES ('2024-05-01 11:59:59.999999'::timestamp), ('2024-05-01 12:00'), ('2024-05-01 12:09:59.999999'),
             ('2024-05-01 12:10')) t (at)
     LEFT JOIN hop(at, '10 minutes', '1 hour', gaps => true) ON true;

-- cumulate(): windows that start together and grow by a step up to the size, when the next ones start.
SELECT * FROM cumulate('2024-05-01 12:10:00'::timestamptz, '1 hour', '20 minutes');
SELECT * FROM cumulate('2024-05-01 12:10:00'::timestamp, size => '1 hour', step => '20 minutes', "offset" => '-5 minutes');

-- Days, weeks, months and years follow the calendar, of the session's time zone or the one that is given.
SET timezone = 'Europe/London';
SELECT window_start, window_end, window_end - window_start AS length FROM hop('2024-03-31 12:00', '2 days', '1 day');
SELECT * FROM hop('2024-03-31 12:00', '1 day', '1 day', timezone => 'Asia/Tokyo');
SELECT * FROM hop('2024-02-29 12:00', '3 months', '1 month');
SELECT * FROM cumulate('2024-03-30 12:00', '1 week', '1 day');
SELECT * FROM cumulate('2024-08-15 12:00', '1 year', '3 months', "offset" => '1 month');
SET timezone = 'UTC';

-- Samoa left out 30 December 2011: a window that would end with that day is the one that ends with the day before.
SELECT window_start AT TIME ZONE 'Pacific/Apia' AS local_start, window_end AT TIME ZONE 'Pacific/Apia' AS local_end
FROM cumulate('2011-12-29 12:00+00', '1 week', '1 day', timezone => 'Pacific/Apia');

-- No time, no windows; a call in the select list does the same.
SELECT * FROM hop(NULL::timestamptz, '1 hour', '20 minutes');
SELECT * FROM cumulate(NULL::timestamp, NULL, NULL);
SELECT at, (hop(at, '1 hour', '30 minutes')).*
FROM (VALUES ('2024-05-01 12:10:00'::timestamp), (NULL), ('2024-05-01 12:40:00')) t (at);

-- The planner puts the function's body in its place, and windows come one by one: LIMIT leaves the rest alone.
EXPLAIN (COSTS OFF) SELECT window_start, count(*)
FROM generate_series('2024-05-01'::timestamp, '2024-05-02', '1 hour') at, hop(at, '1 hour', '20 minutes') GROUP BY 1;
SELECT at, (SELECT window_end FROM hop(at, '87600 hours', '1 microsecond') LIMIT 1)
FROM generate_series('2024-05-01'::timestamp, '2024-05-02', '12 hours') at;

-- It knows how many there are.
CREATE FUNCTION estimated_rows(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
  RETURN plan->0->'Plan'->>'Plan Rows';
END $$;
SELECT call, estimated_rows('SELECT * FROM ' || call)
FROM (VALUES ($$hop('2024-05-01'::timestamp, '1 hour', '1 second')$$), ($$hop('2024-05-01'::timestamptz, '1 year', '1 month')$$),
             ($$hop('2024-05-01'::timestamp, '1 minute', '1 hour', gaps => true)$$), ($$hop('2024-05-01'::timestamp, NULL, '1 hour')$$),
             ($$cumulate('2024-05-01'::timestamptz, '7 days', '1 day')$$)) c (call);
DROP FUNCTION estimated_rows;

-- ---------------------------------------------------------------------------
-- Against definitions in plain SQL: window n is [origin + n * slide, origin + n * slide + size), by the clock of its
-- zone, and a time is in those that do not start after it and end after it.
-- ---------------------------------------------------------------------------

SET work_mem = '256MB';

-- Before and after the origin, a leap day, and days around changes of clocks; the last microsecond of half-hours, too.
CREATE TABLE times AS
  SELECT at FROM generate_series('1890-01-01'::timestamptz, '2099-12-31', '797 days 05:43:21.012345') at
  UNION ALL
  SELECT at - shift
  FROM (VALUES ('2024-02-29 00:00'::timestamptz, '2024-03-01 06:00'::timestamptz),
               ('2024-03-31 00:00', '2024-03-31 03:00'), ('2024-10-27 00:00', '2024-10-27 03:00'), -- London
               ('2024-03-10 05:00', '2024-03-10 09:00'), ('2024-11-03 03:00', '2024-11-03 09:00'), -- New York, Havana
               ('2018-02-18 00:00', '2018-02-18 06:00'), ('2018-11-04 00:00', '2018-11-04 06:00'), -- Sao Paulo
               ('2024-04-06 12:00', '2024-04-06 18:00'), ('2024-10-05 12:00', '2024-10-05 18:00'), -- Lord Howe
               ('2011-12-30 00:00', '2011-12-30 12:00'), ('2011-12-31 09:00', '2011-12-31 11:00')) c (first, last), -- Samoa
       generate_series(first, last, '30 minutes') at,
       (VALUES ('0'::interval), ('1 microsecond')) s (shift);

CREATE TABLE zones (zone text);
INSERT INTO zones VALUES ('Europe/London'), ('America/New_York'), ('America/Sao_Paulo'), ('America/Havana'),
  ('Australia/Lord_Howe'), ('Pacific/Apia');

-- The step of hopping windows is their slide.  Units are days or months; elapsed windows have lengths.
CREATE TABLE windows (kind text, unit text, size int, step int, shift interval);
INSERT INTO windows VALUES
  ('hop', 'days', 1, 1, '0'), ('hop', 'days', 7, 1, '6 hours'), ('hop', 'days', 14, 7, '-1 day'),
  ('hop', 'days', 10, 3, '36 hours'), ('hop', 'days', 2, 5, '0'), ('hop', 'days', 30, 4, '-100 days 01:30'),
  ('hop', 'months', 3, 1, '0'), ('hop', 'months', 12, 1, '14 days 6 hours'), ('hop', 'months', 12, 5, '1 month -2 days'),
  ('hop', 'months', 2, 7, '0'), ('hop', 'months', 120, 12, '3 months'), ('hop', 'months', 1, 1, '0'),
  ('cumulate', 'days', 7, 1, '0'), ('cumulate', 'days', 30, 3, '-10 days 5 hours'), ('cumulate', 'days', 2, 1, '12 hours'),
  ('cumulate', 'days', 14, 7, '1 day'), ('cumulate', 'days', 1, 1, '0'), ('cumulate', 'days', 364, 28, '0'),
  ('cumulate', 'months', 12, 1, '0'), ('cumulate', 'months', 12, 3, '1 month 10 days'), ('cumulate', 'months', 120, 12, '0'),
  ('cumulate', 'months', 6, 2, '-1 month'), ('cumulate', 'months', 1, 1, '2 days'), ('cumulate', 'months', 21, 7, '0');

CREATE FUNCTION span(unit text, n bigint) RETURNS interval LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE unit WHEN 'days' THEN make_interval(days => n::int) WHEN 'months' THEN make_interval(months => n::int)
                      ELSE n * interval '1 microsecond' END $$;

-- Local starts and ends of all windows, by number, that can hold a local time, and of some more.
CREATE FUNCTION near(w windows, at timestamp) RETURNS TABLE (local_start timestamp, local_end timestamp) LANGUAGE sql IMMUTABLE AS $$
  SELECT origin + span(w.unit, n * period) + w.shift, origin + span(w.unit, n * period + length) + w.shift
  FROM (SELECT CASE w.unit WHEN 'days' THEN '2000-01-03'::timestamp ELSE '2000-01-01' END AS origin,
               CASE w.kind WHEN 'hop' THEN w.step ELSE w.size END AS period,
               CASE w.kind WHEN 'hop' THEN w.size ELSE w.step END AS shortest) o,
       LATERAL (SELECT floor((at::date - (origin + w.shift)::date)
                             / CASE w.unit WHEN 'days' THEN 1 ELSE 30.436875 END / period)::int AS last) l,
       generate_series(last - w.size / period - 1, last + 1) n,
       generate_series(shortest, w.size, w.step) length
$$;

CREATE TABLE expected AS
  SELECT DISTINCT w.*, zone, at, local_start AT TIME ZONE zone AS window_start, local_end AT TIME ZONE zone AS window_end
  FROM times, windows w, zones, near(w, at AT TIME ZONE zone)
  WHERE at >= local_start AT TIME ZONE zone AND at < local_end AT TIME ZONE zone;
CREATE TABLE found AS
  SELECT w.*, zone, at, f.*
  FROM times, windows w, zones, hop(at, span(unit, size), span(unit, step), shift, zone, true) f WHERE kind = 'hop'
  UNION ALL
  SELECT w.*, zone, at, f.*
  FROM times, windows w, zones, cumulate(at, span(unit, size), span(unit, step), shift, zone) f WHERE kind = 'cumulate';

SELECT kind, unit, count(*) AS pairs FROM expected GROUP BY 1, 2 ORDER BY 1, 2;
(TABLE expected EXCEPT ALL TABLE found) UNION ALL (TABLE found EXCEPT ALL TABLE expected) LIMIT 10;

-- Times without a zone.
CREATE TABLE local_times AS SELECT at AT TIME ZONE 'UTC' AS at FROM times;
CREATE TABLE local_expected AS
  SELECT w.*, at, local_start AS window_start, local_end AS window_end
  FROM local_times, windows w, near(w, at) WHERE at >= local_start AND at < local_end;
CREATE TABLE local_found AS
  SELECT w.*, at, f.*
  FROM local_times, windows w, hop(at, span(unit, size), span(unit, step), shift, gaps => true) f WHERE kind = 'hop'
  UNION ALL
  SELECT w.*, at, f.*
  FROM local_times, windows w, cumulate(at, span(unit, size), span(unit, step), shift) f WHERE kind = 'cumulate';
SELECT kind, unit, count(*) AS pairs FROM local_expected GROUP BY 1, 2 ORDER BY 1, 2;
(TABLE local_expected EXCEPT ALL TABLE local_found) UNION ALL (TABLE local_found EXCEPT ALL TABLE local_expected) LIMIT 10;

-- Elapsed windows: from what date_bin gives, back for hop and on for cumulate.  Aligned to UTC, or to a zone's midnight.
CREATE TABLE elapsed (kind text, size interval, step interval, shift interval);
INSERT INTO elapsed VALUES
  ('hop', '1 hour', '5 minutes', '0'), ('hop', '1 hour', '25 minutes', '10 minutes'), ('hop', '7 microseconds', '2 microseconds', '0'),
  ('hop', '24 hours', '1 hour', '-5 days 01:00'), ('hop', '1000 hours', '90 hours', '3 seconds'), ('hop', '10 minutes', '1 hour', '0'),
  ('cumulate', '24 hours', '1 hour', '0'), ('cumulate', '1 hour', '1 minute', '-20 seconds'), ('cumulate', '168 hours', '24 hours', '1 day 01:00'),
  ('cumulate', '35 hours', '7 hours', '0'), ('cumulate', '90 seconds', '45 seconds', '0');

CREATE TABLE aligned AS SELECT zone, '2000-01-03'::timestamp AT TIME ZONE coalesce(zone, 'UTC') AS origin
  FROM (VALUES (NULL), ('America/New_York'), ('Asia/Kathmandu')) z (zone);
CREATE TABLE elapsed_expected AS
  SELECT w.*, zone, at, window_start, window_end
  FROM times, elapsed w, aligned, generate_series(0, ceil(extract(epoch FROM size) / extract(epoch FROM step))::int) n,
       LATERAL (SELECT date_bin(step, at, origin + shift) - n * step AS window_start WHERE kind = 'hop'
                UNION ALL SELECT date_bin(size, at, origin + shift) WHERE kind = 'cumulate') s,
       LATERAL (SELECT window_start + CASE kind WHEN 'hop' THEN size ELSE n * step END AS window_end) e
  WHERE at < window_end AND window_end <= window_start + size;
CREATE TABLE elapsed_found AS
  SELECT w.*, zone, at, f.* FROM times, elapsed w, aligned, hop(at, size, step, shift, zone, true) f WHERE kind = 'hop'
  UNION ALL
  SELECT w.*, zone, at, f.* FROM times, elapsed w, aligned, cumulate(at, size, step, shift, zone) f WHERE kind = 'cumulate';
SELECT kind, count(*) AS pairs FROM elapsed_expected GROUP BY 1 ORDER BY 1;
(TABLE elapsed_expected EXCEPT ALL TABLE elapsed_found) UNION ALL (TABLE elapsed_found EXCEPT ALL TABLE elapsed_expected) LIMIT 10;

-- The windows of a time come in order of their starts, and of their ends where those are the same.
SELECT count(*) AS unordered
FROM (SELECT (window_start, window_end) < lag((window_start, window_end)) OVER (PARTITION BY w, at ORDER BY n) AS wrong
      FROM times, windows w,
           LATERAL (SELECT * FROM hop(at, span(unit, size), span(unit, step), shift, 'Pacific/Apia', true) WITH ORDINALITY
                    WHERE kind = 'hop'
                    UNION ALL
                    SELECT * FROM cumulate(at, span(unit, size), span(unit, step), shift, 'Pacific/Apia') WITH ORDINALITY
                    WHERE kind = 'cumulate') f (window_start, window_end, n)) o
WHERE wrong;

-- ---------------------------------------------------------------------------
-- Refusals
-- ---------------------------------------------------------------------------
DO $$
DECLARE
  call text;
  state text;
  message text;
  detail text;
  hint text;
BEGIN
  FOREACH call IN ARRAY ARRAY[
    $q$hop('infinity'::timestamptz, '10 minutes', '5 minutes')$q$,
    $q$hop('-infinity'::timestamp, '2 days', '1 day')$q$,
    $q$cumulate('infinity'::timestamptz, '3 months', '1 month')$q$,
    $q$hop('294276-12-31 23:59'::timestamptz, '10 minutes', '5 minutes')$q$,
    $q$hop('4714-11-24 00:00 BC'::timestamp, '2 months', '1 month')$q$,
    $q$cumulate('294276-12-31 23:59'::timestamp, '7 days', '1 day')$q$,
    $q$hop('2024-05-01'::timestamptz, '20 minutes', '1 hour')$q$,
    $q$hop('2024-05-01'::timestamptz, '1 month', '1 year')$q$,
    $q$hop('2024-05-01'::timestamptz, '0', '1 hour')$q$,
    $q$hop('2024-05-01'::timestamptz, '1 hour', '0')$q$,
    $q$hop('2024-05-01'::timestamptz, '-1 hour', '-1 hour')$q$,
    $q$hop('2024-05-01'::timestamp, '1 day', '-1 day')$q$,
    $q$hop('2024-05-01'::timestamp, '1 hour', NULL)$q$,
    $q$hop('2024-05-01'::timestamp, NULL, '1 hour')$q$,
    $q$hop('2024-05-01'::timestamp, '1 day 12 hours', '1 hour')$q$,
    $q$hop('2024-05-01'::timestamp, '1 month', '1 month -1 day')$q$,
    $q$hop('2024-05-01'::timestamp, '1 day', '1 hour')$q$,
    $q$hop('2024-05-01'::timestamp, '1 month', '1 day')$q$,
    $q$hop('2024-05-01'::timestamptz, '1 day', '1 day', timezone => 'Mars/Olympus')$q$,
    $q$hop('2024-05-01'::timestamp, '1 day', '1 day', timezone => 'Europe/London')$q$,
    $q$hop('2024-05-01'::timestamp, '1 day', '1 day', '1 month')$q$,
    $q$cumulate('2024-05-01'::timestamp, '1 hour', '25 minutes')$q$,
    $q$cumulate('2024-05-01'::timestamp, '20 minutes', '1 hour')$q$,
    $q$cumulate('2024-05-01'::timestamp, '1 hour', '0')$q$,
    $q$cumulate('2024-05-01'::timestamp, '1 day', '-1 day')$q$,
    $q$cumulate('2024-05-01'::timestamp, '1 day', NULL)$q$,
    $q$cumulate('2024-05-01'::timestamp, '1 day', '1 hour')$q$,
    $q$cumulate('2024-05-01'::timestamp, '1 year', '73 days')$q$
  ]
  LOOP
    BEGIN
      EXECUTE 'SELECT * FROM ' || call;
      RAISE INFO '%: no error', call;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT;
      RAISE INFO '%', concat_ws(E'\n   ', call, state || ' ' || message, nullif(detail, ''), nullif(hint, ''));
    END;
  END LOOP;
END $$;

DROP TABLE times, zones, expected, found, local_times, local_expected, local_found, elapsed, aligned, elapsed_expected,
  elapsed_found;
DROP FUNCTION near, span;
DROP TABLE windows;
