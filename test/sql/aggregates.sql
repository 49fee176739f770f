-- streamfuse.first, last and last_n: values of the rows that come first or last by another argument, in a bounded state.
-- count_by and sum_by: a number for each key, as a jsonb object.  Each answer is that of plain SQL.
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;

-- Ties in ts are frequent, there are nulls on both sides, and values that are equal but look different.
CREATE TABLE readings (id int, sensor int, ts timestamptz, value numeric, note text, status text, mood json);
INSERT INTO readings
SELECT g, g % 7, CASE WHEN g % 13 > 0 THEN timestamptz '2026-01-01' + g * 7919 % 500 * interval '1 min' END,
  CASE WHEN g % 11 > 0 THEN g % 17 * 1.0 END, CASE WHEN g % 5 > 0 THEN repeat('n' || g % 29, 1 + g % 3 * 1000) END,
  CASE WHEN g % 9 > 0 THEN 's' || g % 4 END, to_json(g % 3)
FROM generate_series(1, 20000) g ORDER BY hashint4(g);
ANALYZE readings;

-- What the aggregates answer, and what plain SQL does.
CREATE VIEW found AS
SELECT sensor, streamfuse.first(value, ts) AS first, streamfuse.last(value, ts) AS last,
  md5(streamfuse.first(note, ts)) AS first_note, md5(streamfuse.last(note, ts)) AS last_note,
  streamfuse.last_n(value, ts, 5) AS last_values, md5(streamfuse.last_n(note, ts, 300)::text) AS last_notes,
  streamfuse.last_n(id, id, 3) AS last_ids, streamfuse.first(id, value) AS by_value, streamfuse.last(ts, ts) AS latest,
  streamfuse.first(ts::date, ts::timestamp) FILTER (WHERE value > 3) AS first_day,
  streamfuse.count_by(status) AS counts, streamfuse.sum_by(status, value) AS sums, streamfuse.sum_by(note, id) AS many
FROM readings GROUP BY sensor;
CREATE TEMP TABLE expected AS
SELECT sensor, (array_agg(value ORDER BY ts, value) FILTER (WHERE ts IS NOT NULL))[1] AS first,
  (array_agg(value ORDER BY ts DESC, value DESC) FILTER (WHERE ts IS NOT NULL))[1] AS last,
  md5((array_agg(note ORDER BY ts, note) FILTER (WHERE ts IS NOT NULL))[1]) AS first_note,
  md5((array_agg(note ORDER BY ts DESC, note DESC) FILTER (WHERE ts IS NOT NULL))[1]) AS last_note,
  (SELECT array_agg(value ORDER BY ts, value) FROM
    (SELECT ts, value FROM readings WHERE sensor = r.sensor AND ts IS NOT NULL ORDER BY ts DESC, value DESC LIMIT 5) l) AS last_values,
  (SELECT md5(array_agg(note ORDER BY ts, note)::text) FROM
    (SELECT ts, note FROM readings WHERE sensor = r.sensor AND ts IS NOT NULL ORDER BY ts DESC, note DESC LIMIT 300) l) AS last_notes,
  (SELECT array_agg(id ORDER BY id) FROM
    (SELECT id FROM readings WHERE sensor = r.sensor ORDER BY id DESC LIMIT 3) l) AS last_ids,
  (array_agg(id ORDER BY value, id))[1] AS by_value, max(ts) AS latest,
  (min(ts) FILTER (WHERE value > 3))::date AS first_day,
  (SELECT jsonb_object_agg(status, n) FROM
    (SELECT status, count(*) AS n FROM readings WHERE sensor = r.sensor AND status IS NOT NULL GROUP BY status) s) AS counts,
  (SELECT jsonb_object_agg(status, v) FROM
    (SELECT status, sum(value) AS v FROM readings WHERE sensor = r.sensor AND status IS NOT NULL GROUP BY status) s) AS sums,
  (SELECT jsonb_object_agg(note, v) FROM
    (SELECT note, sum(id) AS v FROM readings WHERE sensor = r.sensor AND note IS NOT NULL GROUP BY note) s) AS many
