-- What a continuous view may count, by which keys, and that it counts it as PostgreSQL does: every view here is compared
-- with its own query, run as a batch over the stream.
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE place AS (city text, zip int);
CREATE TABLE facts (
  id int, small int2, big int8, real4 float4, real8 float8, price numeric(12,2), exact numeric,
  note text COLLATE "C", code varchar(10), day date, span interval, feeling mood, doc jsonb, tags text[], site place,
  flag bool, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('facts', 'event_time', delay => '10 minutes');

-- Rows in which the view and the batch form of its query differ.
CREATE FUNCTION differences(view regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  batch text := rtrim(pg_get_viewdef(view), ';');
  n bigint;
BEGIN
  PERFORM streamfuse.flush(view);
  EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT ALL (%2$s)) UNION ALL ((%2$s) EXCEPT ALL TABLE %1$s)) d',
                 view, batch) INTO n;
  RETURN n;
END $$;

-- Numbers of all kinds; floats that are sums of halves, so that their order does not matter.
CREATE MATERIALIZED VIEW numbers WITH (streamfuse.continuous) AS
SELECT window_start, count(*) AS n, count(small) AS n_small, sum(small) AS s2, sum(id) AS s4, sum(big) AS s8,
  sum(real4) AS f4, sum(real8) AS f8, sum(price) AS p, sum(exact) AS e, avg(small) AS a2, avg(id) AS a4, avg(big) AS a8,
  avg(real8) AS af, avg(price) AS ap, min(small) AS l2, max(big) AS m8, min(real4) AS lf, max(real8) AS mf, min(price) AS lp,
  max(exact) AS me
FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end;

-- Variances beside sums and means of the same argument, which read one state; bits.
CREATE MATERIALIZED VIEW spread WITH (streamfuse.continuous) AS
SELECT window_start, sum(small) AS s2, stddev(small) AS d2, avg(id) AS a4, var_pop(id) AS v4, sum(id) AS s4, sum(big) AS s8,
  stddev_pop(big) AS d8, avg(big) AS a8, variance(price) AS vp, sum(price) AS p, avg(price) AS ap, sum(price) FILTER (WHERE flag) AS fp,
  stddev(exact) AS e, avg(exact) AS ae, stddev(real8) AS d, avg(real8) AS a, var_samp(real4) AS d4, bit_and(big) AS band, bit_or(id) AS bor, bit_xor(small) AS bxor
FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end;

-- The same over windows that overlap, whose panes are combined; floats agree to rounding only, so they are left out.
CREATE MATERIALIZED VIEW spread_of_panes WITH (streamfuse.continuous) AS
SELECT window_start, sum(small) AS s2, stddev(small) AS d2, avg(id) AS a4, var_pop(id) AS v4, sum(id) AS s4, sum(big) AS s8,
  stddev_pop(big) AS d8, avg(big) AS a8, variance(price) AS vp, sum(price) AS p, avg(price) AS ap, stddev(exact) AS e, avg(exact) AS ae,
  bit_and(big) AS band, bit_or(id) AS bor, bit_xor(small) AS bxor, bool_and(flag) AS all_flags, bool_or(flag) AS any_flag
FROM facts, hop(event_time, '1 hour', '10 minutes') GROUP BY window_start, window_end;

-- Dates, texts, enums, intervals, booleans.
CREATE MATERIALIZED VIEW others WITH (streamfuse.continuous) AS
SELECT window_start, id % 3 AS third, min(event_time) AS first, max(event_time) AS last, min(day) AS first_day,
  sum(span) AS spans, avg(span) AS span, max(span) AS longest, min(note) AS least, max(code) AS greatest,
  min(feeling) AS saddest, max(feeling) AS happiest, bool_and(flag) AS all_flags, bool_or(flag) AS any_flag, every(flag) AS every_flag
FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end, id % 3;

-- FILTER, expressions in arguments, over aggregates, HAVING, WHERE, a time zone with odd days.
CREATE MATERIALIZED VIEW expressions WITH (streamfuse.continuous) AS
SELECT window_end, upper(note) AS note, CASE WHEN flag THEN 'yes' ELSE coalesce(code, 'no') END AS answer,
  count(*) FILTER (WHERE price > 20) AS dear, sum(CASE WHEN flag THEN price ELSE -price END) AS balance,
  round(sum(price) / nullif(count(price), 0), 3) AS mean, sum(price * id) + 1 AS weighted,
  max(price) - min(price) AS range, sum(extract(hour FROM event_time - window_start)) AS hours
FROM facts, tumble(event_time, '1 day', timezone => 'Europe/Berlin')
WHERE id % 7 <> 3 AND (price IS NULL OR price < 90)
GROUP BY window_start, window_end, upper(note), CASE WHEN flag THEN 'yes' ELSE coalesce(code, 'no') END
HAVING count(*) > 1 AND (sum(price) > 10 OR bool_or(price IS NULL));

