-- Several streams in one view: UNION ALL of SELECTs that filter and map.
\pset null -
SET timezone = 'UTC';
CREATE TABLE web (id int, item text, price numeric(10,2), at timestamptz NOT NULL) USING stream;
CREATE TABLE shop (till int, article varchar(20), cents int, sold timestamptz NOT NULL, note text) USING stream;
SELECT streamfuse.set_watermark('web', 'at', delay => '1 minute');
SELECT streamfuse.set_watermark('shop', 'sold', delay => '1 minute');

-- Each branch has its own filter and expressions, and a stream may be in several of them.
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, window_end, channel, item, count(*) AS orders, sum(price) AS revenue, max(price) FILTER (WHERE price < 100) AS dearest
FROM (SELECT 'web' AS channel, item, price, at FROM web WHERE price > 0
      UNION ALL
      SELECT 'shop', article, cents / 100.0, sold FROM shop WHERE till < 10
      UNION ALL
      SELECT 'refund', item, price, at FROM web WHERE price < 0) u, tumble(u.at, '5 minutes')
WHERE item <> 'test'
GROUP BY window_start, window_end, channel, item;
INSERT INTO web VALUES (1, 'book', 15, '2026-01-01 10:00'), (2, 'book', -5, '2026-01-01 10:01'), (3, 'test', 1, '2026-01-01 10:01'), (4, 'atlas', 120, '2026-01-01 10:02');
INSERT INTO shop VALUES (1, 'book', 1450, '2026-01-01 10:00'), (12, 'book', 100, '2026-01-01 10:01'), (2, 'pen', 99, '2026-01-01 10:03');
SELECT streamfuse.flush('sales');
SELECT window_start, channel, item, orders, round(revenue, 2) AS revenue, round(dearest, 2) AS dearest FROM sales ORDER BY 1, 2, 3;
SELECT view, output, streams, exact, hints FROM streamfuse.views;

-- Windows close when every stream is as far: the one that is behind holds them.
INSERT INTO web VALUES (5, 'book', 20, '2026-01-01 11:00');
SELECT streamfuse.flush('sales');
SELECT count(*) FROM sales_closed;
SELECT stream, watermark, waits_for, next_close, next_close_needs FROM streamfuse.stat_views;
SELECT stream, watermark, max_event_time FROM streamfuse.stat_streams ORDER BY stream::text;
INSERT INTO shop VALUES (1, 'pen', 98, '2026-01-01 10:06');
SELECT streamfuse.flush('sales');
SELECT window_start, channel, item, orders, round(revenue, 2) AS revenue FROM sales_closed ORDER BY 1, 2, 3;

-- A row is late when the view's window has closed, whatever its own stream's watermark; each branch misses its own.
INSERT INTO shop VALUES (1, 'pen', 97, '2026-01-01 10:04');
INSERT INTO web VALUES (6, 'book', 7, '2026-01-01 10:07'), (7, 'book', 8, '2026-01-01 10:01');
SELECT streamfuse.flush('sales');
SELECT window_start, missed FROM streamfuse.dirty_windows;
SELECT rows_read, rows_in, rows_late, rows_missed FROM streamfuse.stat_views;
SELECT window_start, channel, orders FROM sales WHERE window_start > '2026-01-01 10:00' ORDER BY 1, 2;
SELECT * FROM streamfuse.verify('sales');