FROM readings r GROUP BY sensor;
SELECT count(*) AS rows, count(*) FILTER (WHERE f::text = e::text) AS same FROM found f FULL JOIN expected e USING (sensor);
SELECT sensor, first, last, last_values, last_ids, first_day, counts, sums FROM found WHERE sensor < 2 ORDER BY sensor;

-- In parallel, where states are serialised and combined.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT streamfuse.last(value, ts), streamfuse.last_n(value, ts, 5), streamfuse.sum_by(status, value) FROM readings;
CREATE TEMP TABLE in_parallel AS SELECT * FROM found;
SELECT count(*) AS rows, count(*) FILTER (WHERE p::text = e::text) AS same FROM in_parallel p FULL JOIN expected e USING (sensor);
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- As window functions, whose frames grow.
SELECT id, streamfuse.last(id, value) OVER w AS last, streamfuse.last_n(id, value, 2) OVER w AS last_two, streamfuse.count_by(status) OVER w AS counts
FROM readings WHERE id <= 6 WINDOW w AS (ORDER BY id) ORDER BY id;

-- The input order does not show: equal values that look different, and types without an order.
SELECT streamfuse.first(v, 1), streamfuse.last(v, 1), streamfuse.last_n(v, 1, 9) FROM (VALUES (1.0), (1.00), (1), (NULL)) t (v);
SELECT streamfuse.first(v, 1), streamfuse.last(v, 1), streamfuse.last_n(v, 1, 9) FROM (VALUES (NULL), (1), (1.00), (1.0)) t (v);
SELECT streamfuse.last_n(mood, 1, 2)::text, streamfuse.first(mood, 1)::text FROM (SELECT mood FROM readings ORDER BY id DESC LIMIT 50) r;
SELECT streamfuse.last_n(mood, 1, 2)::text, streamfuse.first(mood, 1)::text FROM (SELECT mood FROM readings ORDER BY id LIMIT 50) r;
SELECT streamfuse.last(v, ts COLLATE "C"), streamfuse.first(r, ts) FROM (VALUES (1, 'a', (1, NULL)), (2, 'B', (2, 'x'))) t (v, ts, r);

-- No rows, only nulls, keys that are not text, numbers that JSON does not have.
SELECT streamfuse.first(value, ts), streamfuse.last_n(value, ts, 3), streamfuse.count_by(status), streamfuse.sum_by(status, value)
FROM readings WHERE false;
SELECT streamfuse.first(1, NULL::timestamptz), streamfuse.last(NULL::int, 1), streamfuse.last_n(NULL::int, 1, 3), streamfuse.count_by(NULL),
  streamfuse.sum_by('a', NULL), streamfuse.sum_by(NULL, 1);
SELECT streamfuse.count_by(sensor::text), streamfuse.count_by('') FROM readings;
SELECT streamfuse.sum_by(k, v), streamfuse.sum_by(k, v) = (SELECT jsonb_object_agg(k, s) FROM (SELECT k, sum(v) AS s FROM (VALUES
  ('nan', 'NaN'), ('inf', 'Infinity'), ('inf', 1), ('minus', '-Infinity'), ('both', 'Infinity'), ('both', '-Infinity'), ('scale', 1.50), ('scale', 2)) x (k, v)
  GROUP BY k) x) AS same
FROM (VALUES ('nan', 'NaN'), ('inf', 'Infinity'), ('inf', 1), ('minus', '-Infinity'), ('both', 'Infinity'), ('both', '-Infinity'), ('scale', 1.50), ('scale', 2)) t (k, v);

