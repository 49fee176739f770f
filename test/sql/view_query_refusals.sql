-- Queries that cannot be maintained, each with the message and the hint that CREATE gives.
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE TABLE orders (id int, category text, amount int, at timestamptz NOT NULL, local_at timestamp NOT NULL, noted timestamptz) USING stream;
SELECT streamfuse.set_watermark('orders', 'at', delay => '10 minutes');
CREATE TABLE plain (id int PRIMARY KEY, at timestamptz NOT NULL);
CREATE TABLE parts (id int, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE part PARTITION OF parts DEFAULT USING stream;
CREATE SEQUENCE numbers;
CREATE FUNCTION by_the_way(int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT $1';
CREATE FUNCTION by_now(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1';

-- What CREATE says of a query; explain() says the same.
CREATE FUNCTION refusal(query text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
DECLARE explained text := 'explained';
BEGIN
  EXECUTE 'CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS ' || query;
  message := 'CREATED';
  DROP MATERIALIZED VIEW v;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
  BEGIN
    PERFORM streamfuse.explain(query);
  EXCEPTION WHEN OTHERS THEN explained := sqlerrm;
  END;
  IF explained <> message THEN
    message := format('%s, but explain(): %s', message, explained);
  END IF;
END $$;
-- A line for the query, one for the message, one for the hint.
CREATE FUNCTION refusals(VARIADIC queries text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE query text; r record;
BEGIN
  FOREACH query IN ARRAY queries LOOP
    r := refusal(query);
    RETURN NEXT query;
    RETURN NEXT '    ' || r.message;
    IF r.hint <> '' THEN RETURN NEXT '    ' || r.hint; END IF;
  END LOOP;
END $$;
\pset format unaligned
\pset tuples_only

-- Volatile functions, wherever they stand.
SELECT refusals(
  $$SELECT category, count(*) FROM orders WHERE random() < 0.5 GROUP BY category$$,
  $$SELECT by_the_way(id), count(*) FROM orders GROUP BY 1$$,
  $$SELECT category, sum(amount + by_the_way(id)) FROM orders GROUP BY category$$,
  $$SELECT category, sum(amount) FILTER (WHERE by_the_way(id) > 0) FROM orders GROUP BY category$$,
  $$SELECT category, array_agg(id ORDER BY random()) FROM orders GROUP BY category$$,
  $$SELECT category, by_the_way(count(*)::int) FROM orders GROUP BY category$$,
  $$SELECT category, count(*) FROM orders GROUP BY category HAVING random() < 0.5$$,
  $$SELECT id, gen_random_uuid() FROM orders$$,
  $$SELECT window_start, count(*) FROM orders, tumble(at, interval '1 hour' * random()) GROUP BY window_start$$,
  $$SELECT id, nextval('numbers') FROM orders$$);

-- The current time in what is maintained, and other stable functions.
SELECT refusals(
  $$SELECT category, count(*) FROM orders WHERE at > now() - interval '1 day' GROUP BY category$$,
  $$SELECT category, count(*) FROM orders WHERE at > CURRENT_TIMESTAMP GROUP BY category$$,
  $$SELECT id, at < clock_timestamp() FROM orders$$,
  $$SELECT CURRENT_DATE, category, count(*) FROM orders GROUP BY category$$,
  $$SELECT category, max(at - now()) FROM orders GROUP BY category$$,
  $$SELECT category, count(*) FROM orders GROUP BY category HAVING max(at) > now()$$,
  $$SELECT id, CURRENT_USER FROM orders$$,
  $$SELECT by_now(id), count(*) FROM orders GROUP BY 1$$,
  $$SELECT window_start, count(*) FROM orders, tumble(now(), '1 hour') GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, tumble(at, now() - '2024-01-01') GROUP BY window_start$$);

-- Sizes, slides, steps, gaps and strides that are none: zero, negative, null, mixed, swapped.
SELECT refusals(
  $$SELECT window_start, count(*) FROM orders, tumble(at, '0') GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, tumble(at, '-5 minutes') GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, tumble(at, NULL) GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, tumble(at, '1 month -1 day') GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, tumble(at, '1 day', timezone => 'Nowhere') GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, hop(at, '5 minutes', '1 hour') GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, hop(at, '0', '1 hour') GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, hop(at, '1 hour', '0') GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, hop(at, '1 hour', '-5 minutes') GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, hop(at, '1 hour', NULL) GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, hop(at, '1 day', '1 hour') GROUP BY window_start$$,
  $$SELECT window_end, count(*) FROM orders, cumulate(at, '1 hour', '0') GROUP BY window_end$$,
  $$SELECT window_end, count(*) FROM orders, cumulate(at, '-1 hour', '-5 minutes') GROUP BY window_end$$,
  $$SELECT window_end, count(*) FROM orders, cumulate(at, '1 hour', '2 hours') GROUP BY window_end$$,
  $$SELECT window_end, count(*) FROM orders, cumulate(at, '1 hour', '25 minutes') GROUP BY window_end$$,
  $$SELECT window_start, window_end, count(*) FROM orders, session(at, '0') GROUP BY window_start, window_end$$,
  $$SELECT window_start, window_end, count(*) FROM orders, session(at, '-1 minute') GROUP BY window_start, window_end$$,
  $$SELECT window_start, window_end, count(*) FROM orders, session(at, NULL) GROUP BY window_start, window_end$$,
  $$SELECT window_start, window_end, count(*) FROM orders, session(at, '1 day') GROUP BY window_start, window_end$$,
  $$SELECT date_bin('0', at, '2024-01-01'), count(*) FROM orders GROUP BY 1$$,
  $$SELECT date_bin('-1 hour', at, '2024-01-01'), count(*) FROM orders GROUP BY 1$$,
  $$SELECT date_trunc('fortnight', at), count(*) FROM orders GROUP BY 1$$);

-- Windows over other columns than the watermark's, and over expressions.
SELECT refusals(
  $$SELECT window_start, count(*) FROM orders, tumble(local_at, '1 hour') GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, hop(noted, '1 hour', '5 minutes') GROUP BY window_start$$,
  $$SELECT window_start, count(*) FROM orders, tumble(at + '1 hour', '1 hour') GROUP BY window_start$$,
  $$SELECT window_start, window_end, count(*) FROM orders, session(noted, '1 hour') GROUP BY window_start, window_end$$,
  $$SELECT id, window_start FROM orders, tumble(local_at, '1 hour')$$);

-- Windows in windows, and several.
SELECT refusals(
  $$SELECT b.window_start, count(*) FROM orders, session(at, '1 hour') a, session(a.window_start, '2 hours') b GROUP BY b.window_start$$,
  $$SELECT s.window_start, count(*) FROM (SELECT window_start, count(*) FROM orders, session(at, '1 hour') GROUP BY window_start) a,
           session(a.window_start, '2 hours') s GROUP BY s.window_start$$,
  $$SELECT a.window_start, count(*) FROM orders, tumble(at, '1 hour') a, tumble(at, '2 hours') b GROUP BY a.window_start$$,
  $$SELECT category, count(*) FROM orders, tumble(at, '1 hour') GROUP BY category$$,
  $$SELECT window_start, count(*) FROM orders, cumulate(at, '1 hour', '5 minutes') GROUP BY window_start$$,
  $$SELECT id, window_start FROM orders, hop(at, '1 hour', '5 minutes')$$,
  $$SELECT window_start, sum(amount) FROM orders, hop(at, '1 hour', '5 minutes') WHERE window_start > '2024-01-01' GROUP BY window_start$$,
  $$SELECT window_start, sum(extract(hour FROM window_end)) FROM orders, hop(at, '1 hour', '5 minutes') GROUP BY window_start$$,
  $$SELECT window_start, count(w) FROM orders, tumble(at, '1 hour') w GROUP BY window_start$$);

-- Other constructs.
SELECT refusals(
  $$WITH o AS (SELECT * FROM orders) SELECT count(*) FROM o$$,
  $$SELECT DISTINCT category FROM orders$$,
  $$SELECT category, count(*) FROM orders GROUP BY category ORDER BY 1$$,
  $$SELECT id FROM orders LIMIT 10$$,
  $$SELECT id, row_number() OVER (ORDER BY id) FROM orders$$,
  $$SELECT id, generate_series(1, 3) FROM orders$$,
  $$SELECT id FROM orders EXCEPT SELECT id FROM orders$$,
  $$SELECT id FROM orders WHERE id IN (SELECT id FROM plain)$$,
  $$SELECT o.id FROM orders o LEFT JOIN plain p ON p.id = o.id$$,
  $$SELECT o.id FROM orders o JOIN plain p ON p.id = o.id$$,
  $$SELECT o.id FROM orders o, generate_series(1, 3)$$,
  $$SELECT o.id FROM orders o, (VALUES (1)) v (i)$$,
  $$SELECT id FROM orders TABLESAMPLE bernoulli (10)$$,
  $$SELECT id FROM ONLY parts$$,
  $$SELECT id FROM orders FOR UPDATE$$,
  $$SELECT category, count(o) FROM orders o GROUP BY category$$,
  $$SELECT id, ctid AS place FROM orders$$,
  $$SELECT id FROM plain$$,
  $$SELECT 1 AS one$$,
  $$VALUES (1)$$);

\pset tuples_only off
\pset format aligned
SELECT count(*) AS views FROM streamfuse.views;
DROP TABLE orders, plain, parts;
DROP SEQUENCE numbers;
DROP FUNCTION refusals, refusal, by_the_way, by_now;
