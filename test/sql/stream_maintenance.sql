-- VACUUM, ANALYZE and their like.
CREATE TABLE readings (id int, value text) USING stream;
INSERT INTO readings SELECT g, repeat('x', 50) FROM generate_series(1, 10000) g;
ANALYZE readings;
SELECT reltuples FROM pg_class WHERE oid = 'readings'::regclass;
SELECT n_distinct FROM pg_stats WHERE tablename = 'readings' AND attname = 'id';

-- What was rolled back goes; the pages stay, since the file of a stream never gets shorter.
CREATE TABLE length_before AS SELECT pg_relation_size('readings') AS bytes;
BEGIN;
INSERT INTO readings SELECT g, repeat('x', 50) FROM generate_series(10001, 30000) g;
ROLLBACK;
VACUUM (TRUNCATE) readings;
SELECT pg_relation_size('readings') > 2 * bytes AS kept FROM length_before;
SELECT count(*) FROM readings;

-- Later rows go behind them all the same.
INSERT INTO readings VALUES (40000, 'later');
SELECT max(ctid) = (SELECT ctid FROM readings WHERE id = 40000) AS behind FROM readings;

-- Freezing.
SELECT relfrozenxid AS before FROM pg_class WHERE oid = 'readings'::regclass \gset
VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) readings;
SELECT relfrozenxid <> :'before' AS advanced FROM pg_class WHERE oid = 'readings'::regclass;
VACUUM (PARALLEL 2, INDEX_CLEANUP ON, PROCESS_TOAST) readings;
SELECT count(*), sum(id) FROM readings;

-- A rewrite gives dead space back, where no continuous view reads the stream.
VACUUM FULL readings;
SELECT pg_relation_size('readings') < 2 * bytes AS shorter FROM length_before;
SELECT count(*), sum(id) FROM readings;
INSERT INTO readings VALUES (40001, 'after');

-- Statistics count inserts as for any table.
SELECT pg_stat_force_next_flush();
SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables WHERE relname = 'readings';

-- Settings of tables.
ALTER TABLE readings SET (fillfactor = 50, autovacuum_enabled = off);
CREATE TABLE half_full (LIKE readings) USING stream WITH (fillfactor = 50);
INSERT INTO half_full SELECT * FROM readings ORDER BY id;
SELECT round(pg_relation_size('half_full') / pg_relation_size('readings')::numeric) AS times_the_size;

-- Publications and extended statistics.
CREATE STATISTICS readings_stat ON id, value FROM readings;
ANALYZE readings;
SET client_min_messages = error; -- whatever the server's wal_level
CREATE PUBLICATION readings_pub FOR TABLE readings;
RESET client_min_messages;
SELECT tablename FROM pg_publication_tables WHERE pubname = 'readings_pub';
DROP PUBLICATION readings_pub;

DROP TABLE readings, half_full, length_before;
