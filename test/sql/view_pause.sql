-- A view can be stopped where it is, and go on from there later; other views are not concerned.
SET TimeZone = 'UTC';
SET DateStyle = ISO;
SET client_min_messages = warning;
CREATE TABLE orders (event_time timestamptz NOT NULL, amount int) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time');
CREATE MATERIALIZED VIEW sums WITH (streamfuse.continuous) AS
SELECT window_start, sum(amount) AS amount FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW counts WITH (streamfuse.continuous) AS
SELECT window_start, count(*) AS orders FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
INSERT INTO orders VALUES ('2026-01-01 00:01', 10), ('2026-01-01 00:06', 12);
SELECT streamfuse.flush();

-- A transaction that is rolled back pauses nothing.
BEGIN;
SELECT streamfuse.pause('sums');
ROLLBACK;
INSERT INTO orders VALUES ('2026-01-01 00:07', 1);
SELECT streamfuse.flush('sums');
SELECT view, status FROM streamfuse.views ORDER BY view::text;

-- Paused: it stands still, its windows too, and is read as it stands.
SELECT streamfuse.pause('sums');
SELECT view, status FROM streamfuse.views ORDER BY view::text;
INSERT INTO orders VALUES ('2026-01-01 00:08', 100), ('2026-01-01 00:12', 7), ('2026-01-01 00:21', 3);
SELECT streamfuse.flush('sums');
SELECT streamfuse.flush();
SELECT streamfuse.flush('counts');
SELECT * FROM sums ORDER BY 1;
SELECT * FROM counts ORDER BY 1;
SELECT window_start, orders FROM counts_closed ORDER BY 1;
SELECT window_start, amount FROM sums_closed ORDER BY 1;
SELECT view, status, sqlstate, error FROM streamfuse.stat_views ORDER BY view::text;
SELECT * FROM streamfuse.verify('sums');
SET streamfuse.read_consistency = 'latest';
SELECT * FROM sums;
RESET streamfuse.read_consistency;

-- Twice is as good as once; what can be done to a view can be done to a paused one.
SELECT streamfuse.pause('sums');
ALTER MATERIALIZED VIEW sums RENAME TO totals;
ALTER MATERIALIZED VIEW totals SET (streamfuse.emit = 'final');
SELECT * FROM totals ORDER BY 1;
ALTER MATERIALIZED VIEW totals RESET (streamfuse.emit);
SELECT * FROM totals ORDER BY 1;

-- What came meanwhile is on time, though the others have closed its windows; these close when it has caught up.
SELECT streamfuse.resume('totals');
SELECT streamfuse.flush('totals');
SELECT window_start, amount FROM sums_closed ORDER BY 1;
SELECT * FROM totals ORDER BY 1;
SELECT * FROM streamfuse.verify('totals');
SELECT view, status, rows_in, rows_late, rows_missed FROM streamfuse.stat_views ORDER BY view::text;
SELECT streamfuse.resume('totals');
INSERT INTO orders VALUES ('2026-01-01 00:22', 1);
SELECT streamfuse.flush();
SELECT * FROM totals WHERE window_start = '2026-01-01 00:20';

-- A watermark that is set back meanwhile opens windows for it, too: those that were passed over without a row.
SELECT streamfuse.advance_watermark('orders', '2026-01-01 02:00');
SELECT streamfuse.flush();
SELECT streamfuse.pause('totals');
SELECT streamfuse.reset_watermark('orders', '2026-01-01 00:25');
SELECT streamfuse.flush('counts');
INSERT INTO orders VALUES ('2026-01-01 00:41', 4), ('2026-01-01 00:52', 5);
SELECT streamfuse.flush('counts');
SELECT streamfuse.resume('totals');
SELECT streamfuse.flush();
SELECT * FROM totals WHERE window_start > '2026-01-01 00:20' ORDER BY 1;
SELECT * FROM counts WHERE window_start > '2026-01-01 00:20' ORDER BY 1;
SELECT window_start, amount FROM sums_closed WHERE window_start >= '2026-01-01 00:20' ORDER BY 1;
-- The same where no other view has taken it in.
DROP MATERIALIZED VIEW counts;
SELECT streamfuse.advance_watermark('orders', '2026-01-01 02:00');
SELECT streamfuse.flush();
SELECT streamfuse.pause('totals');
SELECT streamfuse.reset_watermark('orders', '2026-01-01 00:55');
INSERT INTO orders VALUES ('2026-01-01 01:01', 6);
SELECT streamfuse.resume('totals');
SELECT streamfuse.flush();
SELECT * FROM totals WHERE window_start > '2026-01-01 00:50' ORDER BY 1;
SELECT * FROM streamfuse.verify('totals');
SELECT view, watermark, closed_until, rows_missed FROM streamfuse.stat_views;
CREATE MATERIALIZED VIEW counts WITH (streamfuse.continuous) AS
SELECT window_start, count(*) AS orders FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
SELECT streamfuse.flush();

-- Paused before it has ever run.
BEGIN;
CREATE MATERIALIZED VIEW late WITH (streamfuse.continuous) AS
SELECT window_start, max(amount) AS amount FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
SELECT streamfuse.pause('late');
COMMIT;
SELECT status FROM streamfuse.views WHERE view = 'late'::regclass;
SELECT * FROM late ORDER BY 1;
SELECT streamfuse.flush('late');
SELECT streamfuse.resume('late');
SELECT streamfuse.flush('late');
SELECT window_start, amount FROM late_closed ORDER BY 1;
SELECT streamfuse.pause('late');
DROP MATERIALIZED VIEW late;

-- A view that has failed goes on when its function has been repaired.
CREATE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1000 / amount; END';
CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous) AS
SELECT window_start, sum(share(amount)) AS share FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
SELECT streamfuse.flush('shares');
INSERT INTO orders VALUES ('2026-01-01 01:06', 0);
SELECT streamfuse.flush('shares');
ALTER MATERIALIZED VIEW shares RENAME TO parts;
INSERT INTO orders VALUES ('2026-01-01 01:07', 50), ('2026-01-01 01:11', 1);
SELECT streamfuse.resume('parts');
SELECT streamfuse.flush('parts');
CREATE OR REPLACE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1000 / nullif(amount, 0); END';
SELECT streamfuse.resume('parts');
SELECT streamfuse.flush('parts');
SELECT window_start, share FROM shares_closed ORDER BY 1;
SELECT * FROM streamfuse.verify('parts');
SELECT view, status, sqlstate, error, attempts, next_attempt FROM streamfuse.stat_views ORDER BY view::text;

-- Only the owner, and only what it is for.
CREATE ROLE regress_clerk;
SET ROLE regress_clerk;
SELECT streamfuse.pause('totals');
SELECT streamfuse.resume('totals');
RESET ROLE;
DROP ROLE regress_clerk;
SELECT streamfuse.pause('orders');
SELECT streamfuse.resume(0);
DROP TABLE orders CASCADE;
DROP FUNCTION share;
