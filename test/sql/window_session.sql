-- session(): a row begins a new session when it is at least the gap later than the one before it.
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';

CREATE TABLE clicks (user_id int, page text, at timestamptz);
INSERT INTO clicks VALUES
  (1, 'a', '2024-05-01 12:00:00'), (1, 'b', '2024-05-01 12:04:59'), (1, 'a', '2024-05-01 12:09:59'),
  (2, 'a', '2024-05-01 12:02:00'), (2, 'b', '2024-05-01 12:02:00'), (2, 'b', '2024-05-01 12:06:59.999999'),
  (NULL, 'c', '2024-05-01 12:20:00'), (NULL, 'a', '2024-05-01 12:24:00'), (1, 'z', NULL);

-- 12:09:59 is 5 minutes after 12:04:59.  A session's window ends when the gap has passed since its last row.  NULL is a
-- key like others; a row without a time is in no session.
SELECT window_start, window_end, user_id, count(*), string_agg(page, ' ' ORDER BY at, page) AS pages
FROM clicks, session(at, '5 minutes') GROUP BY window_start, window_end, user_id ORDER BY user_id, window_start;

-- The other grouping expressions are the keys.  Without any, the sessions are those of all rows.
SELECT window_start, window_end, page, count(*)
FROM clicks, session(at, '5 minutes') GROUP BY 1, 2, 3 ORDER BY 3, 1;
SELECT window_start, window_end, count(*), count(DISTINCT user_id) AS users
FROM clicks, session(at, '5 minutes') GROUP BY window_start, window_end ORDER BY 1;

-- Named keys stand whatever is grouped by, even where nothing is.
SELECT window_start, window_end, user_id, page, count(*)
FROM clicks, session(at, '5 minutes', user_id) GROUP BY 1, 2, 3, 4 ORDER BY 3, 1, 4;
SELECT user_id, page, at, window_start, window_end - window_start AS length, row_number() OVER (PARTITION BY user_id, window_start ORDER BY at, page)
FROM clicks, session(at, '5 minutes', user_id) ORDER BY user_id, at, page;
SELECT user_id, count(*) FROM clicks, session(at, '5 minutes', user_id)
GROUP BY ROLLUP (user_id, window_start) ORDER BY 1, 2;

-- Any grouping expressions will do, and one window column, or none.
SELECT user_id, window_end, count(*) FROM clicks, session(at, '5 minutes') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT user_id, count(DISTINCT window_start) AS sessions, count(*) FROM clicks, session(at, '5 minutes') GROUP BY 1 ORDER BY 1;
SELECT user_id > 1 AS late_user, upper(page), window_end - window_start AS length, count(*)
FROM clicks, session(at, '5 minutes') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- Conditions on other columns choose the rows that sessions are made of; those on window columns choose among sessions.
SELECT user_id, window_start, count(*) FROM clicks, session(at, '5 minutes')
WHERE page = 'a' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT user_id, window_start, count(*) FROM clicks, session(at, '5 minutes')
WHERE page <> 'c' AND window_start > '2024-05-01 12:01' AND at < window_end - interval '5 minutes' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT user_id, window_start, count(*) FROM clicks, session(at, '5 minutes')
GROUP BY 1, 2 HAVING count(*) > 1 AND max(window_end) < '2024-05-01 12:15' ORDER BY 1, 2;

-- Several keys may be named one by one or as an array; a literal is the same for all rows.
SELECT user_id, page, window_start, count(*) FROM clicks, session(at, '5 minutes', user_id, page) GROUP BY 1, 2, 3
EXCEPT ALL
SELECT user_id, page, window_start, count(*) FROM clicks, session(at, '5 minutes', VARIADIC ARRAY[user_id::text, page]) GROUP BY 1, 2, 3;
SELECT window_start, window_end FROM clicks, session(at, '5 minutes', 'all') WHERE page = 'c';

