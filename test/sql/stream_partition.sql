-- Partitions of a stream that a continuous view reads.
SET timezone = 'UTC';
CREATE TABLE orders (id int, region int, amount int, event_time timestamptz NOT NULL) PARTITION BY LIST (region);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES IN (1) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 hour');
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, region, count(*) AS orders, sum(amount) AS revenue
FROM orders, tumble(event_time, '1 day') GROUP BY window_start, window_end, region;
INSERT INTO orders VALUES (1, 1, 10, '2026-01-01 00:01+00');
SELECT streamfuse.flush('sales') IS NOT NULL AS flushed;

-- All partitions are streams, however they come.
CREATE TABLE orders_2 PARTITION OF orders FOR VALUES IN (2);
CREATE TABLE orders_2 (LIKE orders) USING heap;
ALTER TABLE orders ATTACH PARTITION orders_2 FOR VALUES IN (2);
CREATE TEMPORARY TABLE scratch (LIKE orders);
ALTER TABLE orders ATTACH PARTITION scratch FOR VALUES IN (2);
DROP TABLE orders_2, scratch;

-- Also in a tree below.
CREATE TABLE orders_3 (LIKE orders) PARTITION BY LIST (id);
CREATE TABLE orders_3_1 PARTITION OF orders_3 FOR VALUES IN (1) USING stream;
CREATE TABLE orders_3_2 PARTITION OF orders_3 FOR VALUES IN (2) USING heap;
ALTER TABLE orders ATTACH PARTITION orders_3 FOR VALUES IN (3);
DROP TABLE orders_3_2;
ALTER TABLE orders ATTACH PARTITION orders_3 FOR VALUES IN (3);
CREATE TABLE orders_3_2 PARTITION OF orders_3 FOR VALUES IN (2) USING heap;
CREATE TABLE orders_3_2 PARTITION OF orders_3 FOR VALUES IN (2) USING stream;
CREATE TABLE orders_4 PARTITION OF orders FOR VALUES IN (4) PARTITION BY LIST (id);
CREATE TABLE orders_4_1 PARTITION OF orders_4 FOR VALUES IN (1) USING stream;
INSERT INTO orders VALUES (1, 3, 100, '2026-01-01 00:02+00'), (2, 3, 200, '2026-01-01 00:03+00'), (1, 4, 1000, '2026-01-01 00:04+00');
SELECT streamfuse.flush('sales') IS NOT NULL AS flushed;
SELECT * FROM sales ORDER BY region;

-- Rows of a stream that is attached count as history, whatever the order of its columns, and whichever it has lost.
CREATE TABLE orders_5 (gone text, event_time timestamptz NOT NULL, amount int, lost int, region int, id int) USING stream;
INSERT INTO orders_5 VALUES ('a', '2026-01-01 00:05+00', 50, 0, 5, 1);
ALTER TABLE orders_5 DROP COLUMN gone, DROP COLUMN lost;
INSERT INTO orders_5 VALUES ('2026-01-01 00:06+00', 60, 5, 2);
ALTER TABLE orders ATTACH PARTITION orders_5 FOR VALUES IN (5);
INSERT INTO orders VALUES (3, 5, 70, '2026-01-01 00:07+00');
SELECT streamfuse.flush('sales') IS NOT NULL AS flushed;
SELECT * FROM sales WHERE region = 5;

-- A column that the parent loses and gains.
ALTER TABLE orders ADD COLUMN note text;
DROP TABLE orders_3, orders_4;
ALTER TABLE orders DROP COLUMN id;
INSERT INTO orders VALUES (1, 11, '2026-01-01 00:08+00', 'noted'), (5, 80, '2026-01-01 00:09+00', NULL);
SELECT streamfuse.flush('sales') IS NOT NULL AS flushed;
SELECT * FROM sales ORDER BY region;

-- What was counted stays when a partition goes; rows that it gets afterwards are not the view's.
ALTER TABLE orders DETACH PARTITION orders_5;
INSERT INTO orders_5 VALUES ('2026-01-01 00:10+00', 90, 5, NULL);
INSERT INTO orders VALUES (1, 12, '2026-01-01 00:11+00', NULL);
SELECT streamfuse.flush('sales') IS NOT NULL AS flushed;
SELECT * FROM sales ORDER BY region;

-- Also when the last one goes; the next one counts again.
DROP TABLE orders_1;
SELECT streamfuse.flush('orders') IS NOT NULL AS flushed;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '2 hours');
SELECT * FROM sales ORDER BY region;
CREATE TABLE orders_6 PARTITION OF orders FOR VALUES IN (6);
CREATE TABLE orders_6 PARTITION OF orders FOR VALUES IN (6) USING stream;
INSERT INTO orders VALUES (6, 10, '2026-01-01 00:12+00', NULL);
SELECT streamfuse.flush('sales') IS NOT NULL AS flushed;
SELECT * FROM sales WHERE region = 6;

-- Nor may other tables inherit from a stream that a view reads, nor a view read one that others inherit from.
CREATE TABLE events (event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('events', 'event_time');
CREATE TABLE more_events () INHERITS (events) USING stream;
CREATE MATERIALIZED VIEW per_day WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM events, tumble(event_time, '1 day') GROUP BY window_start, window_end;
DROP TABLE more_events;
CREATE MATERIALIZED VIEW per_day WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM events, tumble(event_time, '1 day') GROUP BY window_start, window_end;
CREATE TABLE more_events () INHERITS (events) USING stream;

DROP MATERIALIZED VIEW sales, per_day;
DROP TABLE orders, orders_5, events;
