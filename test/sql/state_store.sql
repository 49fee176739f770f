-- The store of groups, without a worker: it keeps every tick that a reader may have pinned, and forgets the rest.
CREATE SCHEMA state_test;
CREATE FUNCTION state_test.random_ticks(keys "char", seed int, committed xid8, leaving boolean) RETURNS boolean
  LANGUAGE C STRICT AS '$libdir/streamfuse', 'sf_test_random_ticks';
CREATE FUNCTION state_test.churn(keys "char", ticks int, OUT early int8, OUT late int8) RETURNS record
  LANGUAGE C STRICT AS '$libdir/streamfuse', 'sf_test_churn';
CREATE FUNCTION state_test.memory_limit() RETURNS text
  LANGUAGE C STRICT AS '$libdir/streamfuse', 'sf_test_memory_limit';
CREATE FUNCTION state_test.closing(committed xid8, aborted xid8, OUT state text, OUT groups int8, OUT windows int)
  RETURNS SETOF record LANGUAGE C STRICT AS '$libdir/streamfuse', 'sf_test_closing';
CREATE FUNCTION state_test.groups(query text, OUT key text, OUT n int8)
  RETURNS SETOF record LANGUAGE C STRICT AS '$libdir/streamfuse', 'sf_test_groups';

SELECT pg_current_xact_id() AS committed \gset
BEGIN;
SELECT pg_current_xact_id() AS aborted \gset
ROLLBACK;

-- Forty ticks of random rows, of which some are published, some rolled back, and some lose their worker before or just
-- after they are published.  Pinned ticks are read after each step, whole and by key, and compared with a model;
-- in the end all memory has been given back.
SELECT keys, bool_and(state_test.random_ticks(left(keys, 1)::"char", seed, :'committed', false)) AS right
FROM unnest(ARRAY['int8', 'text and null', 'many columns', 'no columns']) AS keys, generate_series(1, 3) AS seed
GROUP BY keys ORDER BY keys;

-- The same where groups leave: some are removed, in the tick that made them or later, some are forgotten by the time of
-- their last row, and some come back.  Their places are taken again.
SELECT keys, bool_and(state_test.random_ticks(left(keys, 1)::"char", seed, :'committed', true)) AS right
FROM unnest(ARRAY['int8', 'text and null', 'many columns', 'no columns']) AS keys, generate_series(1, 5) AS seed
GROUP BY keys ORDER BY keys;

-- New keys without end take no more memory, as long as as many leave: what is needed at most varies a little with the rows.
SELECT keys, late <= early * 1.02 AS flat, early BETWEEN 100000 AND 10000000 AS sane
FROM unnest(ARRAY['int8', 'text', 'many columns']) AS keys, state_test.churn(left(keys, 1)::"char", 1000);

-- A tick that needs more memory than there is fails alone.
SELECT state_test.memory_limit();

-- A closed window stays for readers whose snapshot does not show the closing, and leaves when there is none.
SELECT * FROM state_test.closing(:'committed', :'aborted');

-- Groups are those of GROUP BY, for every type that can be hashed: nulls are equal, and so is what the type's operator
-- says, in the column's collation.
CREATE COLLATION state_test.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE state_test.mood AS ENUM ('sad', 'glad');
CREATE TYPE state_test.pair AS (a numeric, b text);
CREATE DOMAIN state_test.natural AS int CHECK (VALUE >= 0);
CREATE FUNCTION state_test.compare_groups(type text, vals text[], OUT type_name text, OUT groups int8, OUT same boolean)
LANGUAGE plpgsql AS $$
DECLARE query text := format('SELECT v::%s AS key FROM unnest(%L::text[]) AS v', type,
                             vals || ARRAY[NULL] || vals || ARRAY[NULL]);
BEGIN
  type_name := type;
  EXECUTE format('WITH wanted AS (SELECT key, count(*) AS n FROM (%s) AS r GROUP BY key),
                       found AS (SELECT key::%s, n FROM state_test.groups(%L))
                  SELECT count(*), count(*) = (SELECT count(*) FROM found) AND
                         bool_and(EXISTS (SELECT FROM found AS f WHERE f.n = w.n AND
                                          (f.key = w.key OR f.key IS NULL AND w.key IS NULL)))
                  FROM wanted AS w', query, type, query) INTO groups, same;
END $$;
SELECT c.* FROM (VALUES
  ('int2', '{0,-1,32767}'),
  ('int4', '{0,-1,2147483647,-2147483648}'),
  ('int8', '{0,-1,4294967295,9223372036854775807}'),
  ('oid', '{0,4294967295,2147483648}'),
  ('"char"', '{a,b}'),
  ('bool', '{t,f}'),
  ('float8', '{0,-0,NaN,1}'),
  ('float4', '{0,-0,NaN,Infinity}'),
  ('numeric', '{1,1.0,1.00,NaN,1e100}'),
  ('date', '{infinity,2024-01-01}'),
  ('timestamptz', '{2024-01-01 00:00+00,2024-01-01 01:00+01,-infinity}'),
  ('interval', '{1 month,30 days,720 hours,1 day}'),
  ('timetz', '{12:00+00,13:00+01}'),
  ('text', '{a,A,"a ",""}'),
  ('text COLLATE state_test.any_case', '{a,A,"a ",b}'),
  ('char(3)', '{a,"a ",b}'),
  ('varchar(5)', '{a,"a ",b}'),
  ('name', '{a,b}'),
  ('bytea', '{a,b,""}'),
  ('uuid', '{00000000-0000-0000-0000-000000000000}'),
  ('jsonb', '{"{\"a\": 1}","{\"a\": 1.0}",[]}'),
  ('int4[]', '{"{1,2}","{1,NULL}","{}"}'),
  ('numrange', '{"[1,2)","[1.0,2.00)",empty}'),
  ('state_test.mood', '{sad,glad}'),
  ('state_test.pair', '{"(1,x)","(1.0,x)","(,)"}'),
  ('state_test.natural', '{0,7}'),
  ('money', '{1,1.00,-3}'),
  ('inet', '{10.0.0.1,10.0.0.1/32,::1}')
) AS t (type, vals), state_test.compare_groups(type, vals::text[]) AS c;
SELECT state_test.groups($$SELECT '{}'::json$$);
SELECT state_test.groups($$SELECT 'a'::tsvector$$);

-- A long key needs memory of its own.
SELECT length(key), n FROM state_test.groups($$SELECT repeat(v, 100000) FROM unnest('{a,b,a}'::text[]) AS v$$)
ORDER BY key;

SET client_min_messages = warning;
DROP SCHEMA state_test CASCADE;
