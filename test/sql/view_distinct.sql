-- Aggregates with DISTINCT keep a set: a value that has been seen costs a look-up and nothing else.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE site AS (city text, zip int);
CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE visits (id int, big bigint, small smallint, real8 float8, amount numeric, note text, nick text COLLATE ci, feeling mood, day date, place site,
  tags int[], doc jsonb, addr inet, flag bool, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('visits', 'event_time', delay => '1 hour');
CREATE FUNCTION fill(first int, last int) RETURNS void LANGUAGE sql AS $$
  INSERT INTO visits SELECT g, nullif(g % 211, 3) * 10000000000, g % 7 - 3, CASE g % 5 WHEN 0 THEN float8 '-0' WHEN 1 THEN 0 WHEN 2 THEN 'NaN' WHEN 3 THEN NULL ELSE g % 31 END,
    (ARRAY['1', '1.0', '1.00', '-7.5', 'NaN', NULL])[1 + g % 6]::numeric, (ARRAY['a', 'b', NULL, '', repeat('long ', 200)])[1 + g % 5] || (g % 97), (ARRAY['a', 'A', 'b', 'B'])[1 + g % 4],
    (ARRAY['sad', 'ok', 'happy', NULL])[1 + g % 4]::mood, DATE '2026-01-01' + g % 11, ROW('city' || (g % 3), nullif(g % 4, 0))::site, ARRAY[g % 3, NULL], jsonb_build_object('k', g % 9),
    ('10.0.0.' || g % 13)::inet, CASE g % 3 WHEN 0 THEN true WHEN 1 THEN false END, timestamptz '2026-01-01 00:00+00' + g * interval '11 seconds' FROM generate_series(first, last) AS g $$;

-- Of each type, with nulls, and of values that are equal and look different.
CREATE MATERIALIZED VIEW types WITH (streamfuse.continuous) AS
SELECT count(DISTINCT id) AS ids, count(DISTINCT big) AS bigs, count(DISTINCT small) AS smalls, count(DISTINCT real8) AS reals, count(DISTINCT amount) AS amounts,
  count(DISTINCT note) AS notes, count(DISTINCT nick) AS nicks, count(DISTINCT feeling) AS feelings, count(DISTINCT day) AS days, count(DISTINCT place) AS places,
  count(DISTINCT tags) AS tags, count(DISTINCT doc) AS docs, count(DISTINCT addr) AS addrs, count(DISTINCT flag) AS flags, count(DISTINCT event_time) AS times,
  count(DISTINCT (small, feeling)) AS pairs, count(DISTINCT NULL::int) AS nothing, count(DISTINCT 1) AS one FROM visits;
-- Those that ask for the same set share it; one with a condition has its own.
CREATE MATERIALIZED VIEW shared WITH (streamfuse.continuous) AS
SELECT window_start, flag, count(DISTINCT big) AS n, sum(DISTINCT big) AS total, avg(DISTINCT big) AS mean, min(DISTINCT big) AS least, array_agg(DISTINCT big) AS list,
  count(DISTINCT big) FILTER (WHERE id % 2 = 0) AS n_even, sum(DISTINCT big) FILTER (WHERE id % 2 = 0) AS total_even, sum(big) FILTER (WHERE id % 2 = 0) AS sum_even,
  string_agg(DISTINCT note, ',' ORDER BY note DESC) AS notes
FROM visits, tumble(event_time, '1 hour') GROUP BY window_start, window_end, flag;
-- Sets of panes are put together, also while their windows are open.
CREATE MATERIALIZED VIEW sliding WITH (streamfuse.continuous) AS
SELECT window_start, window_end, small, count(DISTINCT big) AS bigs, count(DISTINCT note) AS notes, count(DISTINCT id) AS ids, sum(DISTINCT amount)::float8 AS amounts
FROM visits, hop(event_time, '1 hour', '5 minutes') GROUP BY window_start, window_end, small;
-- A type that cannot be hashed: values are sorted now and then.
CREATE MATERIALIZED VIEW sorted WITH (streamfuse.continuous) AS
SELECT count(DISTINCT array_to_tsvector(ARRAY['x' || (id % 20)::text])) AS vectors, count(DISTINCT id % 20) AS n FROM visits;
SELECT streamfuse.flush('visits');
SELECT * FROM types;
SELECT fill(1, 3000);
SELECT streamfuse.flush('visits');
SELECT * FROM types;
SELECT * FROM sorted;
SELECT view, count(*) FROM (VALUES ('types'::regclass), ('shared'), ('sliding'), ('sorted')) AS v (view), streamfuse.verify(view) GROUP BY view;
-- What has been seen takes no more memory.
CREATE TABLE before AS SELECT view, bytes FROM streamfuse.stat_views WHERE view = 'types'::regclass;
INSERT INTO visits SELECT v.* FROM visits v, generate_series(1, 5) WHERE v.event_time > '2026-01-01 05:00+00';
SELECT streamfuse.flush('visits');
SELECT s.bytes - b.bytes AS more FROM streamfuse.stat_views s JOIN before b USING (view);
SELECT fill(3001, 20000);
SELECT streamfuse.flush('visits');
SELECT ids, notes, times FROM types;
SELECT view, count(*) FROM (VALUES ('types'::regclass), ('shared'), ('sliding'), ('sorted')) AS v (view), streamfuse.verify(view) GROUP BY view;
SELECT count(*) > 100 AS closed FROM shared_closed;

-- A row that fails behind its set is taken out of it.
CREATE FUNCTION picky(bigint, int) RETURNS bigint IMMUTABLE STRICT LANGUAGE plpgsql AS $$ BEGIN IF $2 % 3 = 0 THEN RAISE 'not this one'; END IF; RETURN $1 + $2; END $$;
CREATE FUNCTION picky_combine(bigint, bigint) RETURNS bigint IMMUTABLE STRICT LANGUAGE sql RETURN $1 + $2;
CREATE AGGREGATE picky(int) (SFUNC = picky, STYPE = bigint, INITCOND = '0', COMBINEFUNC = picky_combine);
CREATE MATERIALIZED VIEW failing WITH (streamfuse.continuous, streamfuse.on_error = 'skip') AS
SELECT small, count(DISTINCT id) AS ids, count(DISTINCT 'id ' || id::text) AS texts, count(DISTINCT big) AS bigs, count(*) AS n, picky(id) AS total FROM visits WHERE id > 15000 GROUP BY small;
SELECT streamfuse.flush('failing');
SELECT ids, texts, n, total FROM failing ORDER BY small;
SELECT rows_failed FROM streamfuse.stat_views WHERE view = 'failing'::regclass;
SELECT * FROM streamfuse.verify('failing');
-- The same rows come again, the rest of those that failed among them.
INSERT INTO visits SELECT * FROM visits WHERE id > 15000;
SELECT streamfuse.flush('failing');
SELECT ids, texts, n, total FROM failing ORDER BY small;
SELECT * FROM streamfuse.verify('failing');
DROP TABLE before;
DROP TABLE visits CASCADE;
DROP AGGREGATE picky(int);
DROP FUNCTION picky, picky_combine, fill;
DROP TYPE mood, site;
DROP COLLATION ci;
