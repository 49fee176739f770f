-- streamfuse.explain(): what of a view, or of a query that might become one, is maintained, and how.
SET timezone = 'UTC';
CREATE TABLE orders (id int, category text, amount numeric(12,2), rate float8, note text, at timestamptz NOT NULL, paid timestamp) USING stream;
-- Sizes and clock times left out.
CREATE FUNCTION shown(target text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT regexp_replace(regexp_replace(line, '(bytes=|per Group: )\d+', '\1N', 'g'), '(Since: ).*', '\1T') FROM streamfuse.explain(target) line;
$$;

-- A query is told what CREATE would make of it.
SELECT * FROM shown('SELECT window_start, window_end, category, sum(amount) AS revenue, count(*) AS orders
                     FROM orders, tumble(at, ''5 minutes'') WHERE amount > 0 GROUP BY window_start, window_end, category');
SELECT streamfuse.set_watermark('orders', 'at', delay => '1 minute', max_ahead => 'infinity');
-- What is computed on read, and the kinds of states: kernels (variance's holds those of sum and avg), transition values,
-- serialised ones, lists, sets.
CREATE FUNCTION add(state bigint, value int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 + coalesce($2, 0)';
CREATE AGGREGATE total(int) (SFUNC = add, STYPE = bigint, INITCOND = '0');
SELECT * FROM shown('SELECT category, upper(note), sum(amount) / nullif(count(*), 0) AS average, var_samp(amount), avg(amount) FILTER (WHERE id > 3),
                            sum(amount), avg(amount), regr_slope(rate, id), total(id), streamfuse.last(note, at), array_agg(id), count(DISTINCT category),
                            percentile_disc(0.5) WITHIN GROUP (ORDER BY id DESC)
                     FROM orders GROUP BY category, upper(note) HAVING count(*) > 1');
-- Windows.
SELECT * FROM shown('SELECT window_start, window_end - window_start AS length, max(id) FROM orders, hop(at, ''1 hour'', ''25 minutes'', "offset" => ''10 minutes'')
                     GROUP BY window_start, window_end HAVING window_start > ''2024-01-01''');
SELECT * FROM shown('SELECT window_end, max(id) FROM orders, cumulate(at, ''1 month'', ''1 month'', timezone => ''Asia/Tokyo'') GROUP BY window_end');
SELECT * FROM shown('SELECT date_trunc(''day'', at, ''Europe/Berlin'') AS day, date_trunc(''hour'', paid), count(*) FROM orders GROUP BY 1, 2');
SELECT * FROM shown('SELECT window_end::date, count(*) FROM orders, tumble(at, ''7 hours'') GROUP BY window_end::date');
SELECT * FROM shown('SELECT window_start, category, note, GROUPING(category, note), count(*) FROM orders, tumble(at, ''1 hour'')
                     GROUP BY window_start, ROLLUP (category, note)');
SELECT * FROM shown('SELECT window_start, window_end, category, count(*) FROM orders, session(at, ''30 minutes'', id % 10) GROUP BY window_start, window_end, category');
-- Without groups.
SELECT * FROM shown('SELECT id, upper(category) AS category, window_start FROM orders, tumble(at, ''1 hour'') WHERE window_start > ''2024-01-01'' AND id > 0');
SELECT * FROM shown('SELECT count(*) FROM orders');

-- A view: how it stands, its options, its output table.
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
SELECT window_start, category, sum(amount) AS revenue, sum(rate) FROM orders, tumble(at, '1 hour') WHERE note IS NULL GROUP BY window_start, window_end, category;
CREATE INDEX ON sales (category, revenue DESC);
SELECT streamfuse.flush() IS NOT NULL AS flushed;
SELECT * FROM shown('sales');
INSERT INTO orders VALUES (1, 'books', 10, 0.5, NULL, '2024-03-01 10:10'), (2, 'games', 20, 0.5, NULL, '2024-03-01 10:20');
SELECT streamfuse.flush();
SELECT * FROM shown('public.sales') line WHERE line ~ 'Memory|Status|Watermark|Largest|Since';
-- By regclass; names may be quoted.
ALTER MATERIALIZED VIEW sales RENAME TO "Sales, all";
SELECT line FROM streamfuse.views v, streamfuse.explain(v.view) line WHERE line ~ 'View';
SELECT * FROM shown('"Sales, all"') line WHERE line ~ 'View';
ALTER MATERIALIZED VIEW "Sales, all" RENAME TO sales;

-- JSON: keys are for programs.
CREATE VIEW document AS SELECT explain::jsonb AS d FROM streamfuse.explain('sales', format => 'json');
SELECT d->>'node' AS node, d->>'name' AS name, d->>'status' AS status, d->'options' AS options, d->>'output' AS output, d->'exact' AS exact, d->'exemptions' AS exemptions FROM document;
SELECT jsonb_path_query(d, '$.columns[*]') FROM document;
SELECT jsonb_path_query(d, '$.inputs[*].keys[*]') AS key, jsonb_path_query(d, '$.inputs[*].aggregates[*].call') AS call FROM document;
SELECT (d #> '{inputs,0,inputs,0}') - 'inputs' AS "window" FROM document;
SELECT (d #> '{inputs,0,inputs,0,inputs,0}') - 'held_since' AS stream FROM document;
SELECT (SELECT sum((a->>'bytes')::int) FROM jsonb_path_query(d, '$.inputs[*].aggregates[*]') a) AS states,
       (d->'inputs'->0->>'group_bytes')::int > 64 AS group_bytes, (d->'memory'->>'bytes')::bigint > 0 AS bytes, d->'memory'->'groups' AS groups FROM document;
DROP VIEW document;
-- A graph for graphviz.
SELECT regexp_replace(explain, '(bytes=|per Group: )\d+', '\1N', 'g') AS graph FROM streamfuse.explain('SELECT category AS "a\b""c", count(*) FROM orders WHERE note <> ''"x\ &lt;'' GROUP BY category', 'dot');

-- Times without a zone; groups that are forgotten.
CREATE TABLE readings (sensor int, at timestamp NOT NULL) USING stream;
SELECT streamfuse.set_watermark('readings', 'at', delay => '10 minutes');
CREATE MATERIALIZED VIEW sensors WITH (streamfuse.continuous, streamfuse.state_ttl = '1 hour') AS SELECT sensor, count(*) FROM readings GROUP BY sensor;
INSERT INTO readings VALUES (1, '2024-03-01 10:00'), (2, '2024-03-01 12:00');
SET timezone = 'Asia/Tokyo';
SELECT streamfuse.flush('readings') IS NOT NULL AS flushed;
SELECT trim(line) AS line FROM shown('sensors') line WHERE line ~ 'Options|Forgotten|Exempt|Watermark|Largest';
SET timezone = 'UTC';
DROP TABLE readings CASCADE;

-- Several streams: the one with the lowest watermark holds the view's.
CREATE TABLE refunds (id int, kind varchar, money int, at timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('refunds', 'at', delay => '1 hour');
CREATE MATERIALIZED VIEW cash WITH (streamfuse.continuous) AS
SELECT window_start, category, sum(amount) AS amount
FROM (SELECT category, amount, at AS t FROM orders WHERE id > 0 UNION ALL SELECT kind, -money, at FROM refunds WHERE kind <> 'none') u, tumble(u.t, '1 hour')
WHERE amount <> 7 GROUP BY window_start, category;
INSERT INTO refunds VALUES (1, 'books', 3, '2024-03-01 10:10');
SELECT streamfuse.flush('cash');
SELECT * FROM shown('cash');
SELECT d->>'name' AS stream, d->>'watermark' AS watermark, d->>'held_by' AS held_by
FROM streamfuse.explain('cash', 'json') e, jsonb_path_query(e::jsonb, 'strict $.** ? (@.node == "stream")') d;
DROP TABLE refunds CASCADE;

-- Paused, failed, inert.
SELECT streamfuse.pause('sales');
SELECT streamfuse.flush('orders');
SELECT * FROM shown('sales') line WHERE line ~ 'View|Status|Watermark';
SELECT streamfuse.resume('sales');
CREATE MATERIALIZED VIEW failing WITH (streamfuse.continuous) AS SELECT count(*), sum(1 / (id - 3)) FROM orders;
INSERT INTO orders VALUES (3, 'books', 30, 0.5, NULL, '2024-03-01 10:30');
SELECT streamfuse.flush('failing');
SELECT * FROM shown('failing') line WHERE line ~ 'View|Status|Waits|Error|Since';
CREATE ROLE explain_reader;
SET ROLE explain_reader;
SELECT * FROM shown('failing') line WHERE line ~ 'View|Status|Error';
-- A view's definition is for all to see; a query takes what CREATE takes.
SELECT count(*) > 10 AS lines FROM shown('sales');
SELECT * FROM streamfuse.explain('SELECT count(*) FROM orders');
RESET ROLE;
DROP MATERIALIZED VIEW failing;
DROP TABLE sales_closed;
SELECT * FROM shown('sales') line WHERE line ~ 'View|Status|Watermark|Hint|Closed';
DROP ROLE explain_reader;

-- What is not to be explained.
SELECT * FROM streamfuse.explain('SELECT window_start, count(*) FROM orders, tumble(at, ''0'') GROUP BY 1');
SELECT * FROM streamfuse.explain('SELECT count(*), random() FROM orders');
SELECT * FROM streamfuse.explain('SELECT nothing FROM orders');
SELECT * FROM streamfuse.explain('SELECT count(*) FROM orders; SELECT 1');
SELECT * FROM streamfuse.explain('CREATE TABLE t (i int)');
SELECT * FROM streamfuse.explain('');
SELECT * FROM streamfuse.explain('orders');
SELECT * FROM streamfuse.explain('nothing');
SELECT * FROM streamfuse.explain('nowhere.nothing');
SELECT * FROM streamfuse.explain(0::regclass);
SELECT * FROM streamfuse.explain('sales', 'xml');
SELECT * FROM streamfuse.explain(NULL::text);

SET client_min_messages = warning;
DROP TABLE orders CASCADE;
DROP FUNCTION shown;
DROP AGGREGATE total(int);
DROP FUNCTION add;
