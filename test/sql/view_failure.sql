-- A view whose expression raises is tried again, then it has failed: it alone, and it keeps what it had.  (Tests run with
-- streamfuse.restart_delay = 0; streamfuse.restart_attempts is 3.)
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE TABLE orders (event_time timestamptz NOT NULL, amount int, parts int) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time');
CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount / parts) AS share FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW sums WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) AS amount FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
INSERT INTO orders VALUES ('2026-01-01 00:01', 10, 2), ('2026-01-01 00:06', 12, 3);
SELECT streamfuse.flush();

INSERT INTO orders VALUES ('2026-01-01 00:07', 8, 4), ('2026-01-01 00:08', 8, 0);
SELECT streamfuse.flush('sums');
SELECT streamfuse.flush('shares');
SELECT view, status, sqlstate, error FROM streamfuse.stat_views ORDER BY view::text;
SELECT * FROM sums ORDER BY 1;
SELECT window_start, share FROM shares_closed;

-- Who waits for all is told, too; at once.
SELECT streamfuse.flush();

-- The other goes on, through whatever comes.
INSERT INTO orders VALUES ('2026-01-01 00:11', 1, 0);
SELECT streamfuse.flush('sums');
SELECT window_start, amount FROM sums_closed ORDER BY 1;
SELECT view, status FROM streamfuse.views ORDER BY view::text;

-- An error in HAVING or in the select list comes up when the window closes.
CREATE MATERIALIZED VIEW ratios WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) / (sum(amount) - 1) AS ratio FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end;
SELECT streamfuse.flush('ratios');
SELECT window_start, ratio FROM ratios_closed ORDER BY 1;
INSERT INTO orders VALUES ('2026-01-01 00:20', 5, 1);
SELECT streamfuse.flush('sums');
SELECT streamfuse.flush('ratios');
SELECT view, status, sqlstate, error FROM streamfuse.stat_views ORDER BY view::text;

-- Dropped, and made anew, it is well again.
DROP MATERIALIZED VIEW shares, ratios;
CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount / nullif(parts, 0)) AS share FROM orders, tumble(event_time, '5 minutes')
GROUP BY window_start, window_end;
SELECT streamfuse.flush();
SELECT * FROM shares ORDER BY 1;
DROP TABLE orders CASCADE;
