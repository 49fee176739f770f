-- Options of a continuous view: given at creation, changed by ALTER, kept with PostgreSQL's own.
SET client_min_messages = warning;
CREATE TABLE orders (amount int, event_time timestamptz NOT NULL) USING stream;
CREATE FUNCTION view_options(view regclass) RETURNS TABLE (name text, value text) LANGUAGE sql AS
$$ SELECT o.option_name, o.option_value FROM pg_class, pg_options_to_table(reloptions) o
   WHERE oid = view AND o.option_name <> 'streamfuse.settings' ORDER BY 1 $$;

CREATE MATERIALIZED VIEW sales
WITH (streamfuse.continuous, streamfuse.emit = 'final', streamfuse.lateness = drop, autovacuum_enabled = false) AS
SELECT window_start, sum(amount) FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
SELECT * FROM view_options('sales');

-- SET and RESET take ours and PostgreSQL's together.
ALTER MATERIALIZED VIEW sales SET (streamfuse.emit = live, fillfactor = 80);
SELECT * FROM view_options('sales');
ALTER TABLE sales RESET (streamfuse.emit, autovacuum_enabled), SET (streamfuse.allowed_lateness = '0 hours');
SELECT * FROM view_options('sales');
ALTER MATERIALIZED VIEW sales SET (fillfactor = 90);
ALTER MATERIALIZED VIEW IF EXISTS nowhere SET (streamfuse.emit = live);
SELECT emit FROM streamfuse.views WHERE view = 'sales'::regclass;

-- An error leaves all as it was.
ALTER MATERIALIZED VIEW sales SET (streamfuse.emit = final, fillfactor = 5);
ALTER MATERIALIZED VIEW sales SET (streamfuse.emit = final, nonsense = 5);
SELECT * FROM view_options('sales');

-- Values that do not exist, or not yet.
ALTER MATERIALIZED VIEW sales SET (streamfuse.emit = sometimes);
ALTER MATERIALIZED VIEW sales SET (streamfuse.allowed_lateness = '5 minutes');
ALTER MATERIALIZED VIEW sales SET (streamfuse.allowed_lateness = 'soon');
ALTER MATERIALIZED VIEW sales SET (streamfuse.lateness = update);
ALTER MATERIALIZED VIEW sales SET (streamfuse.emit_every = '1 second');
ALTER MATERIALIZED VIEW sales SET (streamfuse.state_ttl = infinity);
ALTER MATERIALIZED VIEW sales SET (streamfuse.max_state = '1GB');
ALTER MATERIALIZED VIEW sales SET (streamfuse.max_state = '1kB');
ALTER MATERIALIZED VIEW sales SET (streamfuse.max_state = 'a lot');
ALTER MATERIALIZED VIEW sales SET (streamfuse.retention = '30 days');
ALTER MATERIALIZED VIEW sales SET (streamfuse.durability = sync);
ALTER MATERIALIZED VIEW sales SET (streamfuse.on_error = ignore);
ALTER MATERIALIZED VIEW sales SET (streamfuse.lateliness = drop);
ALTER MATERIALIZED VIEW sales SET (streamfuse.output = other);
ALTER MATERIALIZED VIEW sales SET (streamfuse.continuous = off);
ALTER MATERIALIZED VIEW sales RESET (streamfuse.continuous);
ALTER MATERIALIZED VIEW sales RESET (streamfuse.emit = live);

-- Only its owner may.
CREATE ROLE regress_stranger;
SET ROLE regress_stranger;
ALTER MATERIALIZED VIEW sales SET (streamfuse.emit = final);
RESET ROLE;
DROP ROLE regress_stranger;

-- The creator's settings are kept with the view.
SELECT substring(option_value FROM 'TimeZone=''[^'']*''')
FROM pg_class, pg_options_to_table(reloptions) WHERE oid = 'sales'::regclass AND option_name = 'streamfuse.settings';

DROP TABLE orders CASCADE;
DROP FUNCTION view_options(regclass);