-- EXPLAIN shows what is done: one sort, one pass of window functions.  (Later versions say more about the latter, and
-- see that half of the order for GROUP BY is there.)
SET enable_incremental_sort = off;
CREATE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    IF line NOT LIKE '% Window: %' THEN
      RETURN NEXT line;
    END IF;
  END LOOP;
END $$;
SELECT plan_of($$ SELECT user_id, window_start, window_end, count(*) FROM clicks, session(at, '5 minutes')
WHERE page = 'a' AND window_end < now() GROUP BY user_id, window_start, window_end HAVING user_id > 0 $$);

-- The gap is elapsed time, also where clocks change.
SELECT window_start AT TIME ZONE 'Europe/London' AS local_start, window_end - window_start AS length, count(*)
FROM generate_series('2024-03-30 22:00'::timestamptz, '2024-03-31 22:00', '24 hours') at, session(at, '24 hours 1 second')
GROUP BY window_start, window_end;
SELECT window_start, window_end, count(*)
FROM generate_series('2024-03-30 22:00'::timestamp, '2024-03-31 22:00', '24 hours') at, session(at, '24 hours')
GROUP BY window_start, window_end ORDER BY 1;

-- The greatest distances and times there are.
SELECT window_start, window_end, count(*)
FROM (VALUES ('4713-01-01 BC'::timestamp), ('294276-12-31'), ('294276-12-31 23:59:59.999998')) v (at), session(at, '00:00:00.000001')
GROUP BY 1, 2 ORDER BY 1;

-- ---------------------------------------------------------------------------
-- Against sessions by window functions, written by hand
-- ---------------------------------------------------------------------------

CREATE FUNCTION differences(one text, other text, OUT rows bigint, OUT differing bigint) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE 'WITH one AS (' || one || '), other AS (' || other || ')
    SELECT (SELECT count(*) FROM one),
           (SELECT count(*) FROM ((TABLE one EXCEPT ALL TABLE other) UNION ALL (TABLE other EXCEPT ALL TABLE one)) d)'
    INTO rows, differing;
END $$;

-- The rows of a table with the number of their session: where the row before is missing or a gap away, one more.
CREATE FUNCTION islands(source text, gap text, key text) RETURNS text LANGUAGE sql AS $$
  SELECT format('(SELECT *, first_value(at) OVER w AS s, last_value(at) OVER w + %2$s AS e
    FROM (SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY %3$s ORDER BY at, id ROWS UNBOUNDED PRECEDING) AS n
          FROM (SELECT *, at < lag(at) OVER (PARTITION BY %3$s ORDER BY at, id) + %2$s IS NOT TRUE AS begins
                FROM %1$s WHERE at IS NOT NULL) i) i
    WINDOW w AS (PARTITION BY %3$s, n ORDER BY at, id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) i',
    source, gap, key)
$$;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

