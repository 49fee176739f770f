-- GROUPING SETS, ROLLUP and CUBE: several groupings in one view.  A row is counted in one group of each set.
CREATE TABLE orders (customer int, category text, region text, amount numeric, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '10 seconds');

-- With a window: its columns stand before the sets, and so are in each of them.
CREATE MATERIALIZED VIEW orders_1m WITH (streamfuse.continuous) AS
SELECT window_start, category, region, grouping(category, region) AS level, count(*) AS orders, sum(amount) AS revenue,
  count(DISTINCT customer) AS customers, array_agg(customer ORDER BY amount) FILTER (WHERE amount > 15) AS large
FROM orders, tumble(event_time, '1 minute') GROUP BY window_start, window_end, ROLLUP (category, region);
-- Without one: groups over all time, and one row for the empty set before there are any.
CREATE MATERIALIZED VIEW totals WITH (streamfuse.continuous) AS
SELECT category, region, grouping(category) AS no_category, grouping(region, category) AS level, count(*) AS orders, sum(amount) AS revenue
FROM orders GROUP BY CUBE (category, region);
SELECT streamfuse.flush('orders');
SELECT * FROM totals;
SELECT * FROM orders_1m;

-- A null that is a value, and one that stands for all values, are in different groups.
INSERT INTO orders VALUES (1, 'tea', 'north', 10, '2026-01-01 10:00:05+00'), (2, 'tea', 'south', 20, '2026-01-01 10:00:10+00'),
  (1, 'rum', 'north', 30, '2026-01-01 10:00:20+00'), (3, NULL, 'north', 40, '2026-01-01 10:00:20+00'), (1, 'tea', NULL, 50, '2026-01-01 10:01:10+00');
SELECT streamfuse.flush('orders');
SELECT * FROM orders_1m ORDER BY window_start, level, category, region;
SELECT * FROM totals ORDER BY level, category, region;

-- Closed windows, and late rows: a late row is missed once, whatever the number of sets.
SELECT category, region, orders FROM orders_1m_closed ORDER BY window_start, level, category, region;
INSERT INTO orders VALUES (9, 'tea', 'north', 5, '2026-01-01 10:00:30+00'), (9, 'tea', 'west', 5, '2026-01-01 10:01:30+00');
SELECT streamfuse.flush('orders');
SELECT rows_in, rows_late, rows_missed, open_windows, groups FROM streamfuse.stat_views WHERE view = 'orders_1m'::regclass;
SELECT view, window_start, missed FROM streamfuse.dirty_windows WHERE view = 'orders_1m'::regclass;
SELECT * FROM totals ORDER BY level, category, region;

-- What the view says is what its query says.
SELECT * FROM streamfuse.verify('orders_1m');
SELECT * FROM streamfuse.verify('totals');

-- A column that GROUPING() names may be looked up, too; without it a look-up needs a value for all columns of a set that
-- no other set can have.
EXPLAIN (COSTS OFF) SELECT * FROM totals WHERE category = 'tea' AND region = 'north';
EXPLAIN (COSTS OFF) SELECT * FROM totals WHERE category = 'tea' AND level = 2;
EXPLAIN (COSTS OFF) SELECT * FROM totals WHERE level = 3;
EXPLAIN (COSTS OFF) SELECT * FROM totals WHERE category = 'tea';
SELECT category, region, orders FROM totals WHERE category = 'tea' AND region = 'north';
SELECT category, region, orders FROM totals WHERE category = 'tea' AND level = 2;
SELECT category, region, orders FROM totals WHERE level = 3;
SELECT category, region, orders FROM totals WHERE category = 'tea' ORDER BY 2;

-- A parameter that is null finds nothing; a join looks each row up.
PREPARE look_up(text, text) AS SELECT category, region, orders FROM totals WHERE category = $1 AND region = $2;
SET plan_cache_mode = force_generic_plan;
EXECUTE look_up('tea', 'south');
EXECUTE look_up('tea', NULL);
RESET plan_cache_mode;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
-- Which side of a join's condition comes first differs between PostgreSQL's versions.
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    IF line !~ 'Filter:' THEN RETURN NEXT line; END IF;
  END LOOP;
END $$;
SELECT * FROM plan($$SELECT orders FROM (VALUES ('tea', 'south'), ('rum', NULL)) AS wanted (c, r), totals
                     WHERE category = c AND region = r$$);
DROP FUNCTION plan;
SELECT orders FROM (VALUES ('tea', 'south'), ('rum', NULL)) AS wanted (c, r), totals WHERE category = c AND region = r;
RESET enable_hashjoin;
RESET enable_mergejoin;

