-- A stream is read in every way a heap is.
CREATE TABLE readings (id int, value int) USING stream;
INSERT INTO readings SELECT g, g % 100 FROM generate_series(1, 20000) g;
BEGIN;
INSERT INTO readings VALUES (99999, 0);
ROLLBACK;
CREATE INDEX readings_id ON readings (id);
CREATE INDEX readings_value ON readings (value);
VACUUM ANALYZE readings;

-- In parallel.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT count(*), sum(value) FROM readings;
SELECT count(*), sum(value) FROM readings;
SET max_parallel_workers_per_gather = 0;

-- By bitmap, index and index alone.
SET enable_seqscan = off;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM readings WHERE value = 7 OR id = 8;
SELECT count(*) FROM readings WHERE value = 7 OR id = 8;
SET enable_bitmapscan = off;
SET enable_indexscan = on;
EXPLAIN (COSTS OFF) SELECT value FROM readings WHERE id = 1234;
SELECT value FROM readings WHERE id = 1234;
SET enable_indexonlyscan = on;
EXPLAIN (COSTS OFF) SELECT id FROM readings WHERE id BETWEEN 100 AND 103;
SELECT id FROM readings WHERE id BETWEEN 100 AND 103;
RESET enable_seqscan;
RESET enable_bitmapscan;

-- By address.
SELECT id FROM readings WHERE ctid = '(0,3)';
SELECT id FROM readings WHERE ctid >= '(1,1)' AND ctid <= '(1,3)';
SELECT count(*) FROM readings WHERE ctid < '(2,1)' AND id = ANY (SELECT id FROM readings WHERE ctid < '(1,1)');

-- Samples.
SELECT count(*) BETWEEN 1 AND 19999 AS some FROM readings TABLESAMPLE system (50) REPEATABLE (1);
SELECT count(*) BETWEEN 1 AND 19999 AS some FROM readings TABLESAMPLE bernoulli (50) REPEATABLE (1);
SELECT count(*) FROM readings TABLESAMPLE system (100);

-- Cursors, both ways.
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM readings;
FETCH 2 FROM c;
INSERT INTO readings VALUES (20001, 1);
MOVE LAST IN c;
FETCH BACKWARD 1 FROM c;
FETCH FIRST FROM c;
COMMIT;

-- Row locks; a locked row stays as it is.
BEGIN;
SELECT id FROM readings WHERE id = 5 FOR UPDATE;
SELECT id FROM readings WHERE id = 6 FOR SHARE;
SELECT id FROM readings WHERE id = 7 FOR KEY SHARE SKIP LOCKED;
COMMIT;
SELECT count(*), sum(id) FROM readings WHERE id BETWEEN 5 AND 7;

-- Isolation: a snapshot keeps what it saw.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM readings;
INSERT INTO readings VALUES (20002, 1);
SELECT count(*) FROM readings;
COMMIT;

-- Joins, triggers' transition tables, COPY out, system columns.
CREATE TABLE seen (n bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO seen SELECT count(*) FROM new_rows; RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT ON readings REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note();
INSERT INTO readings VALUES (20003, 1), (20004, 1);
SELECT * FROM seen;
COPY (SELECT id, tableoid::regclass, xmax FROM readings WHERE id > 20002) TO stdout;
COPY readings FROM stdin;
20005	5
\.
SELECT * FROM seen;

DROP TABLE readings, seen;
DROP FUNCTION note;