-- Random rows, several of them at one time, with a key of each kind: few values, NULL among them, and equal values that
-- differ in how they are written.
SELECT setseed(0.4711);
CREATE TABLE events AS
  SELECT id, v, at, at AT TIME ZONE 'UTC' AS local, f,
         n AS k_int4, n::int2 AS k_int2, n::int8 AS k_int8, n = 1 AS k_bool, n::small AS k_small, n::oid AS k_oid,
         n::numeric AS k_numeric_plain, CASE WHEN v % 2 = 0 THEN n ELSE n * 1.00 END AS k_numeric,
         CASE n WHEN 0 THEN CASE WHEN v % 2 = 0 THEN 0.0 ELSE '-0' END WHEN 1 THEN 'NaN' WHEN 2 THEN 'inf' ELSE n END::float8 AS k_float8,
         (n / 4.0)::float4 AS k_float4, n::text AS k_text, ('x' || n)::varchar(8) AS k_varchar, n::text::char(5) AS k_char,
         (CASE WHEN v % 2 = 0 THEN 'Key' ELSE 'kEY' END || n) COLLATE no_case AS k_no_case,
         ('n' || n)::name AS k_name, n::text::"char" AS k_char1,
         '2024-01-01'::date + n AS k_date, '2024-01-01'::timestamptz + make_interval(hours => n) AS k_timestamptz,
         '2024-01-01'::timestamp + make_interval(hours => n) AS k_timestamp, '10:00'::time + make_interval(hours => n) AS k_time,
         timetz '10:00+02' + make_interval(hours => n) AS k_timetz,
         CASE WHEN v % 2 = 0 THEN make_interval(days => n) ELSE make_interval(hours => 24 * n) END AS k_interval,
         md5(n::text)::uuid AS k_uuid, n::text::bytea AS k_bytea, ('10.0.0.' || n)::inet AS k_inet,
         ('08:00:2b:01:02:0' || n)::macaddr AS k_macaddr, n::money AS k_money, n::bit(4) AS k_bit,
         jsonb_build_object('n', n) AS k_jsonb, ARRAY[n, NULL] AS k_array, ARRAY[n::text, 'x'] AS k_text_array,
         (enum_range(NULL::mood))[n + 1] AS k_mood, (ROW(n, 'x')::pair) AS k_pair, int4range(n, n + 5) AS k_range,
         nummultirange(numrange(n, n + 1)) AS k_multirange, to_tsvector('simple', 'w' || n) AS k_tsvector,
         ('0/' || n)::pg_lsn AS k_pg_lsn, format('(0,%s)', n)::tid AS k_tid
  FROM (SELECT id, (random() * 1000)::int AS v, nullif((random() * 4)::int, 4) AS n, random() < 0.8 AS f,
               '2024-03-30 18:00'::timestamptz + (random() * 40000)::int * '1 second'::interval AS at
        FROM generate_series(1, 3000) id) r;
UPDATE events SET at = NULL, local = NULL WHERE id % 97 = 0;
ANALYZE events;

-- How many sessions there are of each, at two gaps, and how many differ.
SELECT count(*) AS kinds, min(rows) AS least, max(rows) > 1000 AS enough, sum(differing) AS differing
FROM (SELECT attname AS key FROM pg_attribute WHERE attrelid = 'events'::regclass AND attname LIKE 'k\_%') k,
     (VALUES ('20 seconds'), ('70 seconds')) g (gap),
     LATERAL (SELECT d.* FROM differences(
       format('SELECT window_start, window_end, %1$I::text COLLATE "C" <> '''' AS has_key, count(*), sum(v), min(id)
               FROM events, session(at, %2$L) GROUP BY window_start, window_end, %1$I', key, gap),
       format('SELECT s, e, %1$I::text COLLATE "C" <> '''', count(*), sum(v), min(id) FROM %3$s GROUP BY s, e, %1$I',
              key, gap, islands('events', format('interval %L', gap), quote_ident(key)))) d) d;

-- The same for named keys and each row, and for timestamps without time zone.
SELECT count(*) AS kinds, min(rows) > 2000 AS enough, sum(differing) AS differing
FROM (SELECT attname AS key FROM pg_attribute WHERE attrelid = 'events'::regclass AND attname LIKE 'k\_%') k,
     LATERAL (SELECT d.* FROM differences(
       format('SELECT id, window_start, window_end FROM events, session(local, ''60 seconds'', %I)', key),
       format('SELECT id, s, e FROM %s', islands('(SELECT id, local AS at, v, ' || quote_ident(key) || ' FROM events) x',
              'interval ''60 seconds''', quote_ident(key)))) d) d;