-- Bounds.
SELECT array_length(streamfuse.last_n(id, ts, 1000), 1) FROM readings;
SELECT streamfuse.last_n(id, ts, 1001) FROM readings;
SELECT streamfuse.last_n(id, ts, 0) FROM readings;
SELECT streamfuse.last_n(id, ts, NULL) FROM readings;
SELECT streamfuse.last_n(id, ts, sensor + 1) FROM readings;
SELECT sensor, streamfuse.last_n(id, id, sensor + 1) FROM readings GROUP BY sensor HAVING sensor < 3 ORDER BY sensor;
SELECT streamfuse.last_n(id, ts, id) OVER (ORDER BY id) FROM readings;
SELECT streamfuse.last(id, point(1, id)) FROM readings;
SELECT jsonb_array_length(jsonb_path_query_array(streamfuse.count_by(g::text), '$.keyvalue()')) FROM generate_series(1, 10000) g;
SELECT streamfuse.count_by(g::text) FROM generate_series(1, 10001) g;
SELECT streamfuse.sum_by(g::text, g) FROM generate_series(10001, 1, -1) g;

-- In a continuous view.
CREATE TABLE live_readings (LIKE readings, at timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('live_readings', 'at', delay => '1 hour');
CREATE MATERIALIZED VIEW latest WITH (streamfuse.continuous) AS
SELECT window_start, sensor, streamfuse.first(value, ts) AS first, streamfuse.last(note, ts) AS last,
  streamfuse.last_n(value, ts, 3) AS last_values, streamfuse.last(id, ts) FILTER (WHERE value > 3) AS large, streamfuse.last_n(status, id, 20) AS statuses,
  streamfuse.count_by(status) AS counts, streamfuse.sum_by(status, value) AS sums, streamfuse.count_by(DISTINCT status) AS once,
  streamfuse.last_n(DISTINCT value, value, 3) AS greatest
FROM live_readings, tumble(at, '1 hour') GROUP BY window_start, window_end, sensor;
CREATE MATERIALIZED VIEW overlapping WITH (streamfuse.continuous) AS
SELECT window_start, sensor % 2 AS sensor, streamfuse.first(value, ts) AS first, streamfuse.last(note, ts) AS last,
  streamfuse.last_n(value, ts, 3) AS last_values, streamfuse.count_by(status) AS counts, streamfuse.sum_by(status, value) AS sums
FROM live_readings, hop(at, '1 hour', '10 minutes') GROUP BY window_start, window_end, sensor % 2;
CREATE FUNCTION differences() RETURNS TABLE (view regclass, different bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM streamfuse.flush();
  FOREACH view IN ARRAY '{latest,overlapping}'::regclass[] LOOP
    EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT ALL (%2$s)) UNION ALL ((%2$s) EXCEPT ALL TABLE %1$s)) d',
      view, rtrim(pg_get_viewdef(view), ';')) INTO different;
    RETURN NEXT;
  END LOOP;
END $$;
INSERT INTO live_readings SELECT *, timestamptz '2026-01-01' + id * interval '7 s' FROM readings WHERE id <= 2000;
SELECT * FROM differences();
INSERT INTO live_readings SELECT *, timestamptz '2026-01-01' + id * interval '7 s' FROM readings WHERE id BETWEEN 2001 AND 2400;
SELECT * FROM differences();
SELECT streamfuse.checkpoint();
INSERT INTO live_readings SELECT *, timestamptz '2026-01-01' + id * interval '7 s' FROM readings WHERE id BETWEEN 2401 AND 3000;
SELECT * FROM differences();
SELECT (SELECT count(*) FROM latest_closed) AS closed, (SELECT count(*) FROM latest) AS all;
SELECT * FROM streamfuse.verify('latest');

-- A worker that takes over has the states.
SELECT pg_terminate_backend(pid, 60000) FROM streamfuse.stat_workers WHERE datname = current_database();
INSERT INTO live_readings SELECT *, timestamptz '2026-01-01' + id * interval '7 s' FROM readings WHERE id BETWEEN 3001 AND 3100;
SELECT * FROM differences();

DROP TABLE live_readings CASCADE;
DROP FUNCTION differences;
DROP TABLE readings CASCADE;
