\echo Use "CREATE EXTENSION streamfuse" to load this file. \quit

CREATE SCHEMA streamfuse;
COMMENT ON SCHEMA streamfuse IS 'continuous queries: functions, catalogs and state of streamfuse';
GRANT USAGE ON SCHEMA streamfuse TO PUBLIC;

-- The library compares this number with its own (SF_LAYOUT in state/catalog.h): it goes up when what follows changes in
-- a way that another library could not work with.
CREATE FUNCTION streamfuse.layout() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 2';
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

-- The window functions are SQL that the planner can put into the query in its place: not STRICT, not VOLATILE, no SET,
-- one SELECT.  They are in the extension's schema, as names that queries use.
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

CREATE FUNCTION streamfuse.window_rows(internal) RETURNS internal
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'streamfuse_window_rows';
REVOKE EXECUTE ON FUNCTION streamfuse.window_rows(internal) FROM PUBLIC;
COMMENT ON FUNCTION streamfuse.window_rows(internal) IS 'tells the planner in how many windows a time is';

CREATE FUNCTION streamfuse.hop_starts(ts timestamptz, size interval, slide interval, "offset" interval, timezone text, gaps bool) RETURNS SETOF timestamptz
  LANGUAGE c STABLE PARALLEL SAFE ROWS 10 SUPPORT streamfuse.window_rows
  AS 'MODULE_PATHNAME', 'streamfuse_hop_starts_timestamptz';
COMMENT ON FUNCTION streamfuse.hop_starts(timestamptz, interval, interval, interval, text, bool) IS 'starts of the hopping windows that hold a time, in order; none for NULL';
CREATE FUNCTION streamfuse.hop_ends(ts timestamptz, size interval, slide interval, "offset" interval, timezone text, gaps bool) RETURNS SETOF timestamptz
  LANGUAGE c STABLE PARALLEL SAFE ROWS 10 SUPPORT streamfuse.window_rows
  AS 'MODULE_PATHNAME', 'streamfuse_hop_ends_timestamptz';
COMMENT ON FUNCTION streamfuse.hop_ends(timestamptz, interval, interval, interval, text, bool) IS 'ends of the hopping windows that hold a time, in order; none for NULL';
CREATE FUNCTION hop(ts timestamptz, size interval, slide interval, "offset" interval DEFAULT '0', timezone text DEFAULT NULL, gaps bool DEFAULT false)
  RETURNS TABLE (window_start timestamptz, window_end timestamptz)
  LANGUAGE sql STABLE PARALLEL SAFE ROWS 10
  BEGIN ATOMIC
    SELECT streamfuse.hop_starts(ts, size, slide, "offset", timezone, gaps),
           streamfuse.hop_ends(ts, size, slide, "offset", timezone, gaps)
    WHERE ts IS NOT NULL;
  END;
COMMENT ON FUNCTION hop(timestamptz, interval, interval, interval, text, bool) IS 'the windows of a size that hold a time, where one starts every slide: they overlap; no row for NULL';

CREATE FUNCTION streamfuse.hop_starts(ts timestamp, size interval, slide interval, "offset" interval, timezone text, gaps bool) RETURNS SETOF timestamp
  LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10 SUPPORT streamfuse.window_rows
  AS 'MODULE_PATHNAME', 'streamfuse_hop_starts_timestamp';
COMMENT ON FUNCTION streamfuse.hop_starts(timestamp, interval, interval, interval, text, bool) IS 'starts of the hopping windows that hold a time, in order; none for NULL';
CREATE FUNCTION streamfuse.hop_ends(ts timestamp, size interval, slide interval, "offset" interval, timezone text, gaps bool) RETURNS SETOF timestamp
  LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10 SUPPORT streamfuse.window_rows
  AS 'MODULE_PATHNAME', 'streamfuse_hop_ends_timestamp';
COMMENT ON FUNCTION streamfuse.hop_ends(timestamp, interval, interval, interval, text, bool) IS 'ends of the hopping windows that hold a time, in order; none for NULL';
CREATE FUNCTION hop(ts timestamp, size interval, slide interval, "offset" interval DEFAULT '0', timezone text DEFAULT NULL, gaps bool DEFAULT false)
  RETURNS TABLE (window_start timestamp, window_end timestamp)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10
  BEGIN ATOMIC
    SELECT streamfuse.hop_starts(ts, size, slide, "offset", timezone, gaps),
           streamfuse.hop_ends(ts, size, slide, "offset", timezone, gaps)
    WHERE ts IS NOT NULL;
  END;
COMMENT ON FUNCTION hop(timestamp, interval, interval, interval, text, bool) IS 'the windows of a size that hold a time, where one starts every slide: they overlap; no row for NULL';

CREATE FUNCTION streamfuse.cumulate_starts(ts timestamptz, size interval, step interval, "offset" interval, timezone text) RETURNS SETOF timestamptz
  LANGUAGE c STABLE PARALLEL SAFE ROWS 10 SUPPORT streamfuse.window_rows
  AS 'MODULE_PATHNAME', 'streamfuse_cumulate_starts_timestamptz';
