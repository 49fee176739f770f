-- Capture reads each committed row of a stream once.  These functions, of a test build only, keep a capture in the
-- session: tick() reads what is new and returns running totals.
CREATE FUNCTION tick(rel regclass, attnum int DEFAULT 1, max_pages int DEFAULT 1000000, reload bool DEFAULT false,
  OUT rows bigint, OUT sum bigint, OUT frontier int, OUT open int, OUT pending int, OUT complete bool)
  LANGUAGE c AS '$libdir/streamfuse', 'sf_test_capture';
CREATE FUNCTION may_have_work(rel regclass) RETURNS bool
  LANGUAGE c AS '$libdir/streamfuse', 'sf_test_capture_may_have_work';
CREATE FUNCTION counted(rel regclass) RETURNS bigint LANGUAGE c AS '$libdir/streamfuse', 'sf_test_capture_counted';
CREATE FUNCTION skip(rel regclass) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_test_capture_skip';
CREATE FUNCTION save(rel regclass) RETURNS bytea LANGUAGE c AS '$libdir/streamfuse', 'sf_test_capture_save';
CREATE FUNCTION load(rel regclass, pos bytea, rows bigint, sum bigint) RETURNS void
  LANGUAGE c AS '$libdir/streamfuse', 'sf_test_capture_load';
CREATE FUNCTION minima(rel regclass, attnum int) RETURNS timestamptz[]
  LANGUAGE c AS '$libdir/streamfuse', 'sf_test_capture_minima';
CREATE FUNCTION set_floor(rel regclass, floor int) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_test_floor_publish';
CREATE FUNCTION detach(rel oid) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_test_floor_detach';

CREATE TABLE readings (id int, filler text) USING stream;

-- Does the capture agree with the table, and does the position know which rows it has counted?
CREATE VIEW agreement AS
SELECT t.rows = count AND t.sum = total AS equal, counted('readings') = count AS counted, t.pending
FROM tick('readings') t, LATERAL (SELECT count(*), coalesce(sum(id), 0) AS total FROM readings) r;

-- Nothing, then something, then nothing new.
SELECT rows, sum, complete FROM tick('readings');
INSERT INTO readings VALUES (1), (2), (3);
SELECT may_have_work('readings');
SELECT rows, sum, complete FROM tick('readings');
SELECT may_have_work('readings');
SELECT rows, sum, complete FROM tick('readings');

-- VACUUM gives a rolled-back row's line pointer to a later row, at a lower address than rows counted already.
CREATE TABLE reused (id int) USING stream;
BEGIN;
INSERT INTO reused VALUES (101), (102), (103);
ROLLBACK;
INSERT INTO reused VALUES (1);
SELECT rows, sum FROM tick('reused');
VACUUM reused;
INSERT INTO reused VALUES (2), (3);
SELECT ctid, id FROM reused;
SELECT rows, sum FROM tick('reused');

-- A transaction that commits late, on pages long read: on an open page, and on sealed ones.
BEGIN;
INSERT INTO readings VALUES (1000);
PREPARE TRANSACTION 'late_open';
INSERT INTO readings VALUES (4);
SELECT rows, sum, pending FROM tick('readings');
SELECT may_have_work('readings');
COMMIT PREPARED 'late_open';
SELECT may_have_work('readings');
SELECT rows, sum, pending FROM tick('readings');

BEGIN;
INSERT INTO readings SELECT g, repeat('x', 100) FROM generate_series(2001, 2500) g;
PREPARE TRANSACTION 'late_sealed';
BEGIN;
INSERT INTO readings SELECT g, repeat('x', 100) FROM generate_series(3001, 3500) g;
PREPARE TRANSACTION 'never';
INSERT INTO readings SELECT g, repeat('x', 100) FROM generate_series(5001, 15000) g;
SELECT frontier > 10 AS sealed, pending FROM tick('readings');
SELECT * FROM agreement;
SELECT may_have_work('readings');
COMMIT PREPARED 'late_sealed';
ROLLBACK PREPARED 'never';
SELECT may_have_work('readings');
SELECT * FROM agreement;

-- The position survives being saved and loaded at each step; a tick may be cut into slices.
SELECT rows, sum FROM tick('readings', reload => true);
INSERT INTO readings SELECT g, repeat('x', 100) FROM generate_series(20001, 30000) g;
SELECT complete FROM tick('readings', max_pages => 20, reload => true);
INSERT INTO readings VALUES (30001);
SELECT complete FROM tick('readings', max_pages => 20, reload => true);
SELECT complete FROM tick('readings', reload => true);
SELECT * FROM agreement;
SELECT length(save('readings')) < 500 AS small;

-- VACUUM of rolled-back rows at the end does not shorten the file below the floor.
BEGIN;
INSERT INTO readings SELECT g, repeat('x', 100) FROM generate_series(40001, 45000) g;
ROLLBACK;
SELECT rows IS NOT NULL FROM tick('readings');
VACUUM (TRUNCATE) readings;
INSERT INTO readings VALUES (50001), (50002);
SELECT * FROM agreement;

-- Freezing leaves what is counted as it is, and does not hide what is pending.
BEGIN;
INSERT INTO readings SELECT g, repeat('x', 100) FROM generate_series(60001, 60500) g;
PREPARE TRANSACTION 'frozen';
INSERT INTO readings SELECT g, repeat('x', 100) FROM generate_series(70001, 75000) g;
SELECT pending FROM tick('readings');
COMMIT PREPARED 'frozen';
VACUUM (FREEZE) readings;
SELECT * FROM agreement;

