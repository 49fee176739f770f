\echo Use "CREATE EXTENSION streamfuse" to load this file. \quit

CREATE SCHEMA streamfuse;
COMMENT ON SCHEMA streamfuse IS 'continuous queries: functions, catalogs and state of streamfuse';
GRANT USAGE ON SCHEMA streamfuse TO PUBLIC;

-- The library compares this number with its own (SF_LAYOUT in state/catalog.h): it goes up when what follows changes in
-- a way that another library could not work with.
CREATE FUNCTION streamfuse.layout() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 1';
COMMENT ON FUNCTION streamfuse.layout() IS 'which library these objects are for';

-- ---------------------------------------------------------------------------
-- Streams
-- ---------------------------------------------------------------------------

CREATE FUNCTION streamfuse.stream_handler(internal) RETURNS table_am_handler
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'streamfuse_stream_handler';
REVOKE EXECUTE ON FUNCTION streamfuse.stream_handler(internal) FROM PUBLIC;
COMMENT ON FUNCTION streamfuse.stream_handler(internal) IS 'handler of the access method stream';

CREATE ACCESS METHOD stream TYPE TABLE HANDLER streamfuse.stream_handler;
COMMENT ON ACCESS METHOD stream IS 'append-only tables that continuous views read';

-- ---------------------------------------------------------------------------
-- Windows
-- ---------------------------------------------------------------------------

-- tumble() is SQL that the planner can put into the query in its place: not STRICT, not VOLATILE, no SET, one SELECT.
-- It is in the extension's schema, as a name that queries use.
CREATE FUNCTION streamfuse.tumble_start(ts timestamptz, size interval, "offset" interval, timezone text) RETURNS timestamptz
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'streamfuse_tumble_start_timestamptz';
COMMENT ON FUNCTION streamfuse.tumble_start(timestamptz, interval, interval, text) IS 'start of the tumbling window that holds a time; NULL without one';
CREATE FUNCTION streamfuse.tumble_end(ts timestamptz, size interval, "offset" interval, timezone text) RETURNS timestamptz
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'streamfuse_tumble_end_timestamptz';
COMMENT ON FUNCTION streamfuse.tumble_end(timestamptz, interval, interval, text) IS 'end of the tumbling window that holds a time; NULL without one';
CREATE FUNCTION tumble(ts timestamptz, size interval, "offset" interval DEFAULT '0', timezone text DEFAULT NULL)
  RETURNS TABLE (window_start timestamptz, window_end timestamptz)
  LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
  BEGIN ATOMIC
    SELECT streamfuse.tumble_start(ts, size, "offset", timezone), streamfuse.tumble_end(ts, size, "offset", timezone)
    WHERE ts IS NOT NULL;
  END;
COMMENT ON FUNCTION tumble(timestamptz, interval, interval, text) IS 'the window of a size that holds a time: windows follow each other without gaps; no row for NULL';

CREATE FUNCTION streamfuse.tumble_start(ts timestamp, size interval, "offset" interval, timezone text) RETURNS timestamp
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'streamfuse_tumble_start_timestamp';
COMMENT ON FUNCTION streamfuse.tumble_start(timestamp, interval, interval, text) IS 'start of the tumbling window that holds a time; NULL without one';
CREATE FUNCTION streamfuse.tumble_end(ts timestamp, size interval, "offset" interval, timezone text) RETURNS timestamp
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'streamfuse_tumble_end_timestamp';
COMMENT ON FUNCTION streamfuse.tumble_end(timestamp, interval, interval, text) IS 'end of the tumbling window that holds a time; NULL without one';
CREATE FUNCTION tumble(ts timestamp, size interval, "offset" interval DEFAULT '0', timezone text DEFAULT NULL)
  RETURNS TABLE (window_start timestamp, window_end timestamp)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
  BEGIN ATOMIC
    SELECT streamfuse.tumble_start(ts, size, "offset", timezone), streamfuse.tumble_end(ts, size, "offset", timezone)
    WHERE ts IS NOT NULL;
  END;
COMMENT ON FUNCTION tumble(timestamp, interval, interval, text) IS 'the window of a size that holds a time: windows follow each other without gaps; no row for NULL';

