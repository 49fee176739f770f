-- The store of groups, without a worker: it keeps every tick that a reader may have pinned, and forgets the rest.
CREATE SCHEMA state_test;
CREATE FUNCTION state_test.random_ticks(keys "char", seed int, committed xid8) RETURNS boolean
  LANGUAGE C STRICT AS '$libdir/streamfuse', 'sf_test_random_ticks';
CREATE FUNCTION state_test.memory_limit() RETURNS text
  LANGUAGE C STRICT AS '$libdir/streamfuse', 'sf_test_memory_limit';
CREATE FUNCTION state_test.closing(committed xid8, aborted xid8, OUT state text, OUT groups int8, OUT windows int)
  RETURNS SETOF record LANGUAGE C STRICT AS '$libdir/streamfuse', 'sf_test_closing';

SELECT pg_current_xact_id() AS committed \gset
BEGIN;
SELECT pg_current_xact_id() AS aborted \gset
ROLLBACK;

-- Forty ticks of random rows, of which some are published, some rolled back, and some lose their worker before or just
-- after they are published.  Pinned ticks are read after each step, whole and by key, and compared with a model;
-- in the end all memory has been given back.
SELECT keys, bool_and(state_test.random_ticks(left(keys, 1)::"char", seed, :'committed')) AS right
FROM unnest(ARRAY['int8', 'text and null', 'many columns', 'no columns']) AS keys, generate_series(1, 3) AS seed
GROUP BY keys ORDER BY keys;

-- A tick that needs more memory than there is fails alone.
SELECT state_test.memory_limit();

-- A closed window stays for readers whose snapshot does not show the closing, and leaves when there is none.
SELECT * FROM state_test.closing(:'committed', :'aborted');

SET client_min_messages = warning;
DROP SCHEMA state_test CASCADE;