-- Sets that are listed, multiplied out, nested, empty, twice there: the rows are those of the query.
CREATE PROCEDURE same_rows(name text, query text) LANGUAGE plpgsql AS $$
DECLARE missing bigint; extra bigint; n bigint;
BEGIN
  EXECUTE format('CREATE MATERIALIZED VIEW %I WITH (streamfuse.continuous) AS %s', name, query);
  COMMIT;
  PERFORM streamfuse.flush('orders');
  EXECUTE format('SELECT count(*) FROM %I', name) INTO n;
  EXECUTE format('SELECT count(*) FROM (TABLE %I EXCEPT ALL (%s)) AS x', name, query) INTO extra;
  EXECUTE format('SELECT count(*) FROM ((%s) EXCEPT ALL TABLE %I) AS x', query, name) INTO missing;
  RAISE INFO '%: % rows, % missing, % too many', name, n, missing, extra;
END $$;
SET client_min_messages = warning;
INSERT INTO orders SELECT g % 7, (ARRAY['tea', 'rum', NULL])[1 + g % 3], (ARRAY['north', 'south'])[1 + g % 2], g, timestamptz '2026-01-01 12:00+00' + g * interval '7 seconds'
FROM generate_series(1, 100) AS g;
CALL same_rows('listed', $q$SELECT window_start, window_end, category, count(*), sum(amount), grouping(window_end, category)
  FROM orders, tumble(event_time, '5 minutes') GROUP BY GROUPING SETS ((window_start, window_end, category), (window_start, window_end), (window_end, window_start))$q$);
CALL same_rows('multiplied', $q$SELECT category, region, customer % 2 AS parity, grouping(customer % 2, region) AS level, count(*), min(amount)
  FROM orders GROUP BY ROLLUP (category, region), CUBE (customer % 2, region)$q$);
CALL same_rows('distinct_sets', $q$SELECT category, region, customer % 2 AS parity, grouping(customer % 2, region) AS level, count(*), min(amount)
  FROM orders GROUP BY DISTINCT ROLLUP (category, region), CUBE (customer % 2, region)$q$);
CALL same_rows('nested', $q$SELECT category, region, customer, count(*), avg(amount) FROM orders
  GROUP BY GROUPING SETS (ROLLUP (category, region), GROUPING SETS ((customer), CUBE ((category, region), customer)), ())$q$);
CALL same_rows('empty_twice', $q$SELECT count(*), max(customer) FROM orders WHERE amount < 0 GROUP BY GROUPING SETS ((), ())$q$);
CALL same_rows('one_set', $q$SELECT category, count(*), grouping(category) FROM orders GROUP BY GROUPING SETS ((category))$q$);
CALL same_rows('no_set', $q$SELECT count(*), max(customer) FROM orders WHERE amount < 0 GROUP BY ()$q$);
CALL same_rows('plain', $q$SELECT category, count(*), grouping(category) FROM orders GROUP BY category$q$);
CALL same_rows('top', $q$SELECT coalesce(category, CASE grouping(category) WHEN 1 THEN 'all' ELSE 'none' END) AS category, 10 * grouping(region) + count(*) AS n,
  percentile_disc(CASE WHEN region = 'north' THEN 0.1 ELSE 0.9 END) WITHIN GROUP (ORDER BY amount) AS high FROM orders
  GROUP BY CUBE (category, region) HAVING grouping(region) = 0 OR count(*) > 30$q$);
CALL same_rows('overlapping', $q$SELECT window_start, window_end, category, customer, grouping(category, customer), sum(amount), array_agg(DISTINCT region ORDER BY region)
  FROM orders, hop(event_time, '2 minutes', '30 seconds') GROUP BY window_start, window_end, CUBE (category, customer)$q$);
CALL same_rows('cumulated', $q$SELECT window_start, window_end, region, sum(amount) FROM orders, cumulate(event_time, '5 minutes', '1 minute')
  GROUP BY window_start, window_end, ROLLUP (region, customer)$q$);
CALL same_rows('days', $q$SELECT date_trunc('day', event_time, 'UTC') AS day, date_trunc('hour', event_time, 'UTC') AS hour, category, count(*)
  FROM orders GROUP BY date_trunc('day', event_time, 'UTC'), ROLLUP (date_trunc('hour', event_time, 'UTC'), category)$q$);