-- Several keys, by GROUP BY and named; no key; expressions as keys and as time; all gaps from a second to an hour.
SELECT count(*) AS gaps, min(rows) AS least, max(rows) > 1500 AS enough, sum(differing) AS differing
FROM (VALUES (1), (3), (10), (31), (90), (300), (1000), (3600)) g (s),
     LATERAL differences(
       format('SELECT window_start, window_end, k_text, v %% 3, k_no_case IS NULL, count(*) FROM events, session(at, ''%s s'')
               GROUP BY 1, 2, 3, 4, 5', s),
       format('SELECT s, e, k_text, v %% 3, k_no_case IS NULL, count(*) FROM %s GROUP BY 1, 2, 3, 4, 5',
              islands('events', format('interval ''%s s''', s), 'k_text, v % 3, k_no_case IS NULL'))) d;
SELECT count(*) AS gaps, sum(differing) AS differing
FROM (VALUES (1), (3), (10), (31)) g (s),
     LATERAL differences(
       format('SELECT id, window_start, window_end FROM events, session(at + make_interval(secs => v), ''%s s'', k_text, v %% 3)', s),
       format('SELECT id, s, e FROM %s',
              islands('(SELECT id, k_text, v, at + make_interval(secs => v) AS at FROM events) x', format('interval ''%s s''', s), 'k_text, v % 3'))) d;
SELECT count(*) AS gaps, sum(rows) > 1000 AS enough, sum(differing) AS differing
FROM (VALUES (1), (3), (10), (31)) g (s),
     LATERAL differences(
       format('SELECT window_start, window_end, count(*), sum(v) FROM events, session(at, ''%s s'') GROUP BY 1, 2', s),
       format('SELECT s, e, count(*), sum(v) FROM %s GROUP BY 1, 2', islands('events', format('interval ''%s s''', s), 'true'))) d;

-- Aggregates of all kinds.
SELECT * FROM differences(
  $$ SELECT window_start, window_end, k_int4, count(*) FILTER (WHERE f), count(DISTINCT v % 7), array_agg(v ORDER BY v DESC, id),
            string_agg(v::text, ',' ORDER BY at, id), avg(v::numeric), stddev(v), percentile_cont(0.3) WITHIN GROUP (ORDER BY v),
            mode() WITHIN GROUP (ORDER BY v % 3), rank(500) WITHIN GROUP (ORDER BY v), jsonb_object_agg(id, v), bool_or(f),
            max(window_end - at), sum(extract(epoch FROM at - window_start)) FILTER (WHERE v > 500), count(events)
     FROM events, session(at, '100 seconds') GROUP BY window_start, window_end, k_int4 HAVING count(*) > 2 $$,
  format($$ SELECT s, e, k_int4, count(*) FILTER (WHERE f), count(DISTINCT v %% 7), array_agg(v ORDER BY v DESC, id),
            string_agg(v::text, ',' ORDER BY at, id), avg(v::numeric), stddev(v), percentile_cont(0.3) WITHIN GROUP (ORDER BY v),
            mode() WITHIN GROUP (ORDER BY v %% 3), rank(500) WITHIN GROUP (ORDER BY v), jsonb_object_agg(id, v), bool_or(f),
            max(e - at), sum(extract(epoch FROM at - s)) FILTER (WHERE v > 500), count(*)
     FROM %s GROUP BY s, e, k_int4 HAVING count(*) > 2 $$, islands('events', 'interval ''100 seconds''', 'k_int4')));

-- Grouping sets, with named keys.
SELECT * FROM differences(
  $$ SELECT window_start, k_int4, f, grouping(window_start, k_int4, f), count(*), sum(v)
     FROM events, session(at, '100 seconds', k_int4) GROUP BY GROUPING SETS ((window_start, k_int4, f), (window_start, k_int4), CUBE (k_int4, f)) $$,
  format($$ SELECT s, k_int4, f, grouping(s, k_int4, f), count(*), sum(v)
     FROM %s GROUP BY GROUPING SETS ((s, k_int4, f), (s, k_int4), CUBE (k_int4, f)) $$, islands('events', 'interval ''100 seconds''', 'k_int4')));

-- A session longer than memory holds: all rows are one, or each key has one.
SET work_mem = '64kB';
SELECT * FROM differences(
  $$ SELECT window_start, window_end, k_int4, count(*) FROM events, session(at, '24 hours') GROUP BY 1, 2, 3 $$,
  $$ SELECT min(at), max(at) + interval '24 hours', k_int4, count(*) FROM events WHERE at IS NOT NULL GROUP BY 3 $$);
SELECT * FROM differences(
  $$ SELECT id, window_start, window_end FROM events, session(at, '24 hours', 1) $$,
  $$ SELECT id, min(at) OVER (), max(at) OVER () + interval '24 hours' FROM events WHERE at IS NOT NULL $$);
RESET work_mem;

-- ---------------------------------------------------------------------------
-- Everywhere in a query
-- ---------------------------------------------------------------------------

CREATE TABLE users (user_id int PRIMARY KEY, name text);
INSERT INTO users VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cid');

-- Sessions are of the rows that FROM joins and WHERE chooses, whatever the form of the join.
SELECT name, window_start, count(*) FROM clicks JOIN users USING (user_id), session(at, '5 minutes') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT name, window_start, count(*) FROM clicks c CROSS JOIN session(c.at, '5 minutes') JOIN users u ON u.user_id = c.user_id AND name < 'B'
GROUP BY 1, 2 ORDER BY 1, 2;
SELECT user_id, name, window_start, count(*) FROM users FULL JOIN clicks USING (user_id), session(at, '5 minutes')
GROUP BY user_id, name, window_start ORDER BY 1, 3;
SELECT u.user_id, u.name, window_start, count(c) FROM users u LEFT JOIN clicks c USING (user_id), session(coalesce(at, '2024-05-01'), '5 minutes')
GROUP BY u.user_id, window_start ORDER BY 1, 3;

-- Subqueries, WITH, correlation in both directions, a gap from a subquery.
WITH c AS (SELECT * FROM clicks WHERE page <> 'c'), g AS MATERIALIZED (SELECT interval '5 minutes' AS gap)
SELECT user_id, window_start, count(*), (SELECT count(*) FROM c other WHERE other.at >= window_start AND other.at < window_end) AS all_users
FROM c, session(at, (SELECT gap FROM g)) WHERE user_id IN (SELECT user_id FROM c WHERE page = 'b')
GROUP BY 1, 2, window_end ORDER BY 1, 2;
WITH s AS (SELECT user_id, window_start, count(*) AS n FROM clicks, session(at, '5 minutes') GROUP BY 1, 2)
SELECT a.user_id, a.n, b.n FROM s a LEFT JOIN s b ON b.user_id = a.user_id AND b.window_start > a.window_start ORDER BY 1, 2, 3;
SELECT name, (SELECT count(DISTINCT window_start) FROM clicks c, session(at, '5 minutes', c.user_id) WHERE c.user_id = users.user_id) FROM users ORDER BY 1;
SELECT name, s.* FROM users, LATERAL (SELECT window_start, max(name || page) FROM clicks c, session(at, length(name) * interval '100 s')
                                      WHERE c.user_id = users.user_id GROUP BY 1) s ORDER BY 1, 2;
SELECT name FROM users WHERE EXISTS (SELECT FROM clicks c, session(at, '5 minutes') WHERE c.user_id = users.user_id GROUP BY window_start HAVING count(*) > 2);
SELECT gap, (SELECT count(*) FROM (SELECT FROM clicks, session(at, gap) GROUP BY user_id, window_start) s)
FROM (VALUES ('1 second'::interval), ('5 minutes'), ('1 hour')) g (gap);
SELECT window_start, count(*) FROM clicks, session(at, '5 minutes') GROUP BY 1
UNION ALL SELECT window_start, count(*) FROM clicks, session(at, '1 hour') GROUP BY 1 ORDER BY 1, 2;

-- Sessions of sessions: each level has its own.
SELECT window_start, window_end, sum(n), array_agg(user_id ORDER BY user_id) AS users
FROM (SELECT user_id, window_start AS begins, count(*) AS n FROM clicks, session(at, '5 minutes') GROUP BY 1, 2) s, session(begins, '10 minutes')
GROUP BY 1, 2 ORDER BY 1;

-- Above them all that a SELECT has.
SELECT DISTINCT ON (user_id) user_id, window_start, count(*) AS n, sum(count(*)) OVER (PARTITION BY user_id) AS all_rows
FROM clicks, session(at, '5 minutes') WHERE user_id IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2 LIMIT 5;
SELECT user_id, generate_series(1, count(*)) FROM clicks, session(at, '5 minutes') WHERE page = 'a' GROUP BY user_id, window_start ORDER BY 1, 2;

-- Whole rows and system columns of the tables.
SELECT min(c::text) AS row, min(c.ctid), c.tableoid::regclass, c.user_id FROM clicks c, session(at, '5 minutes') GROUP BY 3, 4, window_start ORDER BY 4, 1;

-- Prepared, with a plan for any parameters, and with one for these; in a cursor; in functions; in commands.
SET plan_cache_mode = force_generic_plan;
PREPARE sessions (interval, text) AS
  SELECT user_id, window_start, count(*) FROM clicks, session(at, $1) WHERE page <> $2 GROUP BY 1, 2 ORDER BY 1, 2;
EXECUTE sessions ('5 minutes', 'c');
EXECUTE sessions ('1 hour', 'b');
EXECUTE sessions ('-1 hour', 'b');
EXECUTE sessions ('1 day', 'b');
EXECUTE sessions (NULL, 'b');
RESET plan_cache_mode;
EXECUTE sessions ('1 hour', 'b');
DEALLOCATE sessions;

BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT user_id, window_start FROM clicks, session(at, '5 minutes', user_id) WHERE page = 'a' ORDER BY 1, 2;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
COMMIT;

CREATE FUNCTION sessions_of(id int, gap interval) RETURNS TABLE (s timestamptz, n bigint) LANGUAGE sql STABLE
  AS 'SELECT window_start, count(*) FROM clicks, session(at, gap) WHERE user_id = id GROUP BY 1';
SELECT plan_of($$ SELECT * FROM sessions_of(1, '5 minutes') $$);
SELECT * FROM users, sessions_of(user_id, '5 minutes') ORDER BY user_id, s;
ALTER FUNCTION sessions_of STRICT;
SELECT * FROM sessions_of(1, '5 minutes') ORDER BY s;

CREATE TABLE kept AS SELECT user_id, window_start, count(*) AS n FROM clicks, session(at, '5 minutes') GROUP BY 1, 2;
INSERT INTO kept SELECT user_id, window_start, count(*) FROM clicks, session(at, '1 hour') GROUP BY 1, 2;
UPDATE kept SET n = -s.n FROM (SELECT user_id, window_start, count(*) AS n FROM clicks, session(at, '5 minutes') GROUP BY 1, 2) s
WHERE kept.user_id = s.user_id AND kept.window_start = s.window_start AND kept.n = s.n;
SELECT * FROM kept ORDER BY 1, 2, 3;
COPY (SELECT user_id, window_start, count(*) FROM clicks, session(at, '5 minutes') GROUP BY 1, 2 ORDER BY 1, 2) TO stdout;

-- A view shows what was written, and depends on the function.
CREATE VIEW user_sessions AS
  SELECT window_start, window_end, user_id, count(*) AS n FROM clicks, session(at, '5 minutes') GROUP BY window_start, window_end, user_id;
SELECT pg_get_viewdef('user_sessions');
SELECT * FROM user_sessions WHERE user_id = 2;
CREATE MATERIALIZED VIEW user_sessions_kept AS SELECT * FROM user_sessions;
INSERT INTO clicks VALUES (2, 'd', '2024-05-01 12:07');
REFRESH MATERIALIZED VIEW user_sessions_kept;
SELECT * FROM user_sessions_kept WHERE user_id = 2;

-- Rows of a stream, of partitions, and behind row-level security, read by who may.
CREATE TABLE days (user_id int, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE day1 PARTITION OF days FOR VALUES FROM ('2024-05-01') TO ('2024-05-02') USING stream;
CREATE TABLE day2 PARTITION OF days FOR VALUES FROM ('2024-05-02') TO ('2024-05-03') USING stream;
INSERT INTO days VALUES (1, '2024-05-01 23:58'), (1, '2024-05-02 00:01'), (2, '2024-05-02 00:01');
SELECT user_id, window_start, window_end FROM days, session(at, '5 minutes') GROUP BY 1, 2, 3 ORDER BY 1, 2;
SELECT user_id, window_start, window_end FROM days, session(at, '5 minutes') WHERE at >= '2024-05-02' GROUP BY 1, 2, 3 ORDER BY 1, 2;

-- Sessions of a continuous view's windows: minutes with rows, less than three apart.
INSERT INTO days SELECT 3, '2024-05-01 12:00'::timestamptz + make_interval(mins => m) FROM unnest(ARRAY[0, 0, 2, 4, 7, 9, 9, 12]) m;
SELECT streamfuse.set_watermark('days', 'at');
CREATE MATERIALIZED VIEW minutes WITH (streamfuse.continuous) AS
  SELECT window_start AS minute, count(*) AS n FROM days, tumble(at, '1 minute') GROUP BY window_start, window_end;
SELECT streamfuse.flush('minutes');
SELECT window_start, window_end, sum(n) AS rows, count(*) AS minutes FROM minutes, session(minute, '3 minutes') GROUP BY 1, 2 ORDER BY 1;
DROP MATERIALIZED VIEW minutes;

CREATE ROLE regress_session;
SET ROLE regress_session;
SELECT count(*) FROM clicks, session(at, '5 minutes') GROUP BY user_id, window_start;
RESET ROLE;
GRANT SELECT (user_id, at) ON clicks TO regress_session;
ALTER TABLE clicks ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON clicks TO regress_session USING (user_id = (SELECT 2));
SET ROLE regress_session;
SELECT user_id, window_start, count(*) FROM clicks, session(at, '5 minutes') GROUP BY user_id, window_start;
SELECT user_id, window_start, count(page) FROM clicks, session(at, '5 minutes') GROUP BY user_id, window_start;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION session(timestamptz, interval) FROM PUBLIC;
SET ROLE regress_session;
SELECT user_id, window_start, count(*) FROM clicks, session(at, '5 minutes') GROUP BY user_id, window_start;
RESET ROLE;
GRANT EXECUTE ON FUNCTION session(timestamptz, interval) TO PUBLIC;
DROP OWNED BY regress_session;
DROP ROLE regress_session;

-- ---------------------------------------------------------------------------
-- What is refused
-- ---------------------------------------------------------------------------

DO $$
DECLARE
  query text;
  state text;
  message text;
  detail text;
  hint text;
BEGIN
  FOREACH query IN ARRAY ARRAY[
    -- Gaps and times.
    $q$FROM clicks, session(at, '0') GROUP BY window_start$q$,
    $q$FROM clicks, session(at, '-5 minutes') GROUP BY window_start$q$,
    $q$FROM clicks, session(at, '1 day') GROUP BY window_start$q$,
    $q$FROM clicks, session(at, '1 month -30 days') GROUP BY window_start$q$,
    $q$FROM clicks, session(at, NULL) GROUP BY window_start$q$,
    $q$FROM clicks, session(at, user_id * interval '1 minute') GROUP BY window_start$q$,
    $q$FROM clicks, session(at, random() * interval '1 minute') GROUP BY window_start$q$,
    $q$FROM (VALUES ('infinity'::timestamptz)) v (at), session(at, '1 minute') GROUP BY window_start$q$,
    $q$FROM (VALUES ('2024-05-01'), ('-infinity'::timestamp)) v (at), session(at, '1 minute') GROUP BY window_end$q$,
    $q$FROM (VALUES ('294276-12-31 23:59'::timestamptz)) v (at), session(at, '1 minute') GROUP BY window_end$q$,
    -- Where there is nothing to say what the keys are.
    $q$FROM clicks, session(at, '5 minutes')$q$,
    $q$DISTINCT user_id, window_start FROM clicks, session(at, '5 minutes')$q$,
    $q$count(*) FROM clicks, session(at, '5 minutes')$q$,
    $q$FROM clicks, session(at, '5 minutes') GROUP BY ROLLUP (user_id, window_start)$q$,
    $q$FROM clicks, session(at, '5 minutes') GROUP BY ()$q$,
    $q$FROM clicks, session(at, '5 minutes') GROUP BY at - window_start$q$,
    -- Keys that cannot be.
    $q$FROM clicks, session(at, '5 minutes') GROUP BY random(), window_start$q$,
    $q$FROM clicks, session(at, '5 minutes', random())$q$,
    $q$unnest(ARRAY[page]) FROM clicks, session(at, '5 minutes') GROUP BY 1, window_start$q$,
    $q$FROM clicks, session(at, '5 minutes') GROUP BY user_id::text::xid, window_start$q$,
    $q$FROM clicks, session(at, '5 minutes', user_id::text::xid)$q$,
    $q$FROM clicks, session(at, '5 minutes', json_build_object())$q$,
    -- Where it cannot stand.
    $q$session(at, '5 minutes') FROM clicks$q$,
    $q$session(NULL::timestamp, NULL)$q$,
    $q$FROM session(now(), '5 minutes', 1)$q$,
    $q$FROM clicks, LATERAL (SELECT FROM session(clicks.at, '5 minutes') GROUP BY window_start) s$q$,
    $q$FROM clicks, users, LATERAL (SELECT FROM users, session(clicks.at, '5 minutes') GROUP BY window_start) s$q$,
    $q$FROM clicks, ROWS FROM (session(at, '5 minutes'), generate_series(1, 2)) s$q$,
    $q$FROM clicks, session(at, '5 minutes') WITH ORDINALITY s$q$,
    $q$FROM clicks LEFT JOIN session(at, '5 minutes') ON true GROUP BY window_start$q$,
    $q$FROM (clicks CROSS JOIN session(at, '5 minutes')) LEFT JOIN users USING (user_id) GROUP BY window_start$q$,
    $q$FROM clicks, session(at, '5 minutes') s, session(at, '1 hour') t GROUP BY s.window_start, t.window_start$q$,
    $q$FROM clicks, session(at, '5 minutes') s, session(s.window_start, '1 hour') t GROUP BY s.window_start, t.window_start$q$,
    $q$FROM clicks, session(at, '5 minutes'), generate_series(window_start, window_end, '1 minute') GROUP BY window_start$q$,
    $q$FROM clicks, session(at, '5 minutes') s, LATERAL (SELECT s.window_start) t GROUP BY s.window_start$q$,
    $q$s FROM clicks, session(at, '5 minutes') s GROUP BY s$q$,
    $q$FROM clicks, session(at, '5 minutes', user_id) FOR UPDATE OF clicks$q$
  ]
  LOOP
    BEGIN
      EXECUTE 'SELECT ' || query;
      RAISE INFO '%: no error', query;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT;
      RAISE INFO '%', concat_ws(E'\n   ', query, state || ' ' || message, nullif(detail, ''), nullif(hint, ''));
    END;
  END LOOP;
END $$;

UPDATE users SET name = window_start FROM clicks, session(at, '5 minutes', clicks.user_id);
DELETE FROM users USING clicks, session(at, '5 minutes', clicks.user_id);

DROP TABLE clicks, users, events, kept, days CASCADE;
DROP FUNCTION sessions_of, differences, islands, plan_of;
DROP TYPE mood, pair, small;
DROP COLLATION no_case;