COMMENT ON FUNCTION streamfuse.cumulate_starts(timestamptz, interval, interval, interval, text) IS 'starts of the cumulating windows that hold a time, in order; none for NULL';
CREATE FUNCTION streamfuse.cumulate_ends(ts timestamptz, size interval, step interval, "offset" interval, timezone text) RETURNS SETOF timestamptz
  LANGUAGE c STABLE PARALLEL SAFE ROWS 10 SUPPORT streamfuse.window_rows
  AS 'MODULE_PATHNAME', 'streamfuse_cumulate_ends_timestamptz';
COMMENT ON FUNCTION streamfuse.cumulate_ends(timestamptz, interval, interval, interval, text) IS 'ends of the cumulating windows that hold a time, in order; none for NULL';
CREATE FUNCTION cumulate(ts timestamptz, size interval, step interval, "offset" interval DEFAULT '0', timezone text DEFAULT NULL)
  RETURNS TABLE (window_start timestamptz, window_end timestamptz)
  LANGUAGE sql STABLE PARALLEL SAFE ROWS 10
  BEGIN ATOMIC
    SELECT streamfuse.cumulate_starts(ts, size, step, "offset", timezone),
           streamfuse.cumulate_ends(ts, size, step, "offset", timezone)
    WHERE ts IS NOT NULL;
  END;
COMMENT ON FUNCTION cumulate(timestamptz, interval, interval, interval, text) IS 'the windows that hold a time, growing by a step up to a size, where the next ones start; no row for NULL';

CREATE FUNCTION streamfuse.cumulate_starts(ts timestamp, size interval, step interval, "offset" interval, timezone text) RETURNS SETOF timestamp
  LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10 SUPPORT streamfuse.window_rows
  AS 'MODULE_PATHNAME', 'streamfuse_cumulate_starts_timestamp';
COMMENT ON FUNCTION streamfuse.cumulate_starts(timestamp, interval, interval, interval, text) IS 'starts of the cumulating windows that hold a time, in order; none for NULL';
CREATE FUNCTION streamfuse.cumulate_ends(ts timestamp, size interval, step interval, "offset" interval, timezone text) RETURNS SETOF timestamp
  LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10 SUPPORT streamfuse.window_rows
  AS 'MODULE_PATHNAME', 'streamfuse_cumulate_ends_timestamp';
COMMENT ON FUNCTION streamfuse.cumulate_ends(timestamp, interval, interval, interval, text) IS 'ends of the cumulating windows that hold a time, in order; none for NULL';
CREATE FUNCTION cumulate(ts timestamp, size interval, step interval, "offset" interval DEFAULT '0', timezone text DEFAULT NULL)
  RETURNS TABLE (window_start timestamp, window_end timestamp)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10
  BEGIN ATOMIC
    SELECT streamfuse.cumulate_starts(ts, size, step, "offset", timezone),
           streamfuse.cumulate_ends(ts, size, step, "offset", timezone)
    WHERE ts IS NOT NULL;
  END;
COMMENT ON FUNCTION cumulate(timestamp, interval, interval, interval, text) IS 'the windows that hold a time, growing by a step up to a size, where the next ones start; no row for NULL';

-- session() is replaced by the two window functions before a query is planned; where it is not, it raises, even without
-- a time: not STRICT.
CREATE FUNCTION streamfuse.session_start(ts timestamptz, gap interval) RETURNS timestamptz
  LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'streamfuse_session_start';
COMMENT ON FUNCTION streamfuse.session_start(timestamptz, interval) IS 'start of a row''s session; OVER rows of the same keys ORDER BY their time';
CREATE FUNCTION streamfuse.session_end(ts timestamptz, gap interval) RETURNS timestamptz
  LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'streamfuse_session_end';
COMMENT ON FUNCTION streamfuse.session_end(timestamptz, interval) IS 'end of a row''s session; OVER rows of the same keys ORDER BY their time';
CREATE FUNCTION session(ts timestamptz, gap interval) RETURNS TABLE (window_start timestamptz, window_end timestamptz)
  LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'streamfuse_session';
COMMENT ON FUNCTION session(timestamptz, interval) IS 'the session of a row: rows of the same GROUP BY keys that follow each other by less than the gap; in FROM';
CREATE FUNCTION session(ts timestamptz, gap interval, VARIADIC keys "any")
  RETURNS TABLE (window_start timestamptz, window_end timestamptz)
  LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'streamfuse_session';
COMMENT ON FUNCTION session(timestamptz, interval, "any") IS 'the session of a row: rows of the same keys that follow each other by less than the gap; in FROM';

CREATE FUNCTION streamfuse.session_start(ts timestamp, gap interval) RETURNS timestamp
  LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'streamfuse_session_start';
COMMENT ON FUNCTION streamfuse.session_start(timestamp, interval) IS 'start of a row''s session; OVER rows of the same keys ORDER BY their time';
CREATE FUNCTION streamfuse.session_end(ts timestamp, gap interval) RETURNS timestamp
  LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'streamfuse_session_end';