-- ---------------------------------------------------------------------------
-- Watermarks
-- ---------------------------------------------------------------------------

-- Those that change a stream's watermark are for its owner, which they check themselves.
CREATE FUNCTION streamfuse.set_watermark(stream regclass, column_name name, delay interval DEFAULT '0',
                                         strategy text DEFAULT 'fixed', max_ahead text DEFAULT '1 day',
                                         idle_timeout interval DEFAULT NULL, source_key name DEFAULT NULL,
                                         percentile float8 DEFAULT NULL, max_delay interval DEFAULT NULL)
  RETURNS void LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sf_set_watermark';
COMMENT ON FUNCTION streamfuse.set_watermark(regclass, name, interval, text, text, interval, name, float8, interval) IS
  'say which column is a stream''s event time, and how late and how far ahead its rows may be';

CREATE FUNCTION streamfuse.advance_watermark(stream regclass, watermark timestamptz) RETURNS void
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sf_advance_watermark';
COMMENT ON FUNCTION streamfuse.advance_watermark(regclass, timestamptz) IS
  'raise a stream''s watermark, after the rows of this transaction';

CREATE FUNCTION streamfuse.reset_watermark(stream regclass, watermark timestamptz) RETURNS void
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sf_reset_watermark';
COMMENT ON FUNCTION streamfuse.reset_watermark(regclass, timestamptz) IS
  'set a stream''s watermark back; windows that have closed stay closed';

CREATE FUNCTION streamfuse.stream_settings(relation regclass, OUT stream regclass, OUT time_column name,
                                           OUT strategy text, OUT delay interval, OUT max_ahead text)
  LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'sf_stream_settings';
COMMENT ON FUNCTION streamfuse.stream_settings(regclass) IS
  'the watermark settings of a stream; all null when the relation is not a stream';

CREATE VIEW streamfuse.streams AS
  SELECT s.stream, s.time_column, s.strategy, s.delay, s.max_ahead
  FROM pg_catalog.pg_class c CROSS JOIN LATERAL streamfuse.stream_settings(c.oid) s
  WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND s.stream IS NOT NULL;
COMMENT ON VIEW streamfuse.streams IS 'the streams of this database and their watermark settings';
GRANT SELECT ON streamfuse.streams TO PUBLIC;

-- ---------------------------------------------------------------------------
-- Catalogs and state: keyed by fragment, never dumped.  C code reads and writes these as heap tables, so they are that
-- whatever default_table_access_method says.
-- ---------------------------------------------------------------------------

-- Written by DDL on views.
CREATE TABLE streamfuse.fragment (
  id        int4 PRIMARY KEY,
  view      oid NOT NULL UNIQUE,
  output    oid NOT NULL,
  stream    oid NOT NULL,
  begins_at timestamptz,          -- windows that start earlier are not the view's; NULL: all are
  adopted_until timestamptz       -- the output came from a dump, with all windows that end up to then
) USING heap;
COMMENT ON TABLE streamfuse.fragment IS 'the maintained parts of continuous views';
CREATE SEQUENCE streamfuse.fragment_id AS int4 OWNED BY streamfuse.fragment.id;

-- Written by the worker: how far a fragment is; one row each, in the transaction that makes it durable.
CREATE TABLE streamfuse.progress (
  fragment     int4 PRIMARY KEY,
  position     bytea,              -- rows counted, per relation, and the strategy's memory
  watermark    timestamptz NOT NULL DEFAULT '-infinity',
  closed_until timestamptz NOT NULL DEFAULT '-infinity',
  last_closed  timestamptz NOT NULL DEFAULT '-infinity',  -- end of the last window closed with groups in it
  rows_in      int8 NOT NULL DEFAULT 0,
  rows_late    int8 NOT NULL DEFAULT 0,
  rows_missed  int8 NOT NULL DEFAULT 0,
  rows_ahead   int8 NOT NULL DEFAULT 0,
  backfilled   bool NOT NULL DEFAULT false,
  failed       bool NOT NULL DEFAULT false,
  sqlstate     text,
  error        text
) USING heap WITH (fillfactor = 50);
ALTER TABLE streamfuse.progress ALTER COLUMN position SET STORAGE EXTERNAL;
COMMENT ON TABLE streamfuse.progress IS 'how far each fragment is, as of its last durable commit';