-- A stream without rows holds the watermark at -infinity, until it is moved by hand.
CREATE TABLE phone (what text, price float8, at timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('phone', 'at');
CREATE MATERIALIZED VIEW hourly WITH (streamfuse.continuous) AS
SELECT date_trunc('hour', at) AS hour, count(*) AS orders, avg(price) AS mean
FROM (SELECT price::float8 AS price, at FROM web UNION ALL SELECT price, at FROM phone) AS calls
GROUP BY date_trunc('hour', at);
SELECT streamfuse.flush('hourly');
SELECT count(*) FROM hourly_closed;
SELECT stream, watermark FROM streamfuse.stat_views WHERE view = 'hourly'::regclass;
SELECT streamfuse.advance_watermark('phone', '2026-01-01 12:00');
SELECT streamfuse.flush('hourly');
SELECT hour, orders FROM hourly_closed;
SELECT hour, orders FROM hourly ORDER BY hour;
-- And a reset of one of them sets the view's back; what is closed stays closed.
SELECT streamfuse.reset_watermark('phone', '2026-01-01 10:00');
INSERT INTO web VALUES (8, 'book', 9, '2026-01-01 12:30');
SELECT streamfuse.flush('hourly');
SELECT stream, watermark, closed_until FROM streamfuse.stat_views WHERE view = 'hourly'::regclass;
INSERT INTO phone VALUES ('book', 1, '2026-01-01 11:30');
SELECT streamfuse.flush('hourly');
SELECT hour, orders, mean FROM hourly ORDER BY hour;
SELECT * FROM streamfuse.verify('hourly');

-- One SELECT in FROM will do, too; nested ones, and columns that no one asks for.
CREATE MATERIALIZED VIEW items WITH (streamfuse.continuous) AS
SELECT item, count(*) AS orders FROM (SELECT item, price, id FROM (SELECT * FROM web WHERE price > 0) AS paid WHERE price < 100) AS cheap GROUP BY item;
CREATE MATERIALIZED VIEW total WITH (streamfuse.continuous) AS
SELECT count(*) AS orders, sum(price) AS revenue
FROM (SELECT price FROM web WHERE id > 1 UNION ALL (SELECT cents / 100.0 FROM shop UNION ALL SELECT 0.01 FROM shop WHERE till > 10)) AS u;
CREATE MATERIALIZED VIEW sliding WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) AS orders, array_agg(item) AS items, array_agg(item ORDER BY price > 10) AS by_price,
       count(DISTINCT item) AS different
FROM (SELECT item, price, at FROM web UNION ALL SELECT article, cents / 100.0, sold FROM shop UNION ALL SELECT upper(item), price, at FROM web) u,
     hop(at, '10 minutes', '5 minutes')
GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW rolled WITH (streamfuse.continuous) AS
SELECT window_start, window_end, channel, item, grouping(channel, item) AS g, count(*) AS orders
FROM (SELECT 'web' AS channel, item, at FROM web UNION ALL SELECT 'shop', article, sold FROM shop) u, cumulate(at, '10 minutes', '5 minutes')
GROUP BY window_start, window_end, ROLLUP (channel, item);
SELECT streamfuse.flush();
SELECT * FROM items ORDER BY item;
SELECT orders, round(revenue, 2) AS revenue FROM total;
SELECT window_start, orders, items, by_price, different FROM sliding WHERE window_start = '2026-01-01 10:00';
SELECT channel, item, g, orders FROM rolled WHERE window_end = '2026-01-01 10:05' ORDER BY g, 1, 2;
SELECT v.view, d.* FROM unnest('{items,total,sliding,rolled}'::regclass[]) AS v (view), streamfuse.verify(v.view) AS d;

-- Filter and map alone: as the query itself, or in FROM.
CREATE MATERIALIZED VIEW log WITH (streamfuse.continuous) AS
SELECT id AS number, item, price FROM web WHERE price > 0 UNION ALL SELECT till, article, cents / 100.0 FROM shop;
CREATE MATERIALIZED VIEW minutes WITH (streamfuse.continuous) AS
SELECT window_start AS minute, upper(item) AS item
FROM (SELECT item, at FROM web UNION ALL SELECT article, sold FROM shop) u, tumble(u.at, '1 minute') WHERE item <> 'pen';
SELECT streamfuse.flush();
SELECT number, item, round(price, 2) AS price FROM log ORDER BY 1, 2, 3;
SELECT minute, item FROM minutes ORDER BY 1, 2;
SELECT v.view, d.* FROM unnest('{log,minutes}'::regclass[]) AS v (view), streamfuse.verify(v.view) AS d;
-- A read touches no stream.
EXPLAIN (COSTS OFF) SELECT * FROM log;
EXPLAIN (COSTS OFF) SELECT * FROM sales;

