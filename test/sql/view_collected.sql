-- Aggregates that keep their inputs: any aggregate of PostgreSQL may stand in a continuous view.  Every view here is
-- compared with its own query, run as a batch over the stream.
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE place AS (city text, zip int);
CREATE TABLE facts (id int, shop int, price numeric(12,2), real8 float8, note text COLLATE "C", long text, feeling mood,
  doc jsonb, tags text[], site place, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('facts', 'event_time', delay => '10 minutes');

-- Rows in which the view and the batch form of its query differ, and those that verify() finds.  Groups are hashed, so
-- that the batch form sees the rows of a group in the order in which they are stored.
CREATE FUNCTION differences(view regclass, OUT rows bigint, OUT batch bigint, OUT verify bigint) LANGUAGE plpgsql
SET enable_sort = off SET jit = off AS $$
DECLARE
  query text := rtrim(pg_get_viewdef(view), ';');
BEGIN
  PERFORM streamfuse.flush(view);
  EXECUTE format('SELECT count(*) FROM %s', view) INTO rows;
  EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT ALL (%2$s)) UNION ALL ((%2$s) EXCEPT ALL TABLE %1$s)) d',
                 view, query) INTO batch;
  SELECT count(*) INTO verify FROM streamfuse.verify(view);
END $$;

-- Without ORDER BY, in the order in which the rows are stored.
CREATE MATERIALIZED VIEW as_they_came WITH (streamfuse.continuous) AS
SELECT window_start, shop, array_agg(id) AS ids, array_agg(note) AS notes, array_agg(tags) FILTER (WHERE tags IS NOT NULL) AS all_tags,
  array_agg(site) AS sites, string_agg(note, ',') AS list, string_agg(note, left(long, 1)) AS list_of_lists, jsonb_agg(doc) AS docs,
  json_agg(price)::text AS prices, jsonb_object_agg(id, price) AS by_id, json_object_agg(id, feeling)::text AS feelings,
  xmlagg(xmlelement(name note, note))::text AS notes_xml, md5(string_agg(long, '')) AS long, array_agg(event_time) AS times
FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end, shop;

-- ORDER BY.
CREATE MATERIALIZED VIEW sorted WITH (streamfuse.continuous) AS
SELECT window_start, array_agg(id ORDER BY id DESC) AS down, array_agg(id ORDER BY note, price DESC NULLS LAST, id) AS by_note,
  string_agg(note, '/' ORDER BY note COLLATE "und-x-icu", id) AS notes, sum(real8 ORDER BY id) AS floats,
  jsonb_agg(doc ORDER BY feeling DESC, id) AS docs, array_agg(id * 2 ORDER BY shop, id) FILTER (WHERE id % 3 > 0) AS some
FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end;

-- DISTINCT.
CREATE MATERIALIZED VIEW different WITH (streamfuse.continuous) AS
SELECT window_start, count(DISTINCT shop) AS shops, count(DISTINCT note) AS notes, sum(DISTINCT price) AS prices,
  array_agg(DISTINCT feeling) AS feelings, array_agg(DISTINCT note ORDER BY note DESC) AS notes_down, avg(DISTINCT real8) AS mean,
  string_agg(DISTINCT note, '; ' ORDER BY note) AS list, count(DISTINCT (shop, note)) AS pairs, count(DISTINCT site) AS sites,
  count(DISTINCT doc) FILTER (WHERE shop = 1) AS docs, count(DISTINCT md5(long)) AS texts, bool_or(DISTINCT id > 100) AS any_late
FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end;

-- Ordered sets and hypothetical rows.  Direct arguments may be of the group's key.
CREATE MATERIALIZED VIEW ranked WITH (streamfuse.continuous) AS
SELECT window_start, shop, percentile_cont(0.5) WITHIN GROUP (ORDER BY real8) AS median,
  percentile_cont(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY real8 DESC) AS quartiles,
  percentile_disc(0.9) WITHIN GROUP (ORDER BY price) AS dear, percentile_disc(shop / 4.0) WITHIN GROUP (ORDER BY id) AS by_key,
  mode() WITHIN GROUP (ORDER BY note) AS usual, rank(shop * 10.0) WITHIN GROUP (ORDER BY price) AS rank,
  dense_rank(2, 'b') WITHIN GROUP (ORDER BY shop DESC, note) AS dense, cume_dist(20) WITHIN GROUP (ORDER BY price) AS cume,
  percent_rank(1.5) WITHIN GROUP (ORDER BY real8) FILTER (WHERE id % 2 = 0) AS percent,
  rank(shop) WITHIN GROUP (ORDER BY id) FILTER (WHERE false) AS rank_in_none
FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end, shop;

-- Of one's own: in SQL, PL/pgSQL and C.
CREATE AGGREGATE own_array(anynonarray) (SFUNC = array_agg_transfn, STYPE = internal, FINALFUNC = array_agg_finalfn, FINALFUNC_EXTRA);
CREATE FUNCTION nth_final(int[], int) RETURNS int IMMUTABLE LANGUAGE sql
  AS $$ SELECT v FROM unnest($1) v ORDER BY v OFFSET $2 LIMIT 1 $$;
CREATE AGGREGATE nth(int ORDER BY int) (SFUNC = array_append, STYPE = int[], FINALFUNC = nth_final);
CREATE FUNCTION alternate(numeric, numeric) RETURNS numeric IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN $2 - coalesce($1, 0); END $$;
CREATE AGGREGATE alternating(numeric) (SFUNC = alternate, STYPE = numeric);
CREATE MATERIALIZED VIEW own WITH (streamfuse.continuous) AS
SELECT window_start, own_array(id ORDER BY id) AS ids, own_array(DISTINCT note) AS notes, nth(3) WITHIN GROUP (ORDER BY id) AS fourth,
  alternating(price ORDER BY id) AS zigzag, alternating(DISTINCT shop) AS shops
FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end;

-- Above the aggregates, and beside others.
CREATE MATERIALIZED VIEW mixed WITH (streamfuse.continuous) AS
SELECT window_start, count(*) AS n, sum(price) AS total, cardinality(array_agg(id)) + 1 AS more,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY real8) - avg(real8) AS skew, max(note) AS last
FROM facts, tumble(event_time, '1 hour') WHERE id % 5 > 0 GROUP BY window_start, window_end
HAVING count(DISTINCT shop) > 3 AND (array_agg(id ORDER BY id))[1] % 2 = 0;

-- Where windows overlap, a row is kept once for all of them.
CREATE MATERIALIZED VIEW sliding WITH (streamfuse.continuous) AS
SELECT window_start, window_end, shop, array_agg(id ORDER BY id) AS ids, count(DISTINCT note) AS notes, md5(string_agg(long, '' ORDER BY id)) AS long,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY real8) AS median, alternating(price ORDER BY id) AS zigzag, sum(price) AS total
FROM facts, hop(event_time, '2 hours', '20 minutes') GROUP BY window_start, window_end, shop;
CREATE MATERIALIZED VIEW growing WITH (streamfuse.continuous) AS
SELECT window_start, window_end, array_agg(id ORDER BY id) AS ids, mode() WITHIN GROUP (ORDER BY feeling) AS usual, count(DISTINCT (shop, note)) AS pairs
FROM facts, cumulate(event_time, '2 hours', '15 minutes') GROUP BY window_start, window_end;

-- Half a day of rows in transactions, out of order within the delay.
CREATE PROCEDURE fill(part int) LANGUAGE sql AS $$
  INSERT INTO facts
  SELECT g, 1 + g * 7 % 4, CASE WHEN g % 5 > 0 THEN g * 13 % 100 + 0.25 END, CASE WHEN g % 13 > 0 THEN g % 8 * 0.5 END,
    (ARRAY['a', 'A', 'b', 'ä', '', NULL, 'a longer note'])[1 + g % 7], repeat(chr(65 + g % 26), g % 9 * 1500),
    (ARRAY['sad', 'ok', 'happy', NULL])[1 + g % 4]::mood, jsonb_build_object('k', g % 3), ARRAY['t' || g % 2, NULL],
    CASE WHEN g % 3 > 0 THEN ROW('c' || g % 2, g % 3)::place END,
    TIMESTAMPTZ '2026-03-28 12:00+00' + g * interval '1 minute' - g % 5 * interval '90 s'
  FROM generate_series(part * 150, part * 150 + 149) g $$;