-- Twenty thousand subtransactions, a third of them rolled back.
CREATE FUNCTION many_subtransactions(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..n LOOP
    BEGIN
      INSERT INTO readings VALUES (i);
      IF i % 3 = 0 THEN RAISE division_by_zero; END IF;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END LOOP;
END $$;
BEGIN;
SELECT many_subtransactions(20000);
PREPARE TRANSACTION 'many';
INSERT INTO readings SELECT g, repeat('x', 100) FROM generate_series(80001, 90000) g;
SELECT frontier > 500 AS sealed, pending FROM tick('readings', reload => true);
SELECT length(save('readings')) < 20000 AS small;
SELECT * FROM agreement;
COMMIT PREPARED 'many';
SELECT * FROM agreement;

-- A subtransaction that was rolled back, and one that was not, of a transaction that goes on.
BEGIN;
SAVEPOINT a;
INSERT INTO readings VALUES (91001);
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO readings VALUES (91002);
RELEASE b;
PREPARE TRANSACTION 'sub';
SELECT pending FROM tick('readings');
COMMIT PREPARED 'sub';
SELECT * FROM agreement;

-- Speculative inserts, of which some are taken back; row locks on rows counted and not.
CREATE TABLE keyed (id int PRIMARY KEY) USING stream;
INSERT INTO keyed VALUES (1), (2), (2), (3) ON CONFLICT DO NOTHING;
SELECT rows, sum FROM tick('keyed');
INSERT INTO keyed VALUES (3), (4) ON CONFLICT DO NOTHING;
BEGIN;
SELECT count(*) FROM (SELECT FROM keyed FOR SHARE) k;
SAVEPOINT s;
SELECT count(*) FROM (SELECT FROM keyed FOR UPDATE) k;
COMMIT;
SELECT rows, sum FROM tick('keyed');

-- COPY with FREEZE into a table of the same transaction.
BEGIN;
CREATE TABLE frozen (id int) USING stream;
COPY frozen FROM stdin WITH (FREEZE);
1
2
\.
COMMIT;
SELECT rows, sum FROM tick('frozen');
INSERT INTO frozen VALUES (3);
SELECT rows, sum FROM tick('frozen');

-- The frontier stays at a page that has had rows: empty pages at the end may be gone after a crash.
SELECT frontier < (SELECT pg_relation_size('readings') / 8192) AS within FROM tick('readings');

-- No insert goes below the floor: not from a new session, which would fall back to the last page, nor from one that
-- has a page in mind.
CREATE TABLE floored (id int) USING stream;
INSERT INTO floored VALUES (0);
SELECT rows FROM tick('floored');
SELECT set_floor('floored', 3);
INSERT INTO floored VALUES (1);
SELECT save('floored') AS position \gset
\c
INSERT INTO floored VALUES (2);
\c
INSERT INTO floored SELECT generate_series(3, 5);
\c
COPY floored FROM stdin;
6
7
\.
\c
SELECT (ctid::text::point)[0] AS page, count(*) FROM floored GROUP BY 1 ORDER BY 1;
SELECT load('floored', :'position', 1, 0);
SELECT rows, sum FROM tick('floored');

-- Starting from now: what is there already does not count, what is under way does.
CREATE TABLE skipped (id int, filler text) USING stream;
INSERT INTO skipped SELECT g, repeat('x', 100) FROM generate_series(1, 10000) g;
BEGIN;
INSERT INTO skipped VALUES (100001);
PREPARE TRANSACTION 'under_way';
INSERT INTO skipped SELECT g, repeat('x', 100) FROM generate_series(1, 10000) g;
VACUUM skipped;
SELECT skip('skipped');
SELECT counted('skipped');
INSERT INTO skipped VALUES (100002);
COMMIT PREPARED 'under_way';
SELECT rows, sum FROM tick('skipped');

-- The smallest time in each range of pages, whatever lies before the column in a row.
CREATE TABLE timed (id int, note text, at timestamptz) USING stream;
CREATE TABLE timed_fixed (id int, at timestamptz, note text) USING stream;
INSERT INTO timed SELECT g, CASE WHEN g % 3 > 0 THEN repeat('x', g % 50) END,
  CASE WHEN g % 5 > 0 THEN '2026-01-01 00:00+00'::timestamptz + g * interval '1 s' END FROM generate_series(20000, 1, -1) g;
INSERT INTO timed_fixed SELECT id, at, note FROM timed;
INSERT INTO timed_fixed SELECT id, at, note FROM timed;
SELECT array_agg(m ORDER BY range) = minima('timed', 3) AS equal FROM
  (SELECT floor((ctid::text::point)[0] / 128) AS range, min(at) AS m FROM timed GROUP BY 1) r;
SELECT array_agg(m ORDER BY range) = minima('timed_fixed', 2) AS equal, count(*) > 2 AS several FROM
  (SELECT floor((ctid::text::point)[0] / 128) AS range, min(at) AS m FROM timed_fixed GROUP BY 1) r;

-- A position is of one file: after a TRUNCATE it is of no use, and says so.
TRUNCATE skipped;
SELECT tick('skipped');
SELECT load('skipped', '\x02', 0, 0);
SELECT load('skipped', '\x0101', 0, 0);
SELECT load('skipped', substring(:'position'::bytea FOR 5), 0, 0);

SELECT detach(oid) FROM pg_class WHERE relname IN ('readings', 'reused', 'keyed', 'frozen', 'floored', 'skipped');
DROP TABLE readings, reused, keyed, frozen, floored, skipped, timed, timed_fixed CASCADE;
DROP FUNCTION tick, may_have_work, counted, skip, save, load, minima, set_floor, detach, many_subtransactions;