COMMENT ON FUNCTION streamfuse.session_end(timestamp, interval) IS 'end of a row''s session; OVER rows of the same keys ORDER BY their time';
CREATE FUNCTION session(ts timestamp, gap interval) RETURNS TABLE (window_start timestamp, window_end timestamp)
  LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'streamfuse_session';
COMMENT ON FUNCTION session(timestamp, interval) IS 'the session of a row: rows of the same GROUP BY keys that follow each other by less than the gap; in FROM';
CREATE FUNCTION session(ts timestamp, gap interval, VARIADIC keys "any")
  RETURNS TABLE (window_start timestamp, window_end timestamp)
  LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'streamfuse_session';
COMMENT ON FUNCTION session(timestamp, interval, "any") IS 'the session of a row: rows of the same keys that follow each other by less than the gap; in FROM';

-- ---------------------------------------------------------------------------
-- Aggregates: bounded values, lists and maps, for plain queries and continuous views alike.  Their functions take or give
-- internal states, so that nobody can call them but an aggregate.
-- ---------------------------------------------------------------------------

CREATE FUNCTION streamfuse.first_transition(state internal, value anyelement, ts anycompatible) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_first_transition';
COMMENT ON FUNCTION streamfuse.first_transition(internal, anyelement, anycompatible) IS 'transition function of first';
CREATE FUNCTION streamfuse.last_transition(state internal, value anyelement, ts anycompatible) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_last_transition';
COMMENT ON FUNCTION streamfuse.last_transition(internal, anyelement, anycompatible) IS 'transition function of last';
CREATE FUNCTION streamfuse.last_n_transition(state internal, value anyelement, ts anycompatible, n int) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_last_n_transition';
COMMENT ON FUNCTION streamfuse.last_n_transition(internal, anyelement, anycompatible, int) IS 'transition function of last_n';
CREATE FUNCTION streamfuse.pick_combine(internal, internal) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_pick_combine';
COMMENT ON FUNCTION streamfuse.pick_combine(internal, internal) IS 'combine function of first, last and last_n';
CREATE FUNCTION streamfuse.pick_serialise(internal) RETURNS bytea
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_pick_serialise';
COMMENT ON FUNCTION streamfuse.pick_serialise(internal) IS 'serialisation function of first, last and last_n';
CREATE FUNCTION streamfuse.pick_deserialise(bytea, internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_pick_deserialise';
COMMENT ON FUNCTION streamfuse.pick_deserialise(bytea, internal) IS 'deserialisation function of first, last and last_n';
CREATE FUNCTION streamfuse.pick_value(state internal, value anyelement, ts anycompatible) RETURNS anyelement
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_pick_value';
COMMENT ON FUNCTION streamfuse.pick_value(internal, anyelement, anycompatible) IS 'final function of first and last';
CREATE FUNCTION streamfuse.pick_array(state internal, value anyelement, ts anycompatible, n int) RETURNS anyarray
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_pick_array';
COMMENT ON FUNCTION streamfuse.pick_array(internal, anyelement, anycompatible, int) IS 'final function of last_n';

CREATE AGGREGATE streamfuse.first(value anyelement, ts anycompatible) (
  SFUNC = streamfuse.first_transition, STYPE = internal, FINALFUNC = streamfuse.pick_value, FINALFUNC_EXTRA,
  COMBINEFUNC = streamfuse.pick_combine, SERIALFUNC = streamfuse.pick_serialise, DESERIALFUNC = streamfuse.pick_deserialise,
  PARALLEL = SAFE);
COMMENT ON AGGREGATE streamfuse.first(anyelement, anycompatible) IS
  'the value of the row that is first by ts, and among equals by value; rows without ts are ignored, null values are not and sort last: (array_agg(value ORDER BY ts, value))[1]';
CREATE AGGREGATE streamfuse.last(value anyelement, ts anycompatible) (
  SFUNC = streamfuse.last_transition, STYPE = internal, FINALFUNC = streamfuse.pick_value, FINALFUNC_EXTRA,
  COMBINEFUNC = streamfuse.pick_combine, SERIALFUNC = streamfuse.pick_serialise, DESERIALFUNC = streamfuse.pick_deserialise,
  PARALLEL = SAFE);
COMMENT ON AGGREGATE streamfuse.last(anyelement, anycompatible) IS
  'the value of the row that is last by ts, and among equals by value; rows without ts are ignored, null values are not and sort last: (array_agg(value ORDER BY ts DESC, value DESC))[1]';
CREATE AGGREGATE streamfuse.last_n(value anyelement, ts anycompatible, n int) (
  SFUNC = streamfuse.last_n_transition, STYPE = internal, FINALFUNC = streamfuse.pick_array, FINALFUNC_EXTRA,
  COMBINEFUNC = streamfuse.pick_combine, SERIALFUNC = streamfuse.pick_serialise, DESERIALFUNC = streamfuse.pick_deserialise,
  PARALLEL = SAFE);
COMMENT ON AGGREGATE streamfuse.last_n(anyelement, anycompatible, int) IS
  'array of the values of the n rows that are last by ts, and among equals by value, the last one at the end; n is from 1 to 1000, the same in all rows of a group; rows without ts are ignored, null values are not and sort last';

CREATE FUNCTION streamfuse.count_by_transition(state internal, key text) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_count_by_transition';
COMMENT ON FUNCTION streamfuse.count_by_transition(internal, text) IS 'transition function of count_by';
CREATE FUNCTION streamfuse.sum_by_transition(state internal, key text, value numeric) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_sum_by_transition';
COMMENT ON FUNCTION streamfuse.sum_by_transition(internal, text, numeric) IS 'transition function of sum_by';
CREATE FUNCTION streamfuse.by_key_combine(internal, internal) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_by_key_combine';
COMMENT ON FUNCTION streamfuse.by_key_combine(internal, internal) IS 'combine function of count_by and sum_by';
CREATE FUNCTION streamfuse.by_key_serialise(internal) RETURNS bytea
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_by_key_serialise';
COMMENT ON FUNCTION streamfuse.by_key_serialise(internal) IS 'serialisation function of count_by and sum_by';
CREATE FUNCTION streamfuse.by_key_deserialise(bytea, internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_by_key_deserialise';
COMMENT ON FUNCTION streamfuse.by_key_deserialise(bytea, internal) IS 'deserialisation function of count_by and sum_by';
CREATE FUNCTION streamfuse.by_key_object(internal) RETURNS jsonb
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sf_by_key_object';
COMMENT ON FUNCTION streamfuse.by_key_object(internal) IS 'final function of count_by and sum_by';

CREATE AGGREGATE streamfuse.count_by(key text) (
  SFUNC = streamfuse.count_by_transition, STYPE = internal, FINALFUNC = streamfuse.by_key_object,
  COMBINEFUNC = streamfuse.by_key_combine, SERIALFUNC = streamfuse.by_key_serialise, DESERIALFUNC = streamfuse.by_key_deserialise,
  PARALLEL = SAFE);
COMMENT ON AGGREGATE streamfuse.count_by(text) IS
  'jsonb object of the number of rows for each key, of which there may be 10000; rows without key are ignored';
CREATE AGGREGATE streamfuse.sum_by(key text, value numeric) (
  SFUNC = streamfuse.sum_by_transition, STYPE = internal, FINALFUNC = streamfuse.by_key_object,
  COMBINEFUNC = streamfuse.by_key_combine, SERIALFUNC = streamfuse.by_key_serialise, DESERIALFUNC = streamfuse.by_key_deserialise,
  PARALLEL = SAFE);
COMMENT ON AGGREGATE streamfuse.sum_by(text, numeric) IS
  'jsonb object of the sum of values for each key, of which there may be 10000; null when a key has none; rows without key are ignored';

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
  streams   oid[] NOT NULL,       -- that it reads, each once
  begins_at timestamptz,          -- windows that start earlier are not the view's; NULL: all are
  adopted_until timestamptz,      -- the output came from a dump, with all windows that end up to then
  paused    bool NOT NULL DEFAULT false,  -- by pause()
  resumes   int4 NOT NULL DEFAULT 0       -- calls of resume(): a failure counts for the run it happened in
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
  error        text,
  rows_read    int8 NOT NULL DEFAULT 0,
  committed_at timestamptz,        -- NULL: never
  failed_at    timestamptz,
  rows_failed  int8 NOT NULL DEFAULT 0,
  resumes      int4 NOT NULL DEFAULT 0,  -- fragment.resumes as of then: later ones have undone the failure
  forgotten_before timestamptz NOT NULL DEFAULT '-infinity',  -- groups over all time without a row since are forgotten
  spilled_groups int8 NOT NULL DEFAULT 0,  -- rows in streamfuse.spilled, and the bytes of their payloads
  spilled_bytes  int8 NOT NULL DEFAULT 0
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

-- Written by the worker: groups that memory has no room for, one a row, in flat form.  They come back when rows come
-- for them.  The hash is that of the key; groups that share one are told apart by their payloads.
CREATE TABLE streamfuse.spilled (
  fragment     int4 NOT NULL,
  hash         int4 NOT NULL,
  window_start timestamptz NOT NULL,
  window_end   timestamptz NOT NULL,
  payload      bytea NOT NULL
) USING heap;
ALTER TABLE streamfuse.spilled ALTER COLUMN payload SET STORAGE EXTERNAL;
ALTER TABLE streamfuse.spilled SET (toast_tuple_target = 8160);
CREATE INDEX spilled_key ON streamfuse.spilled (fragment, window_start, hash);
COMMENT ON TABLE streamfuse.spilled IS 'groups that are not in memory, by fragment';

-- Written by the worker: windows that rows came too late for.
CREATE TABLE streamfuse.dirty_window (
  fragment     int4 NOT NULL,
  window_start timestamptz NOT NULL,
  window_end   timestamptz NOT NULL,
  missed       int8 NOT NULL,
  first_missed timestamptz NOT NULL,
  last_missed  timestamptz NOT NULL,
  PRIMARY KEY (fragment, window_start, window_end)
) USING heap;
COMMENT ON TABLE streamfuse.dirty_window IS 'windows that missed rows, by fragment';

-- Written by the worker: rows that raised an error, in a view with on_error = 'skip', with the position beyond them.
CREATE TABLE streamfuse.error_row (
  fragment   int4 NOT NULL,
  relation   oid NOT NULL,         -- the stream, or a leaf of it
  tid        tid NOT NULL,
  event_time timestamptz,          -- NULL in a view without a window
  at         timestamptz NOT NULL,
  sqlstate   text NOT NULL,
  message    text NOT NULL,
  branch     int4 NOT NULL DEFAULT 1,  -- the SELECT of a UNION ALL that it raised in; others may have counted it
  PRIMARY KEY (fragment, relation, tid, branch)
) USING heap;
COMMENT ON TABLE streamfuse.error_row IS 'rows that raised an error and are not counted, by fragment';

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
COMMENT ON FUNCTION streamfuse.view_status(regclass) IS 'inert, starting, backfilling, running, retrying, paused or failed';

CREATE FUNCTION streamfuse.view_hints(view regclass, streams oid[]) RETURNS text[]
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'streamfuse_view_hints';
COMMENT ON FUNCTION streamfuse.view_hints(regclass, oid[]) IS 'what the user of a continuous view should know';

CREATE FUNCTION streamfuse.view_exemptions(view regclass) RETURNS text[]
  LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'streamfuse_view_exemptions';
COMMENT ON FUNCTION streamfuse.view_exemptions(regclass) IS 'in what a continuous view may differ from its query run as a batch';

CREATE VIEW streamfuse.views AS
SELECT c.oid::regclass AS view, f.output::regclass AS output, f.streams::regclass[] AS streams,
       coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(c.reloptions) o
                 WHERE  o.option_name = 'streamfuse.emit'), 'live') AS emit,
       coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(c.reloptions) o
                 WHERE  o.option_name = 'streamfuse.on_error'), 'stop') AS on_error,
       streamfuse.view_status(c.oid) AS status,
       x.exemptions = '{}' AS exact, x.exemptions,
       streamfuse.view_hints(c.oid, f.streams) AS hints