-- Made WITH NO DATA: with what comes after all that any of the streams has.
CREATE MATERIALIZED VIEW log_new WITH (streamfuse.continuous) AS
SELECT id AS number FROM web WHERE price > 0 UNION ALL SELECT till FROM shop WITH NO DATA;
CREATE MATERIALIZED VIEW sales_new WITH (streamfuse.continuous) AS
SELECT window_start, count(*) AS orders FROM (SELECT at FROM web UNION ALL SELECT sold FROM shop) u, tumble(at, '1 hour') GROUP BY window_start, window_end
WITH NO DATA;
INSERT INTO web VALUES (21, 'book', 1, '2026-01-01 12:31'), (22, 'book', 1, '2026-01-01 13:31');
INSERT INTO shop VALUES (23, 'book', 1, '2026-01-01 12:29'), (24, 'book', 1, '2026-01-01 13:00');
SELECT streamfuse.flush();
SELECT number FROM log_new ORDER BY 1;
SELECT * FROM sales_new;
SELECT v.view, d.* FROM unnest('{log_new,sales_new}'::regclass[]) AS v (view), streamfuse.verify(v.view) AS d;

-- Sessions of rows of all streams; groups that are forgotten, by the watermark of all.
CREATE MATERIALIZED VIEW visits WITH (streamfuse.continuous) AS
SELECT window_start, window_end, item, count(*) AS n FROM (SELECT item, at FROM web WHERE id > 20 UNION ALL SELECT article, sold FROM shop WHERE till > 20) u, session(at, '31 minutes')
GROUP BY window_start, window_end, item;
CREATE MATERIALIZED VIEW recent WITH (streamfuse.continuous, streamfuse.state_ttl = '1 hour') AS
SELECT kind, count(*) AS n FROM (SELECT item || ' web' AS kind FROM web UNION ALL SELECT article || ' shop' FROM shop) u GROUP BY kind;
SELECT streamfuse.flush();
SELECT window_start, window_end, n FROM visits ORDER BY 1;
SELECT kind, n FROM recent ORDER BY 1;
SELECT * FROM streamfuse.verify('visits');
SELECT streamfuse.explain('SELECT window_start, item, count(*) FROM (SELECT item, at FROM web WHERE id > 20 UNION ALL SELECT article, sold FROM shop) u, tumble(at, ''1 hour'') WHERE item > ''a'' GROUP BY window_start, window_end, item');

-- A row that raises in one branch is set aside there, and counted by another.
CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
SELECT kind, count(*) AS n, sum(share) AS share
FROM (SELECT 'a' AS kind, 12 / till AS share, note FROM shop WHERE till IN (0, 1, 2)
      UNION ALL SELECT 'b', till, note FROM shop WHERE till IN (0, 1, 2)
      UNION ALL SELECT 'c', 12 / id, item FROM web WHERE id < 3) u
GROUP BY kind;
INSERT INTO shop VALUES (0, 'odd', 1, '2026-01-01 13:01', 'no till'), (2, 'even', 1, '2026-01-01 13:01', 'a till');
INSERT INTO web VALUES (0, 'odd', 1, '2026-01-01 13:32');
SELECT streamfuse.flush('shares');
SELECT * FROM shares ORDER BY kind;
SELECT stream, branch, message, "row"->>'note' AS note FROM streamfuse.errors ORDER BY branch;
SELECT rows_failed FROM streamfuse.stat_views WHERE view = 'shares'::regclass;
SELECT * FROM streamfuse.verify('shares');

-- A partitioned stream is one of the streams, with all its partitions.
CREATE TABLE kiosk (place int, item text, at timestamptz NOT NULL) PARTITION BY LIST (place);
CREATE TABLE kiosk_1 PARTITION OF kiosk FOR VALUES IN (1) USING stream;
CREATE TABLE kiosk_2 PARTITION OF kiosk FOR VALUES IN (2) USING stream;
CREATE MATERIALIZED VIEW everywhere WITH (streamfuse.continuous) AS
SELECT item, count(*) AS n, array_agg(place) AS places FROM (SELECT item, place FROM kiosk UNION ALL SELECT article, -1 FROM shop WHERE till < 3) u GROUP BY item;
INSERT INTO kiosk VALUES (1, 'pen', '2026-01-01 13:00'), (2, 'pen', '2026-01-01 13:00');
SELECT streamfuse.flush('everywhere');
SELECT item, n, cardinality(places) FROM everywhere ORDER BY item;
CREATE TABLE kiosk_3 PARTITION OF kiosk FOR VALUES IN (3) USING stream;
INSERT INTO kiosk VALUES (3, 'pen', '2026-01-01 13:00');
SELECT streamfuse.flush('everywhere');
SELECT n FROM everywhere WHERE item = 'pen';
SELECT * FROM streamfuse.verify('everywhere');