-- Keys of many types: NULL is a key, and numeric 1.0 and 1.00 are one.
CREATE MATERIALIZED VIEW by_text WITH (streamfuse.continuous) AS
SELECT window_start, note, code, count(*) FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end, note, code;
CREATE MATERIALIZED VIEW by_numeric WITH (streamfuse.continuous) AS
SELECT window_start, exact, count(*) FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end, exact;
CREATE MATERIALIZED VIEW by_float WITH (streamfuse.continuous) AS
SELECT window_start, real8, real4, count(*) FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end, real8, real4;
CREATE MATERIALIZED VIEW by_time WITH (streamfuse.continuous) AS
SELECT window_start, day, span, date_trunc('day', event_time, 'UTC') AS utc_day, count(*)
FROM facts, tumble(event_time, '6 hours') GROUP BY window_start, window_end, day, span, 4;
CREATE MATERIALIZED VIEW by_enum WITH (streamfuse.continuous) AS
SELECT window_start, feeling, flag, small, sum(price) FROM facts, tumble(event_time, '1 hour')
GROUP BY window_start, window_end, feeling, flag, small;
CREATE MATERIALIZED VIEW by_structure WITH (streamfuse.continuous) AS
SELECT window_start, doc, tags, site, count(*), max(id) FROM facts, tumble(event_time, '1 hour')
GROUP BY window_start, window_end, doc, tags, site;
CREATE MATERIALIZED VIEW by_case WITH (streamfuse.continuous) AS
SELECT window_start, note COLLATE "und-x-icu" AS note, count(*) FROM facts, tumble(event_time, '1 hour')
GROUP BY window_start, window_end, note COLLATE "und-x-icu";

-- Aggregates of one's own, in SQL and in PL/pgSQL.
CREATE FUNCTION add_square(float8, float8) RETURNS float8 IMMUTABLE STRICT LANGUAGE sql RETURN $1 + $2 * $2;
CREATE AGGREGATE sum_of_squares(float8) (SFUNC = add_square, STYPE = float8, INITCOND = '0');
CREATE FUNCTION longer(text, text) RETURNS text IMMUTABLE LANGUAGE plpgsql
  AS $$ BEGIN RETURN CASE WHEN length($2) >= length($1) AND $2 > $1 THEN $2 ELSE coalesce($1, $2) END; END $$;
CREATE FUNCTION exclaim(text) RETURNS text IMMUTABLE LANGUAGE sql RETURN $1 || '!';
CREATE AGGREGATE longest(text) (SFUNC = longer, STYPE = text, FINALFUNC = exclaim);
CREATE MATERIALIZED VIEW own WITH (streamfuse.continuous) AS
SELECT window_start, sum_of_squares(real8) AS squares, longest(repeat('x', length(note))) AS longest,
  sum_of_squares(id) FILTER (WHERE flag) AS flagged
FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end;

-- A day of rows in five transactions, out of order within the delay; some windows close, others stay open.
CREATE PROCEDURE fill(part int) LANGUAGE sql AS $$
  INSERT INTO facts
  SELECT g, CASE WHEN g % 11 > 0 THEN g % 50 END, g * 10000000000, g % 40 * 0.5, CASE WHEN g % 13 > 0 THEN g % 8 * 0.5 END,
    CASE WHEN g % 5 > 0 THEN g % 100 + 0.25 END,
    (ARRAY['1.0', '1.00', '1', '-7.5', 'NaN', '12345678901234567890.123', NULL])[1 + g % 7]::numeric,
    (ARRAY['a', 'A', 'b', 'ä', '', NULL, 'a longer note'])[1 + g % 7], CASE WHEN g % 4 > 0 THEN 'c' || g % 4 END,
    DATE '2026-01-01' + g % 3, make_interval(hours => g % 5, days => g % 2), (ARRAY['sad', 'ok', 'happy', NULL])[1 + g % 4]::mood,
    jsonb_build_object('k', g % 3), ARRAY['t' || g % 2, NULL], CASE WHEN g % 3 > 0 THEN ROW('c' || g % 2, g % 3)::place END,
    g % 3 = 0, TIMESTAMPTZ '2026-03-28 12:00+00' + g * interval '1 minute' - g % 5 * interval '90 s'
  FROM generate_series(part * 500, part * 500 + 499) g $$;
CALL fill(0);
CALL fill(1);
CALL fill(2);
CALL fill(3);
CALL fill(4);
SELECT view, differences(view) FROM streamfuse.stat_views ORDER BY view::text;
SELECT view, status, rows_in, rows_missed FROM streamfuse.stat_views ORDER BY view::text;
SELECT bool_and(closed > 20) AS windows_have_closed, bool_and(open > 0) AS others_are_open FROM
  (SELECT (SELECT count(*) FROM numbers_closed) AS closed, (SELECT count(*) FROM numbers) - (SELECT count(*) FROM numbers_closed) AS open) c;
SELECT trim_scale(exact) AS exact, sum(count) FROM by_numeric GROUP BY 1 ORDER BY 1;

-- Refused by name.
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, sum(random()) FROM facts, tumble(event_time, '1 hour') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
SELECT window_start, count(*) FROM facts, tumble(event_time, '1 hour') WHERE event_time > now() GROUP BY window_start, window_end;

DROP TABLE facts CASCADE;
DROP AGGREGATE sum_of_squares(float8), longest(text);
DROP FUNCTION differences, add_square, longer, exclaim;
DROP PROCEDURE fill;
DROP TYPE mood, place;
