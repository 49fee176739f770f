-- Rows of a stream never change.
CREATE TABLE orders (order_id int PRIMARY KEY, amount int) USING stream;
INSERT INTO orders VALUES (1, 10), (2, 20);
UPDATE orders SET amount = 11 WHERE order_id = 1;
DELETE FROM orders WHERE order_id = 1;
INSERT INTO orders VALUES (1, 11) ON CONFLICT (order_id) DO UPDATE SET amount = excluded.amount;
MERGE INTO orders o USING (VALUES (1, 11), (3, 30)) v (order_id, amount) ON o.order_id = v.order_id
  WHEN MATCHED THEN UPDATE SET amount = v.amount
  WHEN NOT MATCHED THEN INSERT VALUES (v.order_id, v.amount);
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

-- A stream must survive a crash and be seen by all.
CREATE TEMPORARY TABLE scratch (a int) USING stream;
CREATE UNLOGGED TABLE scratch (a int) USING stream;
ALTER TABLE orders SET UNLOGGED;
CREATE TABLE events_by_month (id int) PARTITION BY RANGE (id) USING stream;

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

-- While a continuous view reads it, nothing may move or drop its rows.  (The row stands for such a view.)
INSERT INTO streamfuse.fragment (id, view, output, stream, adopted)
  VALUES (nextval('streamfuse.fragment_id'), 1, 2, 'orders'::regclass, false),
         (nextval('streamfuse.fragment_id'), 3, 4, 'events'::regclass, false);
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE streamfuse_elsewhere LOCATION '';
ALTER TABLE orders SET TABLESPACE streamfuse_elsewhere;
VACUUM FULL orders;
CLUSTER orders USING orders_pkey;
TRUNCATE orders;
ALTER TABLE orders ALTER amount TYPE bigint;
ALTER TABLE orders ADD COLUMN serial_number int GENERATED ALWAYS AS IDENTITY;
ALTER TABLE orders SET ACCESS METHOD heap;
ALTER TABLE orders SET UNLOGGED;
TRUNCATE events;
ALTER TABLE events_1 ALTER id TYPE bigint;
ALTER TABLE events ALTER id TYPE bigint;
VACUUM FULL events_1;

-- What leaves rows where they are is allowed.
ALTER TABLE orders ADD COLUMN note text DEFAULT 'none';
ALTER TABLE orders RENAME COLUMN note TO remark;
ALTER TABLE orders ALTER amount SET NOT NULL;
ALTER TABLE orders SET (fillfactor = 90);
CREATE INDEX ON orders (amount);
REINDEX TABLE orders;
VACUUM orders;
INSERT INTO orders VALUES (4, 40);
SELECT * FROM orders ORDER BY order_id;

-- So is what the life of partitions needs.
ALTER TABLE events DETACH PARTITION events_1;
TRUNCATE events_1;
INSERT INTO events_1 VALUES (7, 1);
ALTER TABLE events ATTACH PARTITION events_1 FOR VALUES IN (1);
SELECT tableoid::regclass, * FROM events ORDER BY id;
DROP TABLE events_1;
CREATE TABLE events_3 PARTITION OF events FOR VALUES IN (3) USING stream;

-- The views gone, the stream is as before.
DELETE FROM streamfuse.fragment WHERE stream IN ('orders'::regclass, 'events'::regclass);
TRUNCATE orders;
ALTER TABLE orders ALTER amount TYPE bigint;
ALTER TABLE orders SET TABLESPACE streamfuse_elsewhere;
ALTER TABLE orders SET TABLESPACE pg_default;
DROP TABLE orders, events, copied;
DROP TABLESPACE streamfuse_elsewhere;