-- Streams depend on each other only by the view.
DROP TABLE shop;
TRUNCATE shop;
SELECT streamfuse.set_watermark('shop', 'note');
ALTER TABLE shop ADD COLUMN moment timestamptz NOT NULL DEFAULT '2026-01-01';
SELECT streamfuse.set_watermark('shop', 'moment');
SELECT streamfuse.pause('sales');
INSERT INTO web VALUES (31, 'map', 3, '2026-01-01 13:40');
INSERT INTO shop VALUES (3, 'map', 300, '2026-01-01 13:40');
SELECT streamfuse.resume('sales');
SELECT streamfuse.flush('sales');
SELECT window_start, channel, orders FROM sales WHERE item = 'map' ORDER BY channel;
SELECT * FROM streamfuse.verify('sales');

-- Rights are asked of every stream.
CREATE ROLE regress_sf_clerk;
GRANT CREATE ON SCHEMA public TO regress_sf_clerk;
GRANT SELECT ON web TO regress_sf_clerk;
GRANT SELECT (till, note) ON shop TO regress_sf_clerk;
SET ROLE regress_sf_clerk;
CREATE MATERIALIZED VIEW clerks WITH (streamfuse.continuous) AS SELECT id FROM web UNION ALL SELECT cents FROM shop;
CREATE MATERIALIZED VIEW clerks WITH (streamfuse.continuous) AS SELECT count(*) AS n FROM (SELECT id FROM web UNION ALL SELECT 1 FROM (SELECT till FROM shop) s) u;
SELECT streamfuse.flush('clerks');
SELECT n > 20 AS counted FROM clerks;
RESET ROLE;
REVOKE SELECT (till) ON shop FROM regress_sf_clerk;
INSERT INTO shop VALUES (7, 'map', 1, '2026-01-01 13:41');
SELECT streamfuse.flush('clerks');
GRANT SELECT (till) ON shop TO regress_sf_clerk;
SELECT streamfuse.resume('clerks');
SELECT streamfuse.flush('clerks');
SELECT n = (SELECT count(*) FROM web) + (SELECT count(*) FROM shop) AS all_counted FROM clerks;
DROP MATERIALIZED VIEW clerks;
CREATE TABLE secret (id int) USING stream;
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT id FROM web UNION ALL SELECT id FROM secret;
REVOKE ALL ON web, shop FROM regress_sf_clerk;
REVOKE CREATE ON SCHEMA public FROM regress_sf_clerk;
DROP ROLE regress_sf_clerk;

-- What it is not.
CREATE TABLE plain (id int, at timestamptz NOT NULL);
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT id FROM web UNION ALL SELECT id FROM plain;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT id FROM web EXCEPT SELECT till FROM shop;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT id FROM web UNION ALL SELECT till FROM shop ORDER BY 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT id FROM web UNION ALL SELECT till FROM shop LIMIT 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT id FROM web UNION ALL (SELECT till FROM shop LIMIT 1);
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT count(*) FROM web UNION ALL SELECT count(*) FROM shop;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT id FROM web UNION ALL SELECT DISTINCT till FROM shop;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT id FROM web UNION ALL VALUES (1);
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT id FROM web UNION ALL SELECT 1;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT web.id FROM web, shop UNION ALL SELECT till FROM shop;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT window_start FROM web, tumble(at, '1 hour') UNION ALL SELECT sold FROM shop;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT id FROM web UNION ALL SELECT (random() * till)::int FROM shop;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT id FROM web UNION ALL SELECT till FROM shop WHERE sold < now();
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT web::text FROM web UNION ALL SELECT 'x' FROM shop;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT u::text FROM (SELECT id FROM web UNION ALL SELECT till FROM shop) u;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT ctid AS place FROM web UNION ALL SELECT ctid FROM shop;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT count(*) FROM (SELECT id FROM web) a, (SELECT till FROM shop) b;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT count(*) FROM (SELECT id, at FROM web UNION ALL SELECT till, sold + '1 minute' FROM shop) u, tumble(at, '1 hour') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT count(*) FROM (SELECT id, at FROM web UNION ALL SELECT till, moment FROM shop) u, tumble(at, '1 hour') GROUP BY window_start, window_end;
SET client_min_messages = warning;
DROP TABLE web, shop, phone, kiosk, secret, plain CASCADE;