FROM   pg_catalog.pg_class c
       JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'streamfuse_view'
       LEFT JOIN streamfuse.fragment f ON f.view = c.oid
       CROSS JOIN LATERAL streamfuse.view_exemptions(c.oid) x (exemptions)
WHERE  c.relkind = 'm';
COMMENT ON VIEW streamfuse.views IS 'the continuous views of this database';
COMMENT ON COLUMN streamfuse.views.output IS 'the table of closed results; null for a view that has been restored and not been refreshed';
COMMENT ON COLUMN streamfuse.views.status IS 'inert, starting, backfilling, running or failed';
COMMENT ON COLUMN streamfuse.views.exact IS 'does the view answer exactly what its query does, run as a batch?';
COMMENT ON COLUMN streamfuse.views.exemptions IS 'if not: in what it may differ';
COMMENT ON COLUMN streamfuse.views.hints IS 'what its user should know';
GRANT SELECT ON streamfuse.views TO PUBLIC;

-- ---------------------------------------------------------------------------
-- Working with views: pause and resume, flush, verify
-- ---------------------------------------------------------------------------

-- For the view's owner, which they check themselves.
CREATE FUNCTION streamfuse.pause(view regclass) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'streamfuse_pause';
COMMENT ON FUNCTION streamfuse.pause(regclass) IS
  'stops a continuous view where it is, from this transaction''s commit on: it is read as of its last position until it is resumed';

