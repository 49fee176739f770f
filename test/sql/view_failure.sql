-- A view whose expression raises is tried again, then it has failed: it alone, and it keeps what it had.  (Tests run with
-- streamfuse.restart_delay = 0; streamfuse.restart_attempts is 3.)
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE TABLE orders (event_time timestamptz NOT NULL, amount int, parts int) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time');
CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount / parts) AS share FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW sums WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) AS amount FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
INSERT INTO orders VALUES ('2026-01-01 00:01', 10, 2), ('2026-01-01 00:06', 12, 3);
SELECT streamfuse.flush();

INSERT INTO orders VALUES ('2026-01-01 00:07', 8, 4), ('2026-01-01 00:08', 8, 0);
SELECT streamfuse.flush('sums');
SELECT streamfuse.flush('shares');
SELECT view, status, sqlstate, error FROM streamfuse.stat_views ORDER BY view::text;
SELECT * FROM sums ORDER BY 1;
SELECT window_start, share FROM shares_closed;

-- Who waits for all is told, too; at once.
SELECT streamfuse.flush();

-- The other goes on, through whatever comes.
INSERT INTO orders VALUES ('2026-01-01 00:11', 1, 0);
SELECT streamfuse.flush('sums');
SELECT window_start, amount FROM sums_closed ORDER BY 1;
SELECT view, status FROM streamfuse.views ORDER BY view::text;

-- An error in HAVING or in the select list comes up when the window closes.
CREATE MATERIALIZED VIEW ratios WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) / (sum(amount) - 1) AS ratio FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end;
SELECT streamfuse.flush('ratios');
SELECT window_start, ratio FROM ratios_closed ORDER BY 1;
INSERT INTO orders VALUES ('2026-01-01 00:20', 5, 1);
SELECT streamfuse.flush('sums');
SELECT streamfuse.flush('ratios');
SELECT view, status, sqlstate, error FROM streamfuse.stat_views ORDER BY view::text;

-- Dropped, and made anew, it is well again.
DROP MATERIALIZED VIEW shares, ratios;
CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount / nullif(parts, 0)) AS share FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end;
SELECT streamfuse.flush();
SELECT * FROM shares ORDER BY 1;
DROP TABLE orders CASCADE;

-- Whatever code of a view raises, and whenever: it is that view which fails, and when the cause is gone it goes on.
CREATE FUNCTION careful(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN IF n = 13 THEN RAISE EXCEPTION 'thirteen'; END IF; RETURN n; END $$;
CREATE FUNCTION careful_add(state int, n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN RETURN state + careful(n); END $$;
CREATE AGGREGATE sum_of_careful(int) (SFUNC = careful_add, STYPE = int, INITCOND = '0');
CREATE AGGREGATE careful_sum(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', FINALFUNC = careful);
CREATE FUNCTION careful_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM careful(NEW.n::int); RETURN NULL; END $$;
CREATE FUNCTION differences(view text, query text, OUT closed bigint, OUT more bigint, OUT less bigint) LANGUAGE plpgsql AS
$$ BEGIN EXECUTE format('SELECT (SELECT count(*) FROM %1$I_closed), (SELECT count(*) FROM (TABLE %1$I EXCEPT ALL (%2$s)) d),
                                (SELECT count(*) FROM ((%2$s) EXCEPT ALL TABLE %1$I) d)', view, query) INTO closed, more, less; END $$;
CREATE TABLE steps (event_time timestamptz NOT NULL, n int) USING stream;
SELECT streamfuse.set_watermark('steps', 'event_time');
CREATE TABLE kinds (kind text, query text);
INSERT INTO kinds VALUES
  ('calm', 'SELECT window_start, sum(n) AS n FROM steps, tumble(event_time, ''5 min'') GROUP BY window_start, window_end'),
  ('in_filter', 'SELECT window_start, sum(n) AS n FROM steps, tumble(event_time, ''5 min'') WHERE careful(n) > 0 GROUP BY window_start, window_end'),
  ('in_key', 'SELECT window_start, careful(n) AS n, count(*) FROM steps, tumble(event_time, ''5 min'') GROUP BY window_start, window_end, careful(n)'),
  ('in_argument', 'SELECT window_start, sum(careful(n)) AS n FROM steps, tumble(event_time, ''5 min'') GROUP BY window_start, window_end'),
  ('in_aggregate_filter', 'SELECT window_start, count(*) FILTER (WHERE careful(n) > 0) AS n FROM steps, tumble(event_time, ''5 min'') GROUP BY window_start, window_end'),
  ('in_transition', 'SELECT window_start, sum_of_careful(n) AS n FROM steps, tumble(event_time, ''5 min'') GROUP BY window_start, window_end'),
  ('in_final', 'SELECT window_start, careful_sum(n) AS n FROM steps, tumble(event_time, ''5 min'') GROUP BY window_start, window_end'),
  ('in_having', 'SELECT window_start, sum(n) AS n FROM steps, tumble(event_time, ''5 min'') GROUP BY window_start, window_end HAVING careful(sum(n)::int) > 0'),
  ('in_select_list', 'SELECT window_start, careful(sum(n)::int) AS n FROM steps, tumble(event_time, ''5 min'') GROUP BY window_start, window_end'),
  ('in_trigger', 'SELECT window_start, sum(n) AS n FROM steps, tumble(event_time, ''5 min'') GROUP BY window_start, window_end');
SELECT format('CREATE MATERIALIZED VIEW %I WITH (streamfuse.continuous) AS %s', kind, query) FROM kinds \gexec
CREATE TRIGGER careful AFTER INSERT ON in_trigger_closed FOR EACH ROW EXECUTE FUNCTION careful_row();
INSERT INTO steps VALUES ('2026-01-01 00:01', 1), ('2026-01-01 00:06', 2);
SELECT streamfuse.flush();
INSERT INTO steps VALUES ('2026-01-01 00:11', 13), ('2026-01-01 00:16', 3), ('2026-01-01 00:21', 4);
SELECT streamfuse.flush('calm');
CREATE FUNCTION flush_error(view text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM streamfuse.flush(view::regclass); RETURN NULL; EXCEPTION WHEN object_not_in_prerequisite_state THEN RETURN sqlerrm; END $$;
SELECT kind, flush_error(kind) FROM kinds;
SELECT view, status, sqlstate, error FROM streamfuse.stat_views ORDER BY view::text COLLATE "C";

INSERT INTO steps VALUES ('2026-01-01 00:22', 5), ('2026-01-01 00:26', 6), ('2026-01-01 00:31', 7);
SELECT streamfuse.flush('calm');
SELECT * FROM calm ORDER BY 1;
CREATE OR REPLACE FUNCTION careful(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN n; END $$;
SELECT count(streamfuse.resume(kind::regclass)::text) FROM kinds;
SELECT streamfuse.flush();
SELECT view, status, rows_in, rows_late, error FROM streamfuse.stat_views ORDER BY view::text COLLATE "C";
SELECT kind, d.* FROM kinds, differences(kind, query) d;
DROP TABLE steps CASCADE;
DROP TABLE kinds;
DROP FUNCTION careful CASCADE;
DROP FUNCTION careful_add CASCADE;
DROP FUNCTION careful_row, flush_error, differences;
