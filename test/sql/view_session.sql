-- Continuous views of sessions: a session extends, merges with another, and closes by the watermark.
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET streamfuse.read_consistency = 'latest';

CREATE TABLE clicks (who text, page text, n int, at timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('clicks', 'at', delay => '2 minutes');
CREATE MATERIALIZED VIEW visits WITH (streamfuse.continuous) AS
SELECT window_start, window_end, who, count(*) AS clicks, string_agg(page, ' ' ORDER BY at, page) AS pages
FROM clicks, session(at, '5 minutes') GROUP BY window_start, window_end, who;

SELECT streamfuse.flush('visits') AS watermark;

-- Clicks at minutes of one day, so that tests are short: "ann a 10" is a click of ann on a at 00:10.
CREATE FUNCTION click(text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO clicks SELECT nullif(c[1], '-'), c[2], row_number() OVER (), '2024-05-01'::timestamptz + c[3]::float * interval '1 minute'
  FROM string_to_table($1, ', ') s, string_to_array(s, ' ') c
$$;

-- Two sessions of one key, one of another.  A row that is exactly the gap later begins a new one.
SELECT click('ann a 10, ann b 14.9, bob c 13, ann d 19.9');
TABLE visits ORDER BY who, window_start;

-- A row between two sessions makes one of them; it may come late, as long as both are open.
SELECT click('ann e 17.9');
TABLE visits ORDER BY who, window_start;
SELECT streamfuse.flush('visits') AS watermark;
SELECT view, watermark, next_close FROM streamfuse.stat_views;

-- The watermark closes: bob's session ends at 18, which it has come to with a row at 20.  Closed rows are in the output table.
SELECT click('cyd f 20');
TABLE visits ORDER BY who, window_start;
SELECT streamfuse.flush('visits') AS watermark;
SELECT window_start, window_end, who, clicks, pages FROM visits_closed;
SELECT * FROM streamfuse.verify('visits');

-- ---------------------------------------------------------------------------
-- Late rows.  The watermark is at 00:28 in what follows; bob's session [13, 18) is closed.
-- ---------------------------------------------------------------------------
SELECT click('cyd g 30');
TABLE visits ORDER BY who, window_start;

-- On time: less than the gap older than the watermark.  Missed: what a session of its own would be closed by now.
SELECT click('dan h 23.1');
SELECT streamfuse.flush('visits') AS watermark;
SELECT click('dan i 10, eve j 22.9');
-- Missed: it touches a session that is closed (ann's, up to 24.9).  On time: the gap later.
SELECT click('ann k 24.8');
SELECT streamfuse.flush('visits') AS watermark;
SELECT click('ann l 24.9');
TABLE visits ORDER BY who, window_start;
SELECT streamfuse.flush('visits') AS watermark;
SELECT view, rows_in, rows_late, rows_missed FROM streamfuse.stat_views;

-- What a missed row would have changed is any session that overlaps with its span: from a multiple of the gap on, two gaps
-- long.  Those are left out when the view is compared with its query.
SELECT window_start, window_end, missed FROM streamfuse.dirty_windows ORDER BY 1;
SELECT * FROM streamfuse.verify('visits');
SELECT count(*) FILTER (WHERE s.who IS NULL OR b.who IS NULL) AS differing, count(*) AS sessions
FROM visits s FULL JOIN (SELECT window_start, window_end, who, count(*) AS clicks, string_agg(page, ' ' ORDER BY at, page) AS pages
                         FROM clicks, session(at, '5 minutes') GROUP BY 1, 2, 3) b
  ON (s.window_start, s.window_end, s.who, s.clicks, s.pages) = (b.window_start, b.window_end, b.who, b.clicks, b.pages);

-- A row that touches an open session belongs to it, though its own would be closed: dan's is open from 23.1 on.  A second
-- one reaches back still further, but not more than two gaps behind the watermark; within the session any row is on time.
SELECT click('dan m 27, dan n 31, cyd o 34');
SELECT streamfuse.flush('visits') AS watermark;
SELECT click('dan p 22.3');
SELECT streamfuse.flush('visits') AS watermark;
SELECT click('dan q 21.9');
SELECT streamfuse.flush('visits') AS watermark;
SELECT click('dan r 26');
SELECT * FROM visits WHERE who = 'dan' ORDER BY window_start;

-- Rows of one transaction are judged by the state before it: the second one does not make the first be on time.
SELECT click('fay s 26.9, fay t 27.1');
SELECT * FROM visits WHERE who = 'fay' ORDER BY window_start;
SELECT * FROM streamfuse.verify('visits');

-- ---------------------------------------------------------------------------
-- Sessions that do not end
-- ---------------------------------------------------------------------------
CREATE TABLE beats (k int, v int, at timestamp NOT NULL) USING stream;
SELECT streamfuse.set_watermark('beats', 'at');
CREATE MATERIALIZED VIEW runs WITH (streamfuse.continuous) AS
SELECT window_start, window_end, k, count(*) AS n, sum(v), min(at), max(v), array_length(array_agg(DISTINCT v), 1) AS different
FROM beats, session(at, '10 seconds') GROUP BY window_start, window_end, k;
SELECT streamfuse.flush('runs') IS NOT NULL AS flushed;

-- A row each second, for an hour and a half; of another key, one each half minute.
CREATE PROCEDURE beat(from_second int, to_second int) LANGUAGE plpgsql AS $$
BEGIN
  FOR minute IN from_second / 60 .. to_second / 60 - 1 LOOP
    INSERT INTO beats SELECT 1, s % 7, '2024-05-01'::timestamp + s * interval '1 second' FROM generate_series(minute * 60, minute * 60 + 59) s;
    INSERT INTO beats SELECT 2, 1, '2024-05-01'::timestamp + (minute * 60 + s) * interval '1 second' FROM generate_series(0, 59, 30) s;
    COMMIT;
    PERFORM streamfuse.flush('runs');
  END LOOP;
END $$;
CALL beat(0, 600);
SELECT groups AS groups_before, bytes AS bytes_before FROM streamfuse.stat_views WHERE view = 'runs'::regclass \gset
CALL beat(600, 5400);
SELECT groups <= :groups_before AS groups_stay, open_windows <= 6 AS panes_leave FROM streamfuse.stat_views WHERE view = 'runs'::regclass;
SELECT k, count(*), min(window_start), max(window_end), sum(n) AS n, max(different) FROM runs GROUP BY k ORDER BY k;
SELECT * FROM streamfuse.verify('runs');

-- A late row deep inside the open session is on time; before its first row it is not.
INSERT INTO beats VALUES (1, 100, '2024-05-01 00:00:07.5'), (1, 100, '2024-04-30 23:59:59');
SELECT window_start, n, max FROM runs WHERE k = 1;
SELECT rows_missed FROM streamfuse.stat_views WHERE view = 'runs'::regclass;

-- ---------------------------------------------------------------------------
-- Keys
-- ---------------------------------------------------------------------------

-- Named keys: fewer than what is grouped by, more, others, none.
CREATE MATERIALIZED VIEW pages WITH (streamfuse.continuous) AS
SELECT window_start, window_end, who, page, count(*) AS clicks, min(at) AS first
FROM clicks, session(at, '5 minutes', who) GROUP BY window_start, window_end, who, page;
CREATE MATERIALIZED VIEW lengths WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) AS clicks, min(at) AS first
FROM clicks, session(at, '5 minutes', who, upper(page)) GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW others WITH (streamfuse.continuous) AS
SELECT window_start, window_end, page, count(*) AS clicks, max(at) AS last
FROM clicks, session(at, '5 minutes', who) GROUP BY window_start, window_end, page;
CREATE MATERIALIZED VIEW busy WITH (streamfuse.continuous) AS
SELECT window_start, window_end, who, count(*) AS clicks
FROM clicks, session(at, '3 minutes', 'all') GROUP BY window_start, window_end, who;
CREATE MATERIALIZED VIEW busy_total WITH (streamfuse.continuous) AS
SELECT window_start, count(*) AS clicks, avg(n) FROM clicks, session(at, '90 seconds') GROUP BY window_start HAVING count(*) > 1;
CREATE MATERIALIZED VIEW by_set WITH (streamfuse.continuous) AS
SELECT window_start, window_end, who, page, grouping(who, page) AS level, count(*) AS clicks, count(DISTINCT page) AS pages
FROM clicks, session(at, '5 minutes', who) GROUP BY window_start, window_end, ROLLUP (who, page);
SELECT streamfuse.flush() IS NOT NULL AS flushed;

SELECT click('ann a 40, ann b 41, bob a 40, bob c 43, ann a 44, fay a 40, fay x 43, - z 41.5');
SELECT * FROM pages WHERE window_start >= '2024-05-01 00:40' ORDER BY who, page, window_start;
SELECT * FROM lengths WHERE window_start >= '2024-05-01 00:40' ORDER BY 1, 2;
SELECT * FROM others WHERE window_start >= '2024-05-01 00:40' ORDER BY 3, 1, 2;
SELECT * FROM by_set WHERE window_start >= '2024-05-01 00:40' AND (level > 0 OR who = 'ann') ORDER BY level, 3, 4, 1, 2;
SELECT * FROM busy WHERE window_start >= '2024-05-01 00:40' ORDER BY 3, 1;
SELECT * FROM busy_total WHERE window_start >= '2024-05-01 00:40' ORDER BY 1;

-- The same when they have closed, read from the output tables.
SELECT click('zoe z 60');
SELECT * FROM lengths WHERE window_start >= '2024-05-01 00:40' ORDER BY 1, 2;
SELECT * FROM others WHERE window_start >= '2024-05-01 00:40' ORDER BY 3, 1, 2;
SELECT v AS view, count(d) AS differences FROM unnest('{pages,lengths,others,busy,by_set,visits}'::regclass[]) v LEFT JOIN LATERAL streamfuse.verify(v) d ON true GROUP BY v ORDER BY v;

-- A key is looked up, where the sessions are by that key alone.
EXPLAIN (COSTS OFF) SELECT * FROM visits WHERE who = 'ann';
SELECT * FROM visits WHERE who = 'zoe';
SELECT * FROM pages WHERE who = 'zoe' AND page = 'z';

-- ---------------------------------------------------------------------------
-- Refusals
-- ---------------------------------------------------------------------------
\set VERBOSITY terse
\set view 'CREATE MATERIALIZED VIEW no WITH (streamfuse.continuous) AS SELECT '
:view window_start, who, count(*) FROM clicks, session(at, '0') GROUP BY 1, 2;
:view window_start, who, count(*) FROM clicks, session(at, '-5 minutes') GROUP BY 1, 2;
:view window_start, who, count(*) FROM clicks, session(at, '1 day') GROUP BY 1, 2;
:view window_start, who, count(*) FROM clicks, session(at, '1 month') GROUP BY 1, 2;
:view window_start, who, count(*) FROM clicks, session(at, NULL::interval) GROUP BY 1, 2;
:view window_start, who, count(*) FROM clicks, session(at, n * interval '1 minute') GROUP BY 1, 2;
:view window_start, who, count(*) FROM clicks, session(at + '1 minute', '5 minutes') GROUP BY 1, 2;
:view s.window_start, who, count(*) FROM clicks, session(at, '5 minutes') s, session(at, '9 minutes') t GROUP BY 1, 2;
:view window_start, window_end, count(*) FROM (SELECT window_start AS t FROM clicks, session(at, '5 minutes', who)) s, session(t, '9 minutes') GROUP BY 1, 2;
:view s.window_start, s.window_end, count(*) FROM visits v, session(v.window_start, '9 minutes') s GROUP BY 1, 2;
:view window_start, who, at FROM clicks, session(at, '5 minutes', who);
:view who, count(*) FROM clicks, session(at, '5 minutes', who) GROUP BY 1;
:view count(*) FROM clicks, session(at, '5 minutes', who);
:view window_start, count(*) FROM clicks, session(at, '5 minutes', who) GROUP BY 1;
:view window_end, page, count(*) FROM clicks, session(at, '5 minutes', who) GROUP BY 1, 2;
:view window_start, window_end, who, count(*) FROM clicks, session(at, '5 minutes') GROUP BY window_start, window_end, ROLLUP (who);
:view window_start, window_end, who, count(*) FROM clicks, session(at, '5 minutes', who) GROUP BY ROLLUP (window_start, window_end, who);
:view window_start, window_end, who, count(*) FROM clicks, session(at, '5 minutes') WHERE window_end > '2024-05-01' GROUP BY 1, 2, 3;
:view window_start, window_end, who, max(window_end - at) FROM clicks, session(at, '5 minutes') GROUP BY 1, 2, 3;
:view window_start, window_end, window_end - window_start, count(*) FROM clicks, session(at, '5 minutes') GROUP BY 1, 2, 3;
:view window_start, window_end, who, count(*) FROM clicks, session(at, '5 minutes', random()) GROUP BY 1, 2, 3;
CREATE TABLE two_times (k int, at timestamptz NOT NULL, other timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('two_times', 'at');
:view window_start, window_end, k, count(*) FROM two_times, session(other, '5 minutes') GROUP BY 1, 2, 3;

-- An infinite time is in no session: the row fails.
CREATE MATERIALIZED VIEW endless WITH (streamfuse.continuous, streamfuse.on_error = 'skip') AS
SELECT window_start, window_end, k, count(*) FROM two_times, session(at, '5 minutes') GROUP BY 1, 2, 3;
INSERT INTO two_times VALUES (1, '-infinity', now()), (1, '2024-05-01', now()), (1, '2024-05-01 00:01', now());
SELECT streamfuse.flush('endless') AS watermark;
TABLE endless;
SELECT event_time, message FROM streamfuse.errors;
SELECT * FROM streamfuse.verify('endless');

-- Gaps of all lengths there are.
CREATE MATERIALIZED VIEW ages WITH (streamfuse.continuous) AS
SELECT window_start, window_end, k, count(*) FROM two_times, session(at, '1400000000 hours') WHERE isfinite(at) GROUP BY 1, 2, 3;
CREATE MATERIALIZED VIEW moments WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM two_times, session(at, '00:00:00.000001') WHERE isfinite(at) GROUP BY 1, 2;
SELECT streamfuse.flush() IS NOT NULL AS flushed;
INSERT INTO two_times VALUES (1, '2024-05-01 00:00:00.000001', now()), (1, '2024-05-01 00:01', now()), (1, '2024-04-30', now()), (2, '2024-05-01 00:02', now());
SELECT streamfuse.flush() IS NOT NULL AS flushed;
TABLE ages ORDER BY k;
TABLE moments ORDER BY window_start;
SELECT view, window_start, window_end, missed FROM streamfuse.dirty_windows WHERE view IN ('ages'::regclass, 'moments'::regclass) ORDER BY 1, 2;
SELECT * FROM streamfuse.verify('ages');
SELECT * FROM streamfuse.verify('moments');

DROP TABLE clicks, beats, two_times CASCADE;