CALL same_rows('coarse', $q$SELECT date_trunc('hour', window_start, 'UTC') AS hour, region, count(*)
  FROM orders, tumble(event_time, '1 minute') GROUP BY date_trunc('hour', window_start, 'UTC'), ROLLUP (region)$q$);

-- Windows that have closed since hold the same.
SELECT streamfuse.advance_watermark('orders', '2026-01-02 10:00+00');
SELECT streamfuse.flush('orders');
SELECT view, (SELECT count(*) FROM streamfuse.verify(view)) AS differences, closed_until FROM streamfuse.stat_views
WHERE view::text IN ('listed', 'overlapping', 'cumulated', 'days', 'coarse') ORDER BY view::text;

-- A row that raises is set aside in all sets.
CREATE MATERIALIZED VIEW inverses WITH (streamfuse.continuous, streamfuse.on_error = 'skip') AS
SELECT category, region, count(*) AS n, sum(1 / (customer - 3)) AS s FROM orders GROUP BY CUBE (category, region);
SELECT streamfuse.flush('inverses');
SELECT rows_failed > 0 AS failed FROM streamfuse.stat_views WHERE view = 'inverses'::regclass;
SELECT * FROM streamfuse.verify('inverses');
CREATE FUNCTION small_sum(int, int) RETURNS int IMMUTABLE STRICT LANGUAGE plpgsql
  AS $$ BEGIN IF $1 + $2 > 250 THEN RAISE 'too large'; END IF; RETURN $1 + $2; END $$;
CREATE AGGREGATE small_sum(int) (SFUNC = small_sum, STYPE = int, INITCOND = '0', COMBINEFUNC = small_sum);
CREATE MATERIALIZED VIEW small_sums WITH (streamfuse.continuous, streamfuse.on_error = 'skip') AS
SELECT category, region, count(*) AS n, small_sum(customer), array_agg(customer) AS customers FROM orders GROUP BY GROUPING SETS ((category, region), (category), ());
SELECT streamfuse.flush('small_sums');
-- The row that is too much for the empty set is in no set.
SELECT category, region, n, small_sum, cardinality(customers) FROM small_sums ORDER BY 1, 2, 3;
SELECT rows_in + rows_failed AS rows, rows_failed FROM streamfuse.stat_views WHERE view = 'small_sums'::regclass;
RESET client_min_messages;

-- Groups of all sets that do not fit into memory come back from disk.
CREATE TABLE hits (a int, b int, v int) USING stream;
CREATE MATERIALIZED VIEW many WITH (streamfuse.continuous, streamfuse.max_state = '2MB') AS
SELECT a, b, grouping(a, b) AS level, count(*) AS n, sum(v) AS s FROM hits GROUP BY CUBE (a, b);
INSERT INTO hits SELECT g % 10000, g % 7, g FROM generate_series(1, 50000) g;
SELECT streamfuse.flush('hits');
SELECT streamfuse.checkpoint();
INSERT INTO hits SELECT g % 10000, g % 11, g FROM generate_series(1, 50000) g;
SELECT streamfuse.flush('hits');
SELECT spilled_groups > 0 AS spilled FROM streamfuse.stat_views WHERE view = 'many'::regclass;
SELECT (d->>'groups')::bigint > 0 AS groups, (d->>'bytes')::bigint > 0 AS bytes
FROM (SELECT explain::jsonb->'disk' FROM streamfuse.explain('many', 'json')) e (d);
SELECT * FROM streamfuse.verify('many');
SELECT level, count(*), sum(n) FROM many GROUP BY level ORDER BY level;
SELECT n, s FROM many WHERE a = 5 AND level = 1;
DROP TABLE hits CASCADE;

-- The window is in every set; what is no column is in none.
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT window_start, category, count(*) FROM orders, tumble(event_time, '1 minute') GROUP BY ROLLUP (window_start, category);
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) FROM orders, hop(event_time, '1 hour', '1 minute') GROUP BY GROUPING SETS ((window_start, window_end), (window_start));
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT event_time::date, category, count(*) FROM orders GROUP BY CUBE ((event_time::date), category);
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT date_trunc('hour', window_start), count(*) FROM orders, tumble(event_time, '1 minute') GROUP BY ROLLUP (date_trunc('hour', window_start));
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT category, count(*) FROM orders, tumble(event_time, '1 minute') GROUP BY ROLLUP (category);
CREATE MATERIALIZED VIEW refused WITH (streamfuse.continuous) AS
SELECT 'all' AS what, category, count(*) FROM orders GROUP BY ROLLUP (what, category);
DROP TABLE orders CASCADE;