CREATE FUNCTION streamfuse.resume(view regclass) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'streamfuse_resume';
COMMENT ON FUNCTION streamfuse.resume(regclass) IS
  'lets a continuous view that is paused or has failed go on from its own position, and one that waits to be tried again go on at once';

CREATE FUNCTION streamfuse.flush(target regclass DEFAULT NULL, timeout interval DEFAULT NULL) RETURNS timestamptz
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sf_flush';
COMMENT ON FUNCTION streamfuse.flush(regclass, interval) IS
  'waits until all rows committed before the call are counted, and what they close is committed; returns the watermark';

CREATE FUNCTION streamfuse.checkpoint() RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sf_checkpoint';
COMMENT ON FUNCTION streamfuse.checkpoint() IS
  'makes the state of all views of this database durable, as of the rows committed before the call';

CREATE FUNCTION streamfuse.verify(view regclass, "from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
  RETURNS TABLE (side text, "row" jsonb, n bigint)
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sf_verify';
COMMENT ON FUNCTION streamfuse.verify(regclass, timestamptz, timestamptz) IS
  'rows that differ between what a continuous view answers (stream) and what its query gives over the same rows (batch), n of each; none when all is well.  The range is one of window starts';

CREATE FUNCTION streamfuse.explain(target text, format text DEFAULT 'text') RETURNS SETOF text
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 20 AS 'MODULE_PATHNAME', 'sf_explain';
COMMENT ON FUNCTION streamfuse.explain(text, text) IS
  'what of a continuous view, or of a query that would become one, is maintained and how: as text, json or dot';
CREATE FUNCTION streamfuse.explain(view regclass, format text DEFAULT 'text') RETURNS SETOF text
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 20 AS 'MODULE_PATHNAME', 'sf_explain_view';
COMMENT ON FUNCTION streamfuse.explain(regclass, text) IS
  'what of a continuous view is maintained and how: as text, json or dot';

-- What the statement of verify() calls.  Anybody may own a view; counted() raises elsewhere.
CREATE FUNCTION streamfuse.counted(tableoid oid, ctid tid, xmin xid, branch int) RETURNS bool
  LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 0.0001 AS 'MODULE_PATHNAME', 'sf_counted';
COMMENT ON FUNCTION streamfuse.counted(oid, tid, xid, int) IS 'for verify(): is a row of a stream counted?';
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
    OUT view regclass, OUT status text, OUT stream regclass, OUT watermark timestamptz, OUT closed_until timestamptz,
    OUT waits_for text, OUT next_close timestamptz, OUT next_close_needs timestamptz,
    OUT lag interval, OUT lag_bytes bigint, OUT lag_rows bigint,
    OUT rows_read bigint, OUT rows_in bigint, OUT rows_late bigint, OUT rows_missed bigint, OUT rows_ahead bigint,
    OUT rows_failed bigint, OUT open_windows bigint, OUT groups bigint, OUT bytes bigint, OUT reader_bytes bigint,
    OUT last_rows timestamptz, OUT last_checkpoint timestamptz, OUT sqlstate text, OUT error text, OUT failed_at timestamptz,
    OUT attempts int, OUT next_attempt timestamptz)
  RETURNS SETOF record LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sf_stat_views';