CALL fill(0);
CALL fill(1);
SELECT view, d.* FROM streamfuse.stat_views, differences(view) d ORDER BY view::text;
SELECT ids, a.list, pairs FROM as_they_came a JOIN different d USING (window_start) ORDER BY window_start, ids LIMIT 2;

-- After a checkpoint, and beside rows that are rolled back.
SELECT streamfuse.checkpoint();
CALL fill(2);
BEGIN;
CALL fill(3);
ROLLBACK;
CALL fill(4);
SELECT view, d.* FROM streamfuse.stat_views, differences(view) d ORDER BY view::text;
SELECT view, status, rows_missed FROM streamfuse.stat_views ORDER BY view::text;
SELECT min(n) > 0 AS windows_have_closed FROM (SELECT count(*) AS n FROM as_they_came_closed UNION ALL SELECT count(*) FROM different_closed) c;

-- A paused view is read from the tables, and resumed from them.
SELECT streamfuse.pause('ranked');
SELECT streamfuse.pause('as_they_came');
SELECT streamfuse.pause('different');
SELECT count(*) AS rows, sum(cardinality(ids)) AS ids FROM as_they_came;
CALL fill(5);
SELECT streamfuse.resume('ranked');
SELECT streamfuse.resume('as_they_came');
SELECT streamfuse.resume('different');
SELECT view, d.* FROM streamfuse.stat_views, differences(view) d ORDER BY view::text;

-- Rows that ORDER BY does not tell apart come as they are stored.
CREATE MATERIALIZED VIEW tied WITH (streamfuse.continuous) AS
SELECT window_start, array_agg(id ORDER BY shop) AS ids FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end;
SELECT streamfuse.flush('tied') IS NOT NULL AS flushed;
SELECT count(*) AS rows, count(*) FILTER (WHERE tied.ids = batch.ids) AS same FROM tied JOIN
  (SELECT window_start, array_agg(id ORDER BY shop, ctid) AS ids FROM facts, tumble(event_time, '1 hour') GROUP BY 1) batch USING (window_start);
SELECT count(*) AS differences FROM streamfuse.verify('tied');

-- A group with many rows of few values keeps each once.
CREATE TABLE visits (page text, visitor int, place text, event_time timestamptz NOT NULL) USING stream;
CREATE MATERIALIZED VIEW few WITH (streamfuse.continuous) AS
SELECT window_start, count(DISTINCT page) AS pages, count(DISTINCT (visitor, place)) AS visitors FROM visits, tumble(event_time, '1 day')
GROUP BY window_start, window_end;
INSERT INTO visits SELECT 'page ' || g % 40, g % 4, CASE WHEN g % 3 > 0 THEN 'here' END, '2026-03-28 23:00+00' FROM generate_series(1, 20000) g;
SELECT * FROM differences('few');
SELECT pages, visitors, bytes < 100000 AS is_small FROM few, streamfuse.stat_views WHERE view = 'few'::regclass;

-- What an aggregate raises when its answer is asked for concerns its view only.
CREATE MATERIALIZED VIEW wrong WITH (streamfuse.continuous) AS
SELECT window_start, shop, percentile_disc(shop / 3.0) WITHIN GROUP (ORDER BY id) AS id FROM facts, tumble(event_time, '1 hour')
GROUP BY window_start, window_end, shop;
SELECT streamfuse.flush('wrong');
SELECT streamfuse.flush('ranked') IS NOT NULL AS ranked;
SELECT view, status, error FROM streamfuse.stat_views WHERE status <> 'running';
DROP MATERIALIZED VIEW wrong;

-- Rows without a named type are kept by their columns; where there are none, they are refused.
CREATE FUNCTION a_row() RETURNS record IMMUTABLE LANGUAGE sql AS $$ SELECT 1, 2 $$;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(DISTINCT a_row()) FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end;

DROP TABLE facts, visits CASCADE;
DROP AGGREGATE own_array(anynonarray), nth(int ORDER BY int), alternating(numeric);
DROP FUNCTION differences, nth_final, alternate, a_row;
DROP PROCEDURE fill;
DROP TYPE mood, place;
