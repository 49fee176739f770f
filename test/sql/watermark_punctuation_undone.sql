-- A tick that takes in a watermark set by hand and then fails is undone as a whole: the watermark is taken in again, and
-- only then forgotten.
SET TimeZone = 'UTC';
SET client_min_messages = warning;
CREATE FUNCTION fault_set(name text, action text) RETURNS void LANGUAGE c AS 'streamfuse', 'sf_fault_set';
CREATE FUNCTION fault_wait_hit(name text) RETURNS void LANGUAGE c AS 'streamfuse', 'sf_fault_wait_hit';
CREATE TABLE orders (amount int, event_time timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 hour');
CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) AS revenue FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
INSERT INTO orders VALUES (1, '2026-01-01 10:01'), (2, '2026-01-01 10:06');
SELECT streamfuse.flush('sales');

SELECT fault_set('tick-before-publish', 'error');
SELECT streamfuse.advance_watermark('orders', '2026-01-01 10:05');
SELECT fault_wait_hit('tick-before-publish');
SELECT fault_set('tick-before-publish', 'none');
SELECT streamfuse.flush('sales');
SELECT window_start, revenue FROM sales_closed;
SELECT count(*) AS left_over FROM streamfuse.punctuation;

-- What is committed while such a tick is tried again does not take the watermark with it.
BEGIN;
INSERT INTO orders VALUES (3, '2026-01-01 10:07');
SELECT streamfuse.advance_watermark('orders', '2026-01-01 10:10');
SELECT fault_set('tick-before-publish', 'error');
COMMIT;
SELECT fault_wait_hit('tick-before-publish');
SELECT fault_set('tick-before-publish', 'none');
SELECT streamfuse.flush('sales');
SELECT window_start, revenue FROM sales_closed ORDER BY 1;
SELECT count(*) AS left_over FROM streamfuse.punctuation;

DROP TABLE orders CASCADE;
DROP FUNCTION fault_set, fault_wait_hit;
