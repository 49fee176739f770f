-- What a view selects of its groups: expressions, hidden keys and windows, HAVING; closed and open windows are the same.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
CREATE TABLE orders (id int, category text, note varchar(10), price numeric, event_time timestamp NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
SET client_min_messages = warning;
-- Keys and window are not selected as they are.
CREATE MATERIALIZED VIEW labels WITH (streamfuse.continuous) AS
SELECT upper(category) || '!' AS label, window_start::time AS since, sum(price) / count(*) AS average
FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end, category;
CREATE MATERIALIZED VIEW busy WITH (streamfuse.continuous) AS
SELECT window_end, note, category, count(*) AS orders, max(price) AS dearest, min(id) AS first
FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end, category, note
HAVING count(*) > 1;
CREATE MATERIALIZED VIEW everything WITH (streamfuse.continuous) AS
SELECT window_start, count(*) AS orders, avg(price) AS average
FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end;
RESET client_min_messages;
INSERT INTO orders VALUES
  (1, 'book', 'a', 10, '2026-01-01 10:01'), (2, 'book', 'a', 20, '2026-01-01 10:02'), (3, 'toy', NULL, 1, '2026-01-01 10:03'),
  (4, 'book', 'b', 40, '2026-01-01 10:06'), (5, 'book', 'b', 50, '2026-01-01 10:07'), (6, NULL, NULL, 7, '2026-01-01 10:08'),
  (7, NULL, NULL, 9, '2026-01-01 10:09');
SELECT streamfuse.flush() IS NOT NULL AS flushed;

SELECT * FROM labels ORDER BY 2, 1;
SELECT * FROM labels WHERE label = 'BOOK!' ORDER BY since;
SELECT * FROM busy ORDER BY window_end, category;
SELECT * FROM everything ORDER BY window_start;

-- A comparison with every key is a look-up, whatever the columns' order and type.
EXPLAIN (COSTS OFF) SELECT * FROM busy WHERE category = 'book' AND note = 'b';
SELECT orders FROM busy WHERE category = 'book' AND note = 'b';
SELECT orders FROM busy WHERE category = 'book' AND note = 'b' AND window_end > '2026-01-01 10:05';
SELECT orders FROM busy WHERE category = 'book' AND note = 'b' AND window_end > '2026-01-01 10:10';
SELECT orders FROM busy WHERE category IS NULL AND note IS NULL;
SELECT window_end, orders FROM busy ORDER BY window_end DESC;

-- Bounds on a window's end are bounds on its start, at the edges too.
SELECT e AS bound, (SELECT count(*) FROM busy WHERE window_end < e) AS less, (SELECT count(*) FROM busy WHERE window_end <= e) AS at_most,
  (SELECT count(*) FROM busy WHERE window_end = e) AS equal, (SELECT count(*) FROM busy WHERE window_end >= e) AS at_least,
  (SELECT count(*) FROM busy WHERE window_end > e) AS more
FROM unnest('{-infinity,2026-01-01 10:04:59.999999,2026-01-01 10:05,2026-01-01 10:05:00.000001,2026-01-01 10:10,2026-01-01 10:10:00.000001,infinity}'::timestamp[]) e;

-- Functions of users run as the view's owner, with the search_path of the view, whoever reads.
CREATE SCHEMA shop;
CREATE SCHEMA elsewhere;
CREATE ROLE regress_sf_owner;
CREATE ROLE regress_sf_reader;
GRANT ALL ON SCHEMA shop, elsewhere TO regress_sf_owner;
GRANT USAGE ON SCHEMA shop, elsewhere TO regress_sf_reader;
GRANT SELECT ON orders TO regress_sf_owner;
SET ROLE regress_sf_owner;
SET search_path = shop, public;
CREATE FUNCTION shop.mark() RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'shop'$$;
CREATE FUNCTION elsewhere.mark() RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'elsewhere'$$;
CREATE FUNCTION shop.sign(bigint) RETURNS text LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN RETURN mark() || ' ' || $1 || ' ' || current_user; END $$;
REVOKE EXECUTE ON FUNCTION shop.sign FROM PUBLIC;
CREATE MATERIALIZED VIEW shop.signed WITH (streamfuse.continuous) AS
SELECT window_start, shop.sign(count(*)) AS sign FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end;
GRANT SELECT ON shop.signed TO regress_sf_reader;
RESET search_path;
RESET ROLE;
SELECT streamfuse.flush('shop.signed') IS NOT NULL AS flushed;
SET ROLE regress_sf_reader;
SET search_path = elsewhere;
SELECT * FROM shop.signed ORDER BY window_start;
SELECT current_user, current_setting('search_path') AS search_path;
RESET search_path;
RESET ROLE;

SET client_min_messages = warning;
DROP MATERIALIZED VIEW labels, busy, everything, shop.signed;
DROP TABLE orders;
DROP SCHEMA shop, elsewhere CASCADE;
DROP OWNED BY regress_sf_owner, regress_sf_reader;
DROP ROLE regress_sf_owner, regress_sf_reader;