COMMENT ON FUNCTION streamfuse.stat_views_rows() IS 'what view streamfuse.stat_views shows, as of the last tick';

CREATE VIEW streamfuse.stat_views AS
  SELECT s.*, p.watermark AS committed_watermark, p.rows_read AS committed_rows_read, p.rows_in AS committed_rows_in,
         p.rows_late AS committed_rows_late, p.rows_missed AS committed_rows_missed, p.rows_ahead AS committed_rows_ahead,
         p.rows_failed AS committed_rows_failed, p.spilled_groups, p.spilled_bytes
  FROM streamfuse.stat_views_rows() s
       LEFT JOIN streamfuse.fragment f ON f.view = s.view
       LEFT JOIN streamfuse.progress p ON p.fragment = f.id;
COMMENT ON VIEW streamfuse.stat_views IS 'how far each continuous view is';
COMMENT ON COLUMN streamfuse.stat_views.status IS 'starting, backfilling, running, catching up, recovering, retrying, paused or failed';
COMMENT ON COLUMN streamfuse.stat_views.stream IS 'the stream whose watermark is the view''s: of several that it reads, the one that holds it';
COMMENT ON COLUMN streamfuse.stat_views.watermark IS 'rows older than this are not expected any more';
COMMENT ON COLUMN streamfuse.stat_views.closed_until IS 'windows that end at or before it are closed';
COMMENT ON COLUMN streamfuse.stat_views.waits_for IS 'what keeps the next window from closing; null when none is open and nothing waits to be counted';
COMMENT ON COLUMN streamfuse.stat_views.next_close IS 'end of the open window that is to close next';
COMMENT ON COLUMN streamfuse.stat_views.next_close_needs IS 'that window closes when a row with this event time, or a later one, is counted';
COMMENT ON COLUMN streamfuse.stat_views.lag IS 'how long there have been committed rows that are not counted';
COMMENT ON COLUMN streamfuse.stat_views.lag_bytes IS 'part of the stream that has not been read; null while the stream is locked';
COMMENT ON COLUMN streamfuse.stat_views.lag_rows IS 'about how many rows that is';
COMMENT ON COLUMN streamfuse.stat_views.rows_read IS 'rows of the stream that were looked at; those that are neither in nor late did not pass the filter, or lie before the view''s first window';
COMMENT ON COLUMN streamfuse.stat_views.rows_in IS 'rows counted in a window';
COMMENT ON COLUMN streamfuse.stat_views.rows_late IS 'rows whose window had closed';
COMMENT ON COLUMN streamfuse.stat_views.rows_missed IS 'late rows that results lack, once for each window that held them and had closed; streamfuse.dirty_windows lists those';
COMMENT ON COLUMN streamfuse.stat_views.rows_ahead IS 'rows too far ahead of the clock to move the watermark';
COMMENT ON COLUMN streamfuse.stat_views.rows_failed IS 'rows that raised an error and are not counted, with on_error = skip; streamfuse.errors lists them';
COMMENT ON COLUMN streamfuse.stat_views.open_windows IS 'windows in memory that have not closed; where windows overlap, the panes that they are made of';
COMMENT ON COLUMN streamfuse.stat_views.groups IS 'groups in memory';
COMMENT ON COLUMN streamfuse.stat_views.bytes IS 'memory of the view''s state';
COMMENT ON COLUMN streamfuse.stat_views.reader_bytes IS 'of that, what is kept for open readers';
COMMENT ON COLUMN streamfuse.stat_views.last_rows IS 'start of the last tick that brought rows';
COMMENT ON COLUMN streamfuse.stat_views.last_checkpoint IS 'results, state and counters are durable as of then';
COMMENT ON COLUMN streamfuse.stat_views.error IS 'why the view has failed or is tried again; shown to its owner and to members of pg_read_all_stats';
COMMENT ON COLUMN streamfuse.stat_views.attempts IS 'so many times in a row has it been tried again';
COMMENT ON COLUMN streamfuse.stat_views.next_attempt IS 'when it is tried again; null when it does not wait for that';
COMMENT ON COLUMN streamfuse.stat_views.committed_watermark IS 'the watermark as of the last commit; the counters that follow are as of then, too';
COMMENT ON COLUMN streamfuse.stat_views.spilled_groups IS 'groups that are on disk, in streamfuse.spilled, and not in memory; as of the last commit';
COMMENT ON COLUMN streamfuse.stat_views.spilled_bytes IS 'what they take there, without the overhead of rows and index';
GRANT SELECT ON streamfuse.stat_views TO PUBLIC;

