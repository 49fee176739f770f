-- A stream takes rows as any table does.
CREATE TABLE orders (order_id bigint, category text, amount numeric(12,2)) USING stream;
SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = 'orders'::regclass;

INSERT INTO orders VALUES (1, 'books', 12.50);
INSERT INTO orders VALUES (2, 'books', 7.00), (3, 'toys', 99.00) RETURNING order_id, category;
INSERT INTO orders SELECT g, 'bulk', g FROM generate_series(4, 1000) g;
COPY orders FROM stdin;
1001	books	1.00
1002	toys	2.00
\.
SELECT count(*), sum(order_id), sum(amount) FROM orders;

-- Rolled-back rows are gone, whole or up to a savepoint.
BEGIN;
INSERT INTO orders VALUES (2000, 'gone', 0);
ROLLBACK;
BEGIN;
INSERT INTO orders VALUES (2001, 'kept', 0);
SAVEPOINT s;
INSERT INTO orders VALUES (2002, 'gone', 0);
ROLLBACK TO s;
INSERT INTO orders VALUES (2003, 'kept', 0);
COMMIT;
SELECT order_id, category FROM orders WHERE order_id >= 2000 ORDER BY order_id;

-- An error inside an insert leaves nothing behind that would disturb the next.
CREATE TABLE too_wide (a char(2000), b char(2000), c char(2000), d char(2000), e char(2000)) USING stream;
ALTER TABLE too_wide ALTER a SET STORAGE plain, ALTER b SET STORAGE plain, ALTER c SET STORAGE plain,
  ALTER d SET STORAGE plain, ALTER e SET STORAGE plain;
INSERT INTO too_wide VALUES ('', '', '', '', '');
BEGIN;
SAVEPOINT s;
INSERT INTO too_wide VALUES ('', '', '', '', '');
ROLLBACK TO s;
INSERT INTO too_wide VALUES ('');
COMMIT;
SELECT count(*) FROM too_wide;

-- Wide values go to a TOAST table, which is an ordinary heap.
CREATE TABLE documents (id int, body text) USING stream;
ALTER TABLE documents ALTER body SET STORAGE external;
INSERT INTO documents SELECT g, repeat('abcdefgh', 1000 * g) FROM generate_series(1, 3) g;
SELECT id, length(body), md5(body) = md5(repeat('abcdefgh', 1000 * id)) AS same FROM documents ORDER BY id;
SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
WHERE c.oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'documents'::regclass);

-- COPY fills pages as densely as it does a heap, through batches of several pages and rows of every size.
\getenv abs_builddir PG_ABS_BUILDDIR
\set copy_file :abs_builddir '/results/stream_insert.data'
CREATE TABLE readings (id int, payload text) USING stream;
CREATE TABLE readings_heap (id int, payload text) USING heap;
COPY (SELECT g, repeat('x', g * 37 % 300) FROM generate_series(1, 20000) g) TO :'copy_file';
COPY readings FROM :'copy_file';
COPY readings_heap FROM :'copy_file';
COPY readings FROM :'copy_file';
COPY readings_heap FROM :'copy_file';
SELECT pg_relation_size('readings') <= pg_relation_size('readings_heap') * 1.01 AS dense;
SELECT count(*), count(DISTINCT id), sum(length(payload)) FROM readings;
BEGIN;
TRUNCATE readings;
COPY readings FROM :'copy_file' WITH (FREEZE);
COMMIT;
SELECT count(*) FROM readings;

-- CREATE TABLE AS, and materialized views.
CREATE TABLE toys USING stream AS SELECT * FROM orders WHERE category = 'toys';
CREATE MATERIALIZED VIEW per_category USING stream AS SELECT category, count(*) FROM orders GROUP BY category;
REFRESH MATERIALIZED VIEW per_category;
SELECT (SELECT count(*) FROM toys) AS toys, * FROM per_category ORDER BY category;

-- Partitions, each leaf a stream; rows are routed, and leaves come and go.
CREATE TABLE events (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-01-02') USING stream;
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-01-02') TO ('2026-01-03') USING stream;
INSERT INTO events VALUES (1, '2026-01-01'), (2, '2026-01-02'), (3, '2026-01-02');
COPY events FROM stdin;
4	2026-01-01
5	2026-01-02
\.
SELECT tableoid::regclass, count(*) FROM events GROUP BY 1 ORDER BY 1;
ALTER TABLE events DETACH PARTITION events_1;
ALTER TABLE events ATTACH PARTITION events_1 FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
DROP TABLE events_2;
SELECT * FROM events ORDER BY id;

-- Triggers and generated columns.
CREATE TABLE measured (a int, doubled int GENERATED ALWAYS AS (a * 2) STORED, noted text) USING stream;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.noted := 'noted'; RETURN NEW; END $$;
CREATE TRIGGER note BEFORE INSERT ON measured FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO measured (a) VALUES (21) RETURNING *;

-- PREPARE TRANSACTION keeps rows back until it is committed.
BEGIN;
INSERT INTO toys VALUES (5000, 'toys', 1);
PREPARE TRANSACTION 'toys_1';
BEGIN;
INSERT INTO toys VALUES (5001, 'toys', 1);
PREPARE TRANSACTION 'toys_2';
SELECT count(*) FROM toys;
COMMIT PREPARED 'toys_1';
ROLLBACK PREPARED 'toys_2';
SELECT count(*) FROM toys;

DROP TABLE orders CASCADE;
DROP TABLE too_wide, documents, readings, readings_heap, toys, events, measured;
DROP FUNCTION note;