-- Written by the worker: open windows' groups in flat form.  Later rows of a window override earlier ones.
CREATE TABLE streamfuse.state (
  fragment     int4 NOT NULL,
  window_start timestamptz NOT NULL,
  seq          int4 NOT NULL,
  window_end   timestamptz NOT NULL,
  payload      bytea NOT NULL,
  PRIMARY KEY (fragment, window_start, seq)
) USING heap;
ALTER TABLE streamfuse.state ALTER COLUMN payload SET STORAGE EXTERNAL;
ALTER TABLE streamfuse.state SET (toast_tuple_target = 8160);
COMMENT ON TABLE streamfuse.state IS 'open groups of each fragment, as of its last checkpoint';

-- Written by the worker: windows that rows came too late for.
CREATE TABLE streamfuse.dirty_window (
  fragment     int4 NOT NULL,
  window_start timestamptz NOT NULL,
  window_end   timestamptz NOT NULL,
  missed       int8 NOT NULL,
  first_missed timestamptz NOT NULL,
  last_missed  timestamptz NOT NULL,
  PRIMARY KEY (fragment, window_start)
) USING heap;
COMMENT ON TABLE streamfuse.dirty_window IS 'windows that missed rows, by fragment';

-- Written by advance_watermark and reset_watermark; read by the worker once committed.
CREATE TABLE streamfuse.punctuation (
  stream    oid NOT NULL,
  id        int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  reset     bool NOT NULL,
  watermark timestamptz NOT NULL
) USING heap;
COMMENT ON TABLE streamfuse.punctuation IS 'watermarks set by hand';

-- ---------------------------------------------------------------------------
-- Views
-- ---------------------------------------------------------------------------

CREATE FUNCTION streamfuse.view_handler(internal) RETURNS table_am_handler
  LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'streamfuse_view_handler';
REVOKE EXECUTE ON FUNCTION streamfuse.view_handler(internal) FROM PUBLIC;
COMMENT ON FUNCTION streamfuse.view_handler(internal) IS 'access method of continuous views';

CREATE ACCESS METHOD streamfuse_view TYPE TABLE HANDLER streamfuse.view_handler;
COMMENT ON ACCESS METHOD streamfuse_view IS 'continuous views; use CREATE MATERIALIZED VIEW ... WITH (streamfuse.continuous)';

CREATE FUNCTION streamfuse.output(view regclass) RETURNS regclass
  LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'streamfuse_output';
COMMENT ON FUNCTION streamfuse.output(regclass) IS 'the table of a continuous view''s closed results';

CREATE FUNCTION streamfuse.view_status(view regclass) RETURNS text
  LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'streamfuse_view_status';
COMMENT ON FUNCTION streamfuse.view_status(regclass) IS 'inert, starting, backfilling, running or failed';

CREATE FUNCTION streamfuse.view_hints(view regclass, stream regclass) RETURNS text[]
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'streamfuse_view_hints';
COMMENT ON FUNCTION streamfuse.view_hints(regclass, regclass) IS 'what the user of a continuous view should know';

CREATE VIEW streamfuse.views AS
SELECT c.oid::regclass AS view, f.output::regclass AS output, f.stream::regclass AS stream,
       coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(c.reloptions) o
                 WHERE  o.option_name = 'streamfuse.emit'), 'live') AS emit,
       streamfuse.view_status(c.oid) AS status,
       streamfuse.view_hints(c.oid, f.stream) AS hints
FROM   pg_catalog.pg_class c
       JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'streamfuse_view'
       LEFT JOIN streamfuse.fragment f ON f.view = c.oid
WHERE  c.relkind = 'm';
COMMENT ON VIEW streamfuse.views IS 'the continuous views of this database';
GRANT SELECT ON streamfuse.views TO PUBLIC;

-- ---------------------------------------------------------------------------
-- Working with views: flush, verify
-- ---------------------------------------------------------------------------