CREATE FUNCTION streamfuse.stat_backfill_rows(
    OUT view regclass, OUT stream regclass, OUT phase text, OUT rows_done bigint, OUT bytes_total bigint,
    OUT bytes_done bigint, OUT percent float8, OUT rows_per_second bigint, OUT since timestamptz, OUT time_left interval)
  RETURNS SETOF record LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sf_stat_backfill';
COMMENT ON FUNCTION streamfuse.stat_backfill_rows() IS 'what view streamfuse.stat_progress_backfill shows';

CREATE VIEW streamfuse.stat_progress_backfill AS SELECT * FROM streamfuse.stat_backfill_rows();
COMMENT ON VIEW streamfuse.stat_progress_backfill IS 'views that work in history, or what came while there was no worker, and how far they are';
COMMENT ON COLUMN streamfuse.stat_progress_backfill.phase IS 'the view''s status, or that the stream is locked';
COMMENT ON COLUMN streamfuse.stat_progress_backfill.rows_done IS 'rows of the stream that were looked at';
COMMENT ON COLUMN streamfuse.stat_progress_backfill.bytes_total IS 'size of the stream';
COMMENT ON COLUMN streamfuse.stat_progress_backfill.bytes_done IS 'part of it that has been read';
COMMENT ON COLUMN streamfuse.stat_progress_backfill.rows_per_second IS 'since the catch-up began';
COMMENT ON COLUMN streamfuse.stat_progress_backfill.time_left IS 'at that pace';
GRANT SELECT ON streamfuse.stat_progress_backfill TO PUBLIC;

CREATE FUNCTION streamfuse.stat_stream(stream regclass,
    OUT views int, OUT leaves int, OUT bytes bigint, OUT estimated_rows bigint,
    OUT watermark timestamptz, OUT max_event_time timestamptz, OUT bytes_read bigint, OUT open_bytes bigint,
    OUT lag interval, OUT lag_bytes bigint, OUT lag_rows bigint, OUT locked bool,
    OUT pending_transactions int, OUT oldest_pending xid8)
  LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'sf_stat_stream';
COMMENT ON FUNCTION streamfuse.stat_stream(regclass) IS 'what view streamfuse.stat_streams shows of a stream';

CREATE VIEW streamfuse.stat_streams AS
  SELECT c.oid::regclass AS stream, s.*, a.pid AS oldest_pending_pid, x.gid AS oldest_pending_gid,
         coalesce(a.xact_start, x.prepared) AS oldest_pending_since
  FROM pg_catalog.pg_class c
       CROSS JOIN LATERAL streamfuse.stat_stream(c.oid) s
       LEFT JOIN pg_catalog.pg_stat_activity a ON a.backend_xid = s.oldest_pending::xid
       LEFT JOIN pg_catalog.pg_prepared_xacts x ON x.transaction = s.oldest_pending::xid
  WHERE c.oid IN (SELECT t.stream FROM streamfuse.streams t UNION SELECT unnest(f.streams) FROM streamfuse.fragment f);
