-- The worker evaluates a view as its owner, in a security-restricted operation: whoever creates a view gets no more
-- rights by it than they have.
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE ROLE regress_sf_analyst;
CREATE ROLE regress_sf_reader;
CREATE TABLE orders (event_time timestamptz NOT NULL, amount int) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time');
GRANT CREATE ON SCHEMA public TO regress_sf_analyst;
GRANT SELECT ON orders TO regress_sf_analyst;

-- What an expression of the view finds out about itself, while the worker runs it.
SET ROLE regress_sf_analyst;
CREATE TABLE loot (a int);
CREATE FUNCTION who(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN current_user; END $$;
-- A function that says it is immutable may still call one that is not.
CREATE FUNCTION try_it(command text) RETURNS text VOLATILE LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE command;
  RETURN 'done';
EXCEPTION WHEN OTHERS THEN
  RETURN sqlerrm;
END $$;
CREATE FUNCTION try(command text, value int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN try_it(command); END $$;
CREATE MATERIALIZED VIEW runs_as WITH (streamfuse.continuous) AS
SELECT window_start, who(amount) AS key, max(who(amount)) AS argument, count(*) FILTER (WHERE who(amount) = 'regress_sf_analyst') AS filter
FROM orders, tumble(event_time, '5 minutes') WHERE who(amount) = 'regress_sf_analyst'
GROUP BY window_start, window_end, who(amount);
CREATE MATERIALIZED VIEW tries WITH (streamfuse.continuous) AS
SELECT window_start, max(try('SET ROLE postgres', amount)) AS set_role, max(try('RESET SESSION AUTHORIZATION', amount)) AS reset,
  max(try('CREATE TEMP TABLE mine (a int)', amount)) AS temp_table, max(try('INSERT INTO loot VALUES (1)', amount)) AS write,
  max(try('DELETE FROM streamfuse.progress', amount)) AS progress
FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
RESET ROLE;
INSERT INTO orders VALUES ('2026-01-01 00:01', 1), ('2026-01-01 00:06', 2);
SELECT streamfuse.flush('runs_as');
SELECT window_start, key, argument, filter FROM runs_as_closed;
SELECT streamfuse.flush('tries');
\x
SELECT set_role, reset, temp_table, write, progress FROM tries_closed;
\x
DROP MATERIALIZED VIEW tries;

-- Reading needs a right on the view, and none on the stream.
GRANT SELECT ON runs_as TO regress_sf_reader;
SET ROLE regress_sf_reader;
SELECT count(*) FROM orders;
SELECT count(*) FROM runs_as;
SELECT count(*) FROM runs_as_closed;
RESET ROLE;

-- A view that names no column needs what its query does: the right to some column.
SET ROLE regress_sf_analyst;
CREATE MATERIALIZED VIEW counts WITH (streamfuse.continuous) AS SELECT count(*) FROM orders;
RESET ROLE;
SELECT streamfuse.flush('counts');
REVOKE SELECT ON orders FROM regress_sf_analyst;
GRANT SELECT (amount) ON orders TO regress_sf_analyst;
INSERT INTO orders VALUES ('2026-01-01 00:07', 3);
SELECT streamfuse.flush('counts');
SELECT count FROM counts;
REVOKE SELECT (amount) ON orders FROM regress_sf_analyst;
INSERT INTO orders VALUES ('2026-01-01 00:08', 3);
SELECT streamfuse.flush('counts');
GRANT SELECT ON orders TO regress_sf_analyst;
DROP MATERIALIZED VIEW counts;
SELECT streamfuse.resume('runs_as');
SELECT streamfuse.flush('runs_as');

-- An owner who may not read the stream any more has no view of it: it stops.
REVOKE SELECT ON orders FROM regress_sf_analyst;
INSERT INTO orders VALUES ('2026-01-01 00:11', 3);
SELECT streamfuse.flush('runs_as');
SELECT view, status, sqlstate, error FROM streamfuse.stat_views;

DROP TABLE orders CASCADE;
DROP TABLE loot;
DROP FUNCTION who, try, try_it;
REVOKE CREATE ON SCHEMA public FROM regress_sf_analyst;
DROP ROLE regress_sf_analyst, regress_sf_reader;
