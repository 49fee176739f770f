-- Rows of a stream never change.
CREATE TABLE orders (order_id int PRIMARY KEY, amount int) USING stream;
INSERT INTO orders VALUES (1, 10), (2, 20);
UPDATE orders SET amount = 11 WHERE order_id = 1;
DELETE FROM orders WHERE order_id = 1;
INSERT INTO orders VALUES (1, 11) ON CONFLICT (order_id) DO UPDATE SET amount = excluded.amount;
MERGE INTO orders o USING (VALUES (1, 11), (3, 30)) v (order_id, amount) ON o.order_id = v.order_id
  WHEN MATCHED THEN UPDATE SET amount = v.amount
  WHEN NOT MATCHED THEN INSERT VALUES (v.order_id, v.amount);
-- Whether there is a row to be changed or not.
UPDATE orders SET amount = 0 WHERE order_id = 99;
DELETE FROM orders WHERE false;
WITH gone AS (DELETE FROM orders WHERE order_id = 99 RETURNING *) SELECT count(*) FROM gone;
MERGE INTO orders o USING (VALUES (99)) v (order_id) ON o.order_id = v.order_id WHEN MATCHED THEN DELETE;
PREPARE remove AS DELETE FROM orders WHERE order_id = $1;
EXECUTE remove (99);
DEALLOCATE remove;
-- A MERGE that only inserts is fine.
MERGE INTO orders o USING (VALUES (1, 11), (3, 30)) v (order_id, amount) ON o.order_id = v.order_id
  WHEN NOT MATCHED THEN INSERT VALUES (v.order_id, v.amount);
SELECT * FROM orders ORDER BY order_id;

-- Nor do they move between partitions.
CREATE TABLE events (id int, day int) PARTITION BY LIST (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1) USING stream;
CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2) USING heap;
INSERT INTO events VALUES (1, 1), (2, 2);
UPDATE events SET day = 2 WHERE id = 1;
UPDATE events SET day = 1 WHERE id = 2;
SELECT tableoid::regclass, * FROM events ORDER BY id;

-- A partitioned table is a stream when all its partitions are.
DELETE FROM events WHERE id = 99;
ALTER TABLE events DETACH PARTITION events_2;
DELETE FROM events WHERE id = 99;
UPDATE ONLY events_1 SET id = 0 WHERE id = 99;
ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES IN (2);

-- A stream must survive a crash and be seen by all.
CREATE TEMPORARY TABLE scratch (a int) USING stream;
CREATE UNLOGGED TABLE scratch (a int) USING stream;
ALTER TABLE orders SET UNLOGGED;

-- Without continuous views, a stream can be rewritten and emptied as any table.
CREATE TABLE copied (LIKE orders) USING stream;
INSERT INTO copied SELECT * FROM orders;
VACUUM FULL copied;
CREATE INDEX copied_amount ON copied (amount);
CLUSTER copied USING copied_amount;
ALTER TABLE copied ALTER amount TYPE bigint;
ALTER TABLE copied ADD COLUMN serial_number int GENERATED ALWAYS AS IDENTITY;
ALTER TABLE copied SET ACCESS METHOD heap;
UPDATE copied SET amount = amount + 1;
ALTER TABLE copied SET ACCESS METHOD stream;
UPDATE copied SET amount = amount + 1;
SELECT * FROM copied ORDER BY order_id;
ALTER TABLE copied SET TABLESPACE pg_default;
BEGIN;
TRUNCATE copied;
INSERT INTO copied VALUES (9, 9);
ROLLBACK;
SELECT count(*) FROM copied;
TRUNCATE copied;
SELECT count(*) FROM copied;

-- While continuous views read it, nothing may move or drop its rows.
SET client_min_messages = warning;
CREATE TABLE sales (id int PRIMARY KEY, amount int, sold timestamptz NOT NULL) USING stream;
CREATE TABLE visits (id int, day int, at timestamptz NOT NULL) PARTITION BY LIST (day);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES IN (1) USING stream;
CREATE TABLE visits_2 PARTITION OF visits FOR VALUES IN (2) USING stream;
CREATE MATERIALIZED VIEW sales_per_hour WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) AS n FROM sales, tumble(sold, '1 hour') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW visits_per_hour WITH (streamfuse.continuous) AS
SELECT window_start, window_end, count(*) AS n FROM visits, tumble(at, '1 hour') GROUP BY window_start, window_end;
INSERT INTO sales VALUES (1, 10, '2026-01-01 00:00+00'), (2, 20, '2026-01-01 00:01+00');
INSERT INTO visits VALUES (1, 1, '2026-01-01 00:00+00'), (2, 2, '2026-01-01 00:01+00');

SET allow_in_place_tablespaces = on;
CREATE TABLESPACE streamfuse_elsewhere LOCATION '';
ALTER TABLE sales SET TABLESPACE streamfuse_elsewhere;
VACUUM FULL sales;
CLUSTER sales USING sales_pkey;
TRUNCATE sales;
ALTER TABLE sales ALTER amount TYPE bigint;
ALTER TABLE sales ADD COLUMN serial_number int GENERATED ALWAYS AS IDENTITY;
-- Before the work is done, too: no row is looked at.
ALTER TABLE sales ALTER amount TYPE bigint USING amount / 0;
ALTER TABLE sales SET ACCESS METHOD heap;
ALTER TABLE sales SET UNLOGGED;
TRUNCATE visits;
TRUNCATE visits_1;
ALTER TABLE visits ALTER id TYPE bigint;
VACUUM FULL visits_1;

-- What leaves rows where they are is allowed.
ALTER TABLE sales ADD COLUMN note text DEFAULT 'none';
ALTER TABLE sales RENAME COLUMN note TO remark;
ALTER TABLE sales ALTER amount SET NOT NULL;
ALTER TABLE sales SET (fillfactor = 90);
CREATE INDEX ON sales (amount);
REINDEX TABLE sales;
VACUUM sales;
INSERT INTO sales VALUES (3, 30, '2026-01-01 00:02+00');
SELECT streamfuse.flush('sales_per_hour') IS NOT NULL AS flushed;
SELECT n FROM sales_per_hour;

-- So is what the life of partitions needs.
ALTER TABLE visits DETACH PARTITION visits_1;
TRUNCATE visits_1;
DROP TABLE visits_2;
CREATE TABLE visits_3 PARTITION OF visits FOR VALUES IN (3) USING stream;

-- The views gone, the streams are as before.
DROP MATERIALIZED VIEW sales_per_hour, visits_per_hour;
TRUNCATE sales, visits;
ALTER TABLE sales ALTER amount TYPE bigint;
ALTER TABLE sales SET TABLESPACE streamfuse_elsewhere;
ALTER TABLE sales SET TABLESPACE pg_default;
DROP TABLE orders, events, copied, sales, visits, visits_1;
DROP TABLESPACE streamfuse_elsewhere;
