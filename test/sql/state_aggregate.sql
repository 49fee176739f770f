-- Aggregates kept as state answer exactly as PostgreSQL's own: same digits, same display scale, same nulls, same errors.
CREATE SCHEMA state_test;
SET search_path = state_test;
CREATE FUNCTION answer(query text) RETURNS text
  LANGUAGE C STRICT AS '$libdir/streamfuse', 'sf_test_answer';

-- The query run by PostgreSQL, or its error.
CREATE FUNCTION expected(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
  EXECUTE format('SELECT CASE WHEN a IS NOT NULL THEN format(''%%s'', a) END FROM (%s) AS q (a)', query) INTO result;
  RETURN result;
EXCEPTION WHEN OTHERS THEN RETURN sqlerrm;
END $$;

-- The query computed through the state, a few rows per tick, saved and loaded between; or its error.
CREATE FUNCTION found(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN answer(query);
EXCEPTION WHEN OTHERS THEN RETURN sqlerrm;
END $$;

-- Compares calls over random samples of values, of all sizes from none to all, in random order.
CREATE FUNCTION compare(type text, calls text[], vals text[], OUT type_name text, OUT compared int, OUT with_errors boolean,
                        OUT different text[])
LANGUAGE plpgsql AS $$
DECLARE
  call text; query text; want text; got text;
BEGIN
  type_name := type; compared := 0; with_errors := false; different := '{}';
  PERFORM setseed(0.5);
  EXECUTE format('CREATE TEMP TABLE s (id serial, x %s, y float8)', type);
  FOR sample IN 0..30 LOOP
    TRUNCATE s;
    EXECUTE format('INSERT INTO s (x, y) SELECT v::%s, random() FROM unnest($1) AS v
                    WHERE random() < $2 ORDER BY random()', type) USING vals || vals, sample / 30.0;
    FOREACH call IN ARRAY calls LOOP
      query := format('SELECT %s FROM s', call);
      want := expected(query);
      got := found(query);
      compared := compared + 1;
      with_errors := with_errors OR coalesce(want ~ 'out of range', false);
      IF want IS DISTINCT FROM got THEN
        different := different || format('%s: %s instead of %s', call, got, want);
      END IF;
    END LOOP;
  END LOOP;
  DROP TABLE s;
END $$;

SET extra_float_digits = 3;
SET intervalstyle = 'postgres';
SET timezone = 'UTC';

-- Numbers.  Sums of int4 are bigint and those of int8 numeric, so only floats overflow.
SELECT * FROM compare('int2', '{count(*),count(x),sum(x),avg(x),min(x),max(x)}', '{0,1,-1,32767,-32768,32767,NULL,7}');
SELECT * FROM compare('int4', '{count(*),count(x),sum(x),avg(x),min(x),max(x)}',
                      '{0,1,-1,2147483647,-2147483648,2147483647,NULL,NULL,100000}');
SELECT * FROM compare('int8', '{count(*),count(x),sum(x),avg(x),min(x),max(x)}',
                      '{0,1,-1,9223372036854775807,-9223372036854775808,9223372036854775807,NULL,10000,99999999}');
SELECT * FROM compare('float4', '{count(x),sum(x),avg(x),min(x),max(x)}',
                      '{0,-0,1.5,-1e-38,0.1,NULL,1e10,3e38,-3e38}');
SELECT * FROM compare('float8', '{count(x),sum(x),avg(x),min(x),max(x)}', '{0,-0,0.1,0.2,0.3,NULL,1e300,-1e300,1e-300}');
SELECT * FROM compare('float8', '{sum(x),avg(x),min(x),max(x)}', '{1.7e308,-1.7e308,1.7e308,1e153,-1e154,0.1}');
SELECT * FROM compare('float8', '{sum(x),avg(x),min(x),max(x)}', '{NaN,Infinity,-Infinity,0,1,NULL,NULL}');

-- Numeric: usual ones, mixed scales, values that leave 128 bits and come back, specials.
SELECT * FROM compare('numeric', '{count(x),sum(x),avg(x),min(x),max(x)}',
                      '{0,0.00,1.0,1.00,-1.50,19.99,NULL,123456.7890,0.0001,-99999999.99}');
SELECT * FROM compare('numeric', '{sum(x),avg(x),min(x),max(x)}',
                      '{1e-30,1e35,-1e35,9.999999999999999e35,1e36,-1e36,1e40,0.1,12345678901234567890123456789012345678901.5}');
SELECT * FROM compare('numeric', '{sum(x),avg(x),min(x),max(x)}',
                      '{1e-40,-1e-40,1e130,-1e130,0,1e-36,99999999999999999999999999999999999,-99999999999999999999999999999999999}');
SELECT * FROM compare('numeric', '{count(x),sum(x),avg(x),min(x),max(x)}', '{NaN,Infinity,-Infinity,1.5,NULL,2.50}');
SELECT * FROM compare('numeric(12,2)', '{sum(x),avg(x)}', '{9999999999.99,-0.01,0.5,NULL,100}');

-- Dates, times, intervals; intervals may be equal and look different.
SELECT * FROM compare('date', '{min(x),max(x),count(x)}', '{2024-02-29,infinity,-infinity,NULL,1999-12-31,4714-11-24 BC}');
SELECT * FROM compare('timestamp', '{min(x),max(x)}', '{2024-02-29 12:00,infinity,-infinity,NULL,294276-12-31}');
SELECT * FROM compare('timestamptz', '{min(x),max(x)}', '{2024-02-29 12:00+05,infinity,-infinity,NULL,2024-02-29 12:00+04}');
SELECT * FROM compare('interval', '{count(x),sum(x),avg(x),min(x),max(x)}',
                      '{1 day,24 hours,1 month,30 days,-1 mon 29 days 24 hours,NULL,0,00:00:00.000001,1 year -3 days}');
SELECT * FROM compare('interval', '{sum(x),avg(x)}', '{2147483647 months,-2147483648 days,2000000000 days,1 hour}');

-- Booleans and bits.
SELECT * FROM compare('bool', '{bool_and(x),bool_or(x),every(x)}', '{t,f,NULL}');
SELECT * FROM compare('bool', '{bool_and(x),bool_or(x),every(x)}', '{f,NULL}');
SELECT * FROM compare('bool', '{bool_and(x),bool_or(x),every(x)}', '{t,NULL}');
SELECT * FROM compare('int2', '{bit_and(x),bit_or(x),bit_xor(x)}', '{0,1,3,-7,NULL,32767,-32768,-1}');
SELECT * FROM compare('int4', '{bit_and(x),bit_or(x),bit_xor(x),bool_and(x > 3),every(x < 7),bool_or(x = 8)}',
                      '{0,1,3,7,8,255,NULL,2147483647,-2147483648,-1}');
SELECT * FROM compare('int8', '{bit_and(x),bit_or(x),bit_xor(x)}', '{1,3,NULL,9223372036854775807,-9223372036854775808,-1}');
SELECT * FROM compare('int8', '{bit_and(x)}', '{-1,-3,NULL,9223372036854775807}');

-- Variances.  Sums of squares are exact but for floats.
CREATE FUNCTION variances() RETURNS text[] LANGUAGE sql
  AS $$ SELECT '{var_pop(x),var_samp(x),variance(x),stddev_pop(x),stddev_samp(x),stddev(x)}'::text[] $$;
SELECT * FROM compare('int2', variances(), '{0,1,-1,32767,-32768,NULL,7}');
SELECT * FROM compare('int4', variances(), '{0,1,3,7,8,255,NULL,2147483647,-2147483648}');
SELECT * FROM compare('int8', variances(), '{0,1,-9223372036854775808,NULL,9223372036854775807,-9223372036854775808,12345}');
SELECT * FROM compare('int8', variances(), '{3,3,3,NULL}');
SELECT * FROM compare('numeric', variances(), '{0,0.00,1.0,1.00,-1.50,19.99,NULL,123456.7890,0.0001,-99999999.99}');
SELECT * FROM compare('numeric', variances(), '{0,1.5,NULL,1e20,NaN,-3.25}');
SELECT * FROM compare('numeric', variances(), '{1.5,NULL,Infinity,-Infinity,2}');
SELECT * FROM compare('numeric', variances(), '{Infinity,NULL}');
-- values of 36 digits still fit; mixed scales, and what leaves the bounds and comes back, do not
SELECT * FROM compare('numeric', variances(),
                      '{0.33333333333333333333,1.6666666666666666667,-2.14285714285714285714,NULL,1000000000000000}');
SELECT * FROM compare('numeric', variances(),
                      '{999999999999999999999999999999999999,-999999999999999999999999999999999999,123456789012345678901234567890123456}');
SELECT * FROM compare('numeric', variances(),
                      '{1e-30,1e35,-1e35,9.999999999999999e35,1e36,-1e36,1e40,0.1,12345678901234567890123456789012345678901.5}');
SELECT * FROM compare('numeric', variances(), '{1e-40,-1e-40,1e130,-1e130,0,1e-36,1e-9000,2e-9000,NULL}');
SELECT call, found(q) = expected(q) AS same FROM unnest('{var_pop,stddev_samp}'::text[]) AS call,
  format('SELECT %s(x) FROM (VALUES (1e70000::numeric), (-1e70000), (3e70000), (1)) v (x)', call) AS q;
-- sums that overflow 128 bits
SELECT call, found(q) = expected(q) AS same FROM unnest('{var_pop,stddev_samp}'::text[]) AS call,
  format('SELECT %s(x) FROM (SELECT 999999999999999999999999999999999999 - g * g FROM generate_series(1, 400) g) v (x)', call) AS q;
SELECT * FROM compare('numeric', variances(), '{99999999999999999999999999999999.9999,-99999999999999999999999999999999.9999,1e-16,1e-20}');
SELECT * FROM compare('float4', variances(), '{0,-0,1.5,-1e-38,0.1,NULL,1e10,3e38,-3e38}');
SELECT * FROM compare('float8', variances(), '{0,-0,0.1,0.2,0.3,NULL,1e150,-1e150,1e-300}');
SELECT * FROM compare('float8', variances(), '{1.7e308,-1.7e308,1.7e308,1e153,-1e154,0.1}');
SELECT * FROM compare('float8', variances(), '{NaN,Infinity,-Infinity,0,1,NULL,NULL}');

-- All other aggregates run their own functions, on plain states and on internal ones that can be serialised.
SELECT * FROM compare('int4', '{max(ARRAY[x])}', '{0,1,3,7,8,255,NULL,2147483647}');
SELECT * FROM compare('bit(8)', '{bit_and(x),bit_or(x),bit_xor(x)}', '{11110000,10101010,NULL,00000001}');
SELECT * FROM compare('float8', '{"regr_slope(x, y)","corr(x, y)","covar_pop(y, x)","regr_count(x, y)"}',
                      '{0,1.5,NULL,-2,1e3}');
SELECT * FROM compare('text', '{max(x),min(x),count(x),"max(x COLLATE \"C\")"}',
                      '{a,B,ä,NULL,"",zz,abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc}');
SELECT * FROM compare('money', '{sum(x),max(x)}', '{1,2.5,NULL,-7}');
SELECT * FROM compare('inet', '{min(x),max(x)}', '{10.0.0.1,::1,NULL,192.168.0.0/16}');

-- User-defined ones: a state that grows (and is an expanded array on the way), null states, polymorphism, VARIADIC, a
-- final function with extra arguments, and one that changes its argument in place.
CREATE AGGREGATE collect(anycompatible) (SFUNC = array_append, STYPE = anycompatiblearray, INITCOND = '{}');
CREATE FUNCTION keep_null(text, text) RETURNS text LANGUAGE sql IMMUTABLE
  AS $$ SELECT CASE WHEN $2 = 'a' THEN NULL ELSE coalesce($1, 'was null') || coalesce($2, '-') END $$;
CREATE AGGREGATE null_state(text) (SFUNC = keep_null, STYPE = text);
CREATE FUNCTION strict_null(text, text) RETURNS text LANGUAGE sql IMMUTABLE STRICT
  AS $$ SELECT CASE WHEN $2 = 'zz' THEN NULL ELSE $1 || $2 END $$;
CREATE AGGREGATE strict_state(text) (SFUNC = strict_null, STYPE = text);
CREATE AGGREGATE strict_with_initial(text) (SFUNC = strict_null, STYPE = text, INITCOND = 'from:');
CREATE FUNCTION add_all(int8, VARIADIC int8[]) RETURNS int8 LANGUAGE sql IMMUTABLE
  AS $$ SELECT $1 + coalesce(sum(v), 0)::int8 FROM unnest($2) AS v $$;
CREATE AGGREGATE sum_all(VARIADIC int8[]) (SFUNC = add_all, STYPE = int8, INITCOND = '0');
CREATE FUNCTION count_of(int8, anyelement) RETURNS text LANGUAGE sql IMMUTABLE
  AS $$ SELECT $1 || ' of ' || pg_typeof($2) $$;
CREATE FUNCTION one_more(int8, anyelement) RETURNS int8 LANGUAGE sql IMMUTABLE AS $$ SELECT $1 + 1 $$;
CREATE AGGREGATE typed_count(anyelement)
  (SFUNC = one_more, STYPE = int8, FINALFUNC = count_of, FINALFUNC_EXTRA, INITCOND = '0');
SELECT * FROM compare('text', '{collect(x),null_state(x),strict_state(x),strict_with_initial(x),typed_count(x)}',
                      '{a,b,c,NULL,zz,d,e}');
SELECT * FROM compare('int8', '{collect(x),typed_count(x),"sum_all(x, 1, id)","sum_all(VARIADIC ARRAY[x, 5])"}',
                      '{1,2,NULL,3}');

-- Aggregates that keep their inputs: in the order they came in, sorted, without repetitions, with direct arguments.
CREATE FUNCTION compare_kept(type text, vals text[], OUT type_name text, OUT compared int, OUT with_errors boolean,
                             OUT different text[]) LANGUAGE sql AS $$
  SELECT * FROM compare(type, ARRAY['array_agg(x)', 'array_agg(x ORDER BY x DESC NULLS FIRST, id)', 'array_agg(DISTINCT x)',
    'array_agg(DISTINCT x ORDER BY x DESC)', 'count(DISTINCT x)', 'count(DISTINCT (x, id % 3))', 'string_agg(x::text, '','' ORDER BY id DESC)',
    'jsonb_agg(x)', 'json_agg(x ORDER BY id)', 'json_object_agg(id, x)', 'jsonb_object_agg(id, x)',
    'percentile_disc(0.3) WITHIN GROUP (ORDER BY x)', 'percentile_disc(ARRAY[0, 0.5, 1, NULL]) WITHIN GROUP (ORDER BY x DESC)',
    'mode() WITHIN GROUP (ORDER BY x)', 'max(x ORDER BY id)', 'min(DISTINCT x)'], vals) $$;
SELECT * FROM compare_kept('int4', '{5,-3,NULL,5,7,0,100,-3,5}');
SELECT * FROM compare_kept('text', '{a,b,NULL,"",zz,a,"a longer one",b}');
SELECT * FROM compare_kept('numeric', '{1.5,NaN,-7,NULL,12345678901234567890,1.5}');
SELECT * FROM compare('float8', ARRAY['percentile_cont(0.5) WITHIN GROUP (ORDER BY x)', 'percentile_cont(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY x DESC)',
  'rank(2.5) WITHIN GROUP (ORDER BY x)', 'dense_rank(2.5) WITHIN GROUP (ORDER BY x)', 'percent_rank(2.5) WITHIN GROUP (ORDER BY x DESC)',
  'cume_dist(2.5) WITHIN GROUP (ORDER BY x)', 'rank(2, 3) WITHIN GROUP (ORDER BY x, id)', 'sum(DISTINCT x)', 'avg(x ORDER BY id)'], '{1,2,2.5,NULL,4,2,8}');

-- Values in compressed or external storage.
CREATE TEMP TABLE s AS SELECT repeat(v, 20000) AS x FROM unnest('{a,b,c}'::text[]) AS v;
SELECT md5(answer('SELECT max(x) FROM s')) = md5(max(x)) AS max,
       md5(answer('SELECT collect(x) FROM s')) = md5(collect(x)::text) AS collect FROM s;

-- Apart: from PostgreSQL 16 on the rows of a query may come sorted as one of its aggregates wants them, for all of them.
SELECT md5(answer('SELECT array_agg(x) FROM s')) = md5((SELECT array_agg(x) FROM s)::text) AS array_agg,
       md5(answer('SELECT string_agg(x, '','' ORDER BY x DESC) FROM s')) = md5((SELECT string_agg(x, ',' ORDER BY x DESC) FROM s)) AS string_agg,
       answer('SELECT count(DISTINCT x) FROM s') AS distinct_count;
CREATE ROLE state_test_user;
GRANT USAGE ON SCHEMA state_test TO state_test_user;
GRANT SELECT ON s TO state_test_user;
REVOKE EXECUTE ON FUNCTION null_state(text) FROM PUBLIC;
SET ROLE state_test_user;
SELECT answer('SELECT null_state(x) FROM s');
RESET ROLE;

SET client_min_messages = warning;
DROP TABLE s;
DROP SCHEMA state_test CASCADE;
DROP ROLE state_test_user;