CREATE FUNCTION streamfuse.flush(target regclass DEFAULT NULL, timeout interval DEFAULT NULL) RETURNS timestamptz
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sf_flush';
COMMENT ON FUNCTION streamfuse.flush(regclass, interval) IS
  'waits until all rows committed before the call are counted, and what they close is committed; returns the watermark';

CREATE FUNCTION streamfuse.verify(view regclass, "from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
  RETURNS TABLE (side text, "row" jsonb, n bigint)
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sf_verify';
COMMENT ON FUNCTION streamfuse.verify(regclass, timestamptz, timestamptz) IS
  'rows that differ between what a continuous view answers (stream) and what its query gives over the same rows (batch), n of each; none when all is well.  The range is one of window starts';

-- What the statement of verify() calls.  Anybody may own a view; counted() raises elsewhere.
CREATE FUNCTION streamfuse.counted(tableoid oid, ctid tid, xmin xid) RETURNS bool
  LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 0.0001 AS 'MODULE_PATHNAME', 'sf_counted';
COMMENT ON FUNCTION streamfuse.counted(oid, tid, xid) IS 'for verify(): is a row of a stream counted?';
CREATE FUNCTION streamfuse.magnitude(value float8) RETURNS float8
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_magnitude';
COMMENT ON FUNCTION streamfuse.magnitude(float8) IS 'for verify(): the absolute value, bounded so that sums do not overflow';
CREATE FUNCTION streamfuse.magnitude_float4(value float8) RETURNS float4
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_magnitude_float4';
COMMENT ON FUNCTION streamfuse.magnitude_float4(float8) IS 'for verify(): the nearest number of type real';
CREATE FUNCTION streamfuse.float_agrees(stream float8, batch float8, share float8, magnitude float8) RETURNS bool
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_float_agrees';
COMMENT ON FUNCTION streamfuse.float_agrees(float8, float8, float8, float8) IS 'for verify(): do two numbers differ by no more than a share of their magnitude?';

-- ---------------------------------------------------------------------------
-- What there is and how far it is
-- ---------------------------------------------------------------------------

CREATE FUNCTION streamfuse.stat_views_rows(
    OUT view regclass, OUT status text, OUT watermark timestamptz, OUT closed_until timestamptz,
    OUT rows_in bigint, OUT rows_late bigint, OUT rows_missed bigint, OUT rows_ahead bigint,
    OUT groups bigint, OUT bytes bigint, OUT reader_bytes bigint, OUT sqlstate text, OUT error text)
  RETURNS SETOF record LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sf_stat_views';
COMMENT ON FUNCTION streamfuse.stat_views_rows() IS 'what view streamfuse.stat_views shows';

CREATE VIEW streamfuse.stat_views AS SELECT * FROM streamfuse.stat_views_rows();
COMMENT ON VIEW streamfuse.stat_views IS
  'how far each continuous view is: status, watermark, rows counted, late, missed and ahead, groups and bytes in memory, last error';
GRANT SELECT ON streamfuse.stat_views TO PUBLIC;

CREATE FUNCTION streamfuse.stat_worker(OUT pid int, OUT ready bool, OUT ticks bigint, OUT commits bigint)
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sf_stat_worker';
COMMENT ON FUNCTION streamfuse.stat_worker() IS 'what view streamfuse.stat_workers shows';

CREATE VIEW streamfuse.stat_workers AS SELECT w.* FROM streamfuse.stat_worker() AS w WHERE w.pid IS NOT NULL;
COMMENT ON VIEW streamfuse.stat_workers IS 'the worker of this database: process id, recovered or not, ticks and commits so far';
GRANT SELECT ON streamfuse.stat_workers TO PUBLIC;

CREATE VIEW streamfuse.dirty_windows AS
  SELECT f.view::regclass AS view, d.window_start, d.window_end, d.missed, d.first_missed, d.last_missed
  FROM streamfuse.dirty_window d JOIN streamfuse.fragment f ON f.id = d.fragment;
COMMENT ON VIEW streamfuse.dirty_windows IS 'closed windows that rows came too late for, and how many';
GRANT SELECT ON streamfuse.dirty_windows TO PUBLIC;
