-- Every kind of index works on a stream, built before the rows come or after.
CREATE TABLE readings (id int, sensor text, place point, tags int[], period int4range, address inet) USING stream;
INSERT INTO readings
SELECT g, 's' || g % 7, point(g, g), ARRAY[g % 10, g], int4range(g, g + 10), '10.0.0.0'::inet + g
FROM generate_series(1, 2000) g;

CREATE UNIQUE INDEX readings_btree ON readings (id) INCLUDE (sensor);
CREATE INDEX readings_hash ON readings USING hash (sensor);
CREATE INDEX readings_gin ON readings USING gin (tags);
CREATE INDEX readings_gist ON readings USING gist (period);
CREATE INDEX readings_spgist ON readings USING spgist (place);
CREATE INDEX readings_brin ON readings USING brin (id) WITH (pages_per_range = 1);
CREATE INDEX readings_partial ON readings (id) WHERE sensor = 's3';
CREATE INDEX readings_expression ON readings (upper(sensor), (id / 2));
CREATE INDEX CONCURRENTLY readings_concurrent ON readings (id DESC);
CREATE UNIQUE INDEX CONCURRENTLY readings_concurrent_unique ON readings (address);

-- Rows that come later are found as well.
INSERT INTO readings
SELECT g, 's' || g % 7, point(g, g), ARRAY[g % 10, g], int4range(g, g + 10), '10.0.0.0'::inet + g
FROM generate_series(2001, 3000) g;
VACUUM ANALYZE readings;

CREATE FUNCTION uses(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    IF line ~ 'readings_' THEN RETURN substring(line FROM 'readings_\w+'); END IF;
  END LOOP;
  RETURN 'no index';
END $$;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT uses('SELECT sensor FROM readings WHERE id = 2500') AS index, (SELECT sensor FROM readings WHERE id = 2500);
SELECT uses('SELECT id FROM readings WHERE id = 24 AND sensor = ''s3''') AS index, (SELECT id FROM readings WHERE id = 24 AND sensor = 's3');
SELECT uses('SELECT id FROM readings WHERE period @> 2990 ORDER BY id') AS index,
  (SELECT count(*) FROM readings WHERE period @> 2990);
SELECT uses('SELECT id FROM readings WHERE place <@ box ''(100,100),(104,104)''') AS index,
  (SELECT count(*) FROM readings WHERE place <@ box '(100,100),(104,104)');
SELECT uses('SELECT place FROM readings WHERE upper(sensor) = ''S5'' AND id / 2 = 1248') AS index,
  (SELECT place FROM readings WHERE upper(sensor) = 'S5' AND id / 2 = 1248);
SELECT uses('SELECT id FROM readings WHERE address = ''10.0.9.196''') AS index, (SELECT id FROM readings WHERE address = '10.0.9.196');
RESET enable_bitmapscan;
SELECT uses('SELECT count(*) FROM readings WHERE tags @> ARRAY[7]') AS index, (SELECT count(*) FROM readings WHERE tags @> ARRAY[7]);
SELECT uses('SELECT count(*) FROM readings WHERE sensor = ''s6''') AS index, (SELECT count(*) FROM readings WHERE sensor = 's6');
DROP INDEX readings_btree, readings_concurrent, readings_partial;
SELECT uses('SELECT count(*) FROM readings WHERE id BETWEEN 2990 AND 3100') AS index,
  (SELECT count(*) FROM readings WHERE id BETWEEN 2990 AND 3100);
RESET enable_seqscan;

-- REINDEX in all its forms.
REINDEX TABLE readings;
REINDEX INDEX readings_gin;
REINDEX INDEX CONCURRENTLY readings_expression;
REINDEX TABLE CONCURRENTLY readings;
SELECT count(*) AS invalid FROM pg_index WHERE indrelid = 'readings'::regclass AND NOT indisvalid;

-- BRIN summaries are brought up to date, whole or range by range.
CREATE TABLE log (id int) USING stream;
CREATE INDEX log_brin ON log USING brin (id) WITH (pages_per_range = 1, autosummarize = off);
INSERT INTO log SELECT generate_series(1, 3000);
SELECT brin_desummarize_range('log_brin', 0);
SELECT brin_summarize_range('log_brin', 0) AS one;
SELECT brin_summarize_new_values('log_brin') > 5 AS others;
SELECT brin_summarize_new_values('log_brin') AS none_left;

-- A unique index is refused where rows are not unique, and takes no notice of rolled-back ones.
BEGIN;
INSERT INTO log VALUES (1);
ROLLBACK;
CREATE UNIQUE INDEX log_unique ON log (id);
DROP INDEX log_unique;
INSERT INTO log VALUES (1);
CREATE UNIQUE INDEX log_unique ON log (id);
CREATE UNIQUE INDEX CONCURRENTLY log_unique ON log (id);
DROP INDEX log_unique;

-- Rows of the transaction that builds the index, before and after savepoints.
BEGIN;
INSERT INTO log VALUES (10001);
SAVEPOINT s;
INSERT INTO log VALUES (10002);
ROLLBACK TO s;
INSERT INTO log VALUES (10003);
CREATE INDEX log_btree ON log (id);
SET LOCAL enable_seqscan = off;
SELECT id FROM log WHERE id > 10000 ORDER BY id;
COMMIT;

-- A parallel build.
CREATE TABLE many (id int, filler text) USING stream;
INSERT INTO many SELECT g, repeat('x', 100) FROM generate_series(1, 30000) g;
SET min_parallel_table_scan_size = 0;
SET max_parallel_maintenance_workers = 2;
CREATE INDEX many_id ON many (id);
CREATE INDEX CONCURRENTLY many_id_concurrent ON many (id);
RESET min_parallel_table_scan_size;
RESET max_parallel_maintenance_workers;

-- The table's relation cache entry is rebuilt in the middle of a build, as any GRANT elsewhere makes happen.
CREATE FUNCTION disturb() RETURNS void LANGUAGE plpgsql AS
$$ BEGIN EXECUTE 'GRANT SELECT ON public.many TO PUBLIC'; END $$;
CREATE FUNCTION disturbing(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN IF id % 10000 = 0 THEN PERFORM public.disturb(); END IF; RETURN id; END $$;
CREATE INDEX many_disturbed ON many (disturbing(id));
CREATE INDEX many_disturbed_gin ON many USING gin ((ARRAY[disturbing(id)]));
SELECT relacl IS NOT NULL AS disturbed FROM pg_class WHERE oid = 'many'::regclass;

-- No row lacks its entry.
CREATE EXTENSION amcheck;
SELECT c.relname, bt_index_check(c.oid, heapallindexed => true)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND indrelid IN ('readings'::regclass, 'log'::regclass, 'many'::regclass) ORDER BY 1;
DROP EXTENSION amcheck;

DROP TABLE readings, log, many;
DROP FUNCTION uses, disturbing, disturb;