COMMENT ON VIEW streamfuse.stat_streams IS 'how far the views of each stream are, by the slowest of them';
COMMENT ON COLUMN streamfuse.stat_streams.views IS 'continuous views that read the stream';
COMMENT ON COLUMN streamfuse.stat_streams.leaves IS 'tables that hold its rows: 1, or its partitions';
COMMENT ON COLUMN streamfuse.stat_streams.estimated_rows IS 'by the planner''s statistics; null before ANALYZE';
COMMENT ON COLUMN streamfuse.stat_streams.watermark IS 'rows older than this are not expected any more';
COMMENT ON COLUMN streamfuse.stat_streams.max_event_time IS 'the largest event time counted, rows ahead of the clock left out';
COMMENT ON COLUMN streamfuse.stat_streams.bytes_read IS 'part of the stream that all views have read';
COMMENT ON COLUMN streamfuse.stat_streams.open_bytes IS 'part at the end that inserts may still write to, which is looked at again';
COMMENT ON COLUMN streamfuse.stat_streams.lag IS 'how long there have been committed rows that are not counted';
COMMENT ON COLUMN streamfuse.stat_streams.lag_bytes IS 'part that has not been read';
COMMENT ON COLUMN streamfuse.stat_streams.lag_rows IS 'about how many rows that is';
COMMENT ON COLUMN streamfuse.stat_streams.locked IS 'somebody holds a lock that keeps the worker out; the sizes are without what is locked';
COMMENT ON COLUMN streamfuse.stat_streams.pending_transactions IS 'open transactions that have inserted; their rows are counted when they commit';
COMMENT ON COLUMN streamfuse.stat_streams.oldest_pending IS 'the first of them';
COMMENT ON COLUMN streamfuse.stat_streams.oldest_pending_pid IS 'the session it runs in';
COMMENT ON COLUMN streamfuse.stat_streams.oldest_pending_gid IS 'its name, if it is prepared';
GRANT SELECT ON streamfuse.stat_streams TO PUBLIC;

CREATE FUNCTION streamfuse.stat_workers_rows(
    OUT pid int, OUT datid oid, OUT state text, OUT ready bool, OUT views int, OUT started_at timestamptz,
    OUT ticks bigint, OUT commits bigint, OUT rows bigint, OUT tick_ms float8, OUT commit_ms float8, OUT busy_ms float8,
    OUT bytes bigint)
  RETURNS SETOF record LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'sf_stat_workers';
COMMENT ON FUNCTION streamfuse.stat_workers_rows() IS 'what view streamfuse.stat_workers shows';

CREATE VIEW streamfuse.stat_workers AS
  SELECT w.pid, w.datid, d.datname, w.state, w.ready, w.views, w.started_at, w.ticks, w.commits, w.rows, w.tick_ms,
         w.commit_ms, w.busy_ms, w.bytes
  FROM streamfuse.stat_workers_rows() w LEFT JOIN pg_catalog.pg_database d ON d.oid = w.datid;
COMMENT ON VIEW streamfuse.stat_workers IS 'the workers, one for each database of the server that has continuous views';
COMMENT ON COLUMN streamfuse.stat_workers.state IS 'what it does: starting, reading catalogs, tick, commit, idle, waiting to retry';
COMMENT ON COLUMN streamfuse.stat_workers.ready IS 'it has recovered its views and published a tick';
COMMENT ON COLUMN streamfuse.stat_workers.ticks IS 'since the server started; so are commits';
COMMENT ON COLUMN streamfuse.stat_workers.rows IS 'taken in by this worker';
COMMENT ON COLUMN streamfuse.stat_workers.tick_ms IS 'how long the last tick took';
COMMENT ON COLUMN streamfuse.stat_workers.commit_ms IS 'how long the last commit took';
COMMENT ON COLUMN streamfuse.stat_workers.busy_ms IS 'all its time but sleep; its growth over a second, by 10, is the percentage it is busy';
COMMENT ON COLUMN streamfuse.stat_workers.bytes IS 'memory of all its views'' state';
GRANT SELECT ON streamfuse.stat_workers TO PUBLIC;

CREATE VIEW streamfuse.dirty_windows AS
  SELECT f.view::regclass AS view, d.window_start, d.window_end, d.missed, d.first_missed, d.last_missed
  FROM streamfuse.dirty_window d JOIN streamfuse.fragment f ON f.id = d.fragment;
COMMENT ON VIEW streamfuse.dirty_windows IS 'closed windows that rows came too late for, and how many';
COMMENT ON COLUMN streamfuse.dirty_windows.missed IS 'rows that the window''s results lack; for windows found wanting after a restore at least so many';
GRANT SELECT ON streamfuse.dirty_windows TO PUBLIC;

CREATE FUNCTION streamfuse.stream_row(streams oid[], leaf oid, tid tid) RETURNS jsonb
  LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'sf_stream_row';
COMMENT ON FUNCTION streamfuse.stream_row(oid[], oid, tid) IS
  'for view streamfuse.errors: a row of a stream as an object of the columns that the user may read';

-- Error messages show data: they are for the view's owner.
CREATE VIEW streamfuse.errors WITH (security_barrier) AS
  SELECT f.view::regclass AS view, e.at, e.relation::regclass AS stream, e.tid, e.branch, e.event_time, e.sqlstate, e.message,
         streamfuse.stream_row(f.streams, e.relation, e.tid) AS "row"
  FROM streamfuse.error_row e
       JOIN streamfuse.fragment f ON f.id = e.fragment
       JOIN pg_catalog.pg_class c ON c.oid = f.view
  WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE');
COMMENT ON VIEW streamfuse.errors IS
  'rows that raised an error in views with on_error = skip and are not counted, for the owners of the views';
COMMENT ON COLUMN streamfuse.errors.branch IS 'which SELECT of a UNION ALL raised the error, from 1; others may have counted the row';
GRANT SELECT ON streamfuse.errors TO PUBLIC;
