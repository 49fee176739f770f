-- Windows close as the watermark passes their end: the latest event time less the delay, or what is set by hand.
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE TABLE orders (event_time timestamptz NOT NULL, amount int) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 minute');
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
  SELECT window_start, sum(amount) AS revenue FROM orders, tumble(event_time, '5 minutes')
  GROUP BY window_start, window_end;
INSERT INTO orders VALUES ('2026-01-01 00:01', 1), ('2026-01-01 00:06', 2);
SELECT streamfuse.flush('sales');
SELECT window_start, revenue FROM sales_closed ORDER BY 1;

-- A row that is later by the delay closes the next; one far ahead of the clock closes nothing.
INSERT INTO orders VALUES ('2026-01-01 00:11', 3), ('2999-01-01 00:00', 4);
SELECT streamfuse.flush('sales');
SELECT window_start, revenue FROM sales_closed ORDER BY 1;
SELECT window_start, revenue FROM sales ORDER BY 1;

-- A watermark set by hand comes after the rows of its transaction, wherever in it they are.
BEGIN;
SELECT streamfuse.advance_watermark('orders', '2026-01-01 00:15');
INSERT INTO orders VALUES ('2026-01-01 00:12', 5);
COMMIT;
SELECT streamfuse.flush('sales');
SELECT window_start, revenue FROM sales_closed ORDER BY 1;

-- It never goes back by advance_watermark, and a transaction that rolls back sets none.
SELECT streamfuse.advance_watermark('orders', '2026-01-01 00:01');
BEGIN;
SELECT streamfuse.advance_watermark('orders', '2026-01-02 00:00');
ROLLBACK;
SELECT streamfuse.flush('sales');

-- A shorter delay counts at once; a longer one does not take the watermark back.
INSERT INTO orders VALUES ('2026-01-01 00:20', 6);
SELECT streamfuse.flush('sales');
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0');
SELECT streamfuse.flush('sales');
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 hour');
SELECT streamfuse.flush('sales');

-- Where no limit is set, any row may close windows; reset_watermark repairs that.  What has closed stays closed.
SELECT streamfuse.set_watermark('orders', 'event_time', max_ahead => 'infinity');
INSERT INTO orders VALUES ('2090-01-01 00:00', 7);
SELECT streamfuse.flush('sales');
SELECT window_start, revenue FROM sales_closed ORDER BY 1;
SELECT streamfuse.set_watermark('orders', 'event_time');
SELECT streamfuse.reset_watermark('orders', '2026-01-01 00:20');
SELECT streamfuse.flush('sales');
INSERT INTO orders VALUES ('2026-01-01 00:21', 8);
SELECT streamfuse.flush('sales');
SELECT window_start, revenue FROM sales ORDER BY 1;
SELECT window_start, missed FROM streamfuse.dirty_windows ORDER BY 1;

-- What is set before a view reads the stream waits for it, but only as much as still matters.
CREATE TABLE visits (event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('visits', 'event_time', delay => '1 hour');
INSERT INTO visits VALUES ('2026-01-01 00:01'), ('2026-01-01 00:06'), ('2026-01-01 00:11');
SELECT streamfuse.advance_watermark('visits', '2026-01-01 00:20');
SELECT streamfuse.reset_watermark('visits', '2026-01-01 00:03');
SELECT count(streamfuse.advance_watermark('visits', '2026-01-01 00:03'::timestamptz + g * '1 second'::interval)::text) FROM generate_series(1, 120) g;
SELECT streamfuse.advance_watermark('visits', '2026-01-01 00:04');
SELECT reset, watermark FROM streamfuse.punctuation ORDER BY id;
CREATE MATERIALIZED VIEW visitors WITH (streamfuse.continuous) AS
  SELECT window_start, count(*) AS n FROM visits, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
SELECT streamfuse.flush();
SELECT window_start, n FROM visitors_closed ORDER BY 1;
SELECT count(*) FROM streamfuse.punctuation;
DROP TABLE visits CASCADE;

DROP TABLE orders CASCADE;
