-- A stream's watermark is on its column of event time, a fixed delay behind the latest row.
CREATE TABLE orders (
  amount int, event_time timestamptz NOT NULL, local_time timestamp NOT NULL, sent timestamptz, day date NOT NULL
) USING stream;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 minute');
SELECT * FROM streamfuse.streams ORDER BY stream;

-- Rows may be ahead of the clock by a day, or by what max_ahead says.
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 day 00:00:00.5', max_ahead => '1 hour');
SELECT * FROM streamfuse.streams ORDER BY stream;
SELECT streamfuse.set_watermark('orders', 'event_time', max_ahead => 'infinity');
SELECT * FROM streamfuse.streams ORDER BY stream;

-- The settings are a security label, so that they travel in a dump; it reads the same whatever the IntervalStyle.
SET IntervalStyle = sql_standard;
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '2 days 03:04:05', max_ahead => '-1 days +30:00:00');
SELECT objtype, objname, label FROM pg_seclabels WHERE provider = 'streamfuse';
SELECT delay = '2 days 03:04:05' AS same FROM streamfuse.streams;
RESET IntervalStyle;
SELECT * FROM streamfuse.streams ORDER BY stream;

-- A column of type timestamp counts as UTC.
SELECT streamfuse.set_watermark('orders', 'local_time');
SELECT * FROM streamfuse.streams ORDER BY stream;

-- The last word counts.
SELECT streamfuse.set_watermark('orders', 'local_time', delay => delay) FROM (VALUES (interval '5 s'), ('0')) v (delay);

-- Not every column can carry a watermark.
SELECT streamfuse.set_watermark('orders', 'sent');
SELECT streamfuse.set_watermark('orders', 'day');
SELECT streamfuse.set_watermark('orders', 'amount');
SELECT streamfuse.set_watermark('orders', 'xmin');
SELECT streamfuse.set_watermark('orders', 'shipped');

-- Nor is every delay one.
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '-1 second');
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 day -25 hours');
SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 month');
SELECT streamfuse.set_watermark('orders', 'event_time', delay => NULL);
SELECT streamfuse.set_watermark('orders', 'event_time', max_ahead => '-1 hour');
SELECT streamfuse.set_watermark('orders', 'event_time', max_ahead => '1 year');
SELECT streamfuse.set_watermark('orders', 'event_time', max_ahead => 'soon');
SELECT streamfuse.set_watermark(NULL, 'event_time');

-- Other strategies are not there yet.
SELECT streamfuse.set_watermark('orders', 'event_time', strategy => 'adaptive', percentile => 0.99);
SELECT streamfuse.set_watermark('orders', 'event_time', strategy => 'ingestion');
SELECT streamfuse.set_watermark('orders', 'event_time', strategy => 'guess');
SELECT streamfuse.set_watermark('orders', 'event_time', idle_timeout => '30 s');
SELECT streamfuse.set_watermark('orders', 'event_time', source_key => 'amount');
SELECT streamfuse.set_watermark('orders', 'event_time', percentile => 0.99);
SELECT streamfuse.set_watermark('orders', 'event_time', max_delay => '10 minutes');

-- What failed has changed nothing.
SELECT * FROM streamfuse.streams ORDER BY stream;

-- The setting follows its column, whatever the new name.
ALTER TABLE orders RENAME COLUMN local_time TO "it's ""local"" = time";
SELECT label FROM pg_seclabels WHERE provider = 'streamfuse';
SELECT * FROM streamfuse.streams ORDER BY stream;
ALTER TABLE orders RENAME COLUMN "it's ""local"" = time" TO local_time;
ALTER TABLE orders RENAME COLUMN amount TO total;
SELECT label FROM pg_seclabels WHERE provider = 'streamfuse';

-- While it carries the watermark, the column stays what it must be.
ALTER TABLE orders ALTER COLUMN local_time DROP NOT NULL;
ALTER TABLE orders ALTER COLUMN local_time TYPE date;
ALTER TABLE orders DROP COLUMN local_time;
ALTER TABLE orders DROP COLUMN total, ALTER COLUMN local_time TYPE timestamptz;
SELECT streamfuse.set_watermark('orders', 'event_time');
ALTER TABLE orders DROP COLUMN local_time;
SECURITY LABEL FOR streamfuse ON TABLE orders IS NULL;
SELECT * FROM streamfuse.streams ORDER BY stream;

-- A label written by hand must be one that set_watermark could have written.
SECURITY LABEL FOR streamfuse ON TABLE orders IS 'column="event_time"';
SELECT * FROM streamfuse.streams ORDER BY stream;
SECURITY LABEL FOR streamfuse ON TABLE orders IS 'delay="1 minute"';
SECURITY LABEL FOR streamfuse ON TABLE orders IS 'column="event_time" delay="-1 minute"';
SECURITY LABEL FOR streamfuse ON TABLE orders IS 'column="event_time" colour="red"';
SECURITY LABEL FOR streamfuse ON TABLE orders IS 'column="event_time';
SECURITY LABEL FOR streamfuse ON TABLE orders IS 'column="event_time"delay="1 minute"';
SECURITY LABEL FOR streamfuse ON TABLE orders IS 'column=event_time';
SECURITY LABEL FOR streamfuse ON TABLE orders IS '';
SECURITY LABEL FOR streamfuse ON TABLE orders IS 'column="shipped"';
SECURITY LABEL FOR streamfuse ON COLUMN orders.event_time IS 'column="event_time"';
SECURITY LABEL FOR streamfuse ON VIEW streamfuse.streams IS 'column="stream"';

-- All windows over a stream are over its watermark column, and it stays there.
CREATE TABLE clicks (clicked timestamptz NOT NULL, seen timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('clicks', 'seen');
CREATE MATERIALIZED VIEW clicks_by_minute WITH (streamfuse.continuous) AS
  SELECT window_start, count(*) FROM clicks, tumble(clicked, '1 minute') GROUP BY window_start, window_end;
SELECT streamfuse.set_watermark('clicks', 'clicked');
SET client_min_messages = warning;
CREATE MATERIALIZED VIEW clicks_by_minute WITH (streamfuse.continuous) AS
  SELECT window_start, count(*) FROM clicks, tumble(clicked, '1 minute') GROUP BY window_start, window_end;
RESET client_min_messages;
SELECT streamfuse.set_watermark('clicks', 'seen');
SELECT streamfuse.set_watermark('clicks', 'clicked', delay => '5 s');
ALTER TABLE clicks RENAME COLUMN clicked TO clicked_at;
SELECT streamfuse.set_watermark('clicks', 'clicked_at', delay => '6 s');
SELECT * FROM streamfuse.streams ORDER BY stream;
DROP MATERIALIZED VIEW clicks_by_minute;
SELECT streamfuse.set_watermark('clicks', 'seen');
DROP TABLE clicks;

-- A partitioned stream has one watermark, whatever its partitions.
CREATE TABLE events (at timestamptz NOT NULL, kind text) PARTITION BY LIST (kind);
SELECT streamfuse.set_watermark('events', 'at');
CREATE TABLE events_a PARTITION OF events FOR VALUES IN ('a') USING stream;
SELECT streamfuse.set_watermark('events', 'at', delay => '1 minute');
SELECT streamfuse.set_watermark('events_a', 'at');
SECURITY LABEL FOR streamfuse ON TABLE events_a IS 'column="at"';
SELECT * FROM streamfuse.streams ORDER BY stream;
ALTER TABLE events RENAME COLUMN at TO happened;
SELECT * FROM streamfuse.streams ORDER BY stream;
CREATE TABLE events_b PARTITION OF events FOR VALUES IN ('b') USING heap;
SELECT streamfuse.set_watermark('events', 'happened');
SELECT * FROM streamfuse.streams ORDER BY stream;
DROP TABLE events;

-- A watermark is for streams.
CREATE TABLE notes (written timestamptz NOT NULL);
SELECT streamfuse.set_watermark('notes', 'written');
SELECT streamfuse.advance_watermark('notes', '2026-01-01 00:00+00');

-- A watermark can be set by hand: advance_watermark for what no row says, reset_watermark to repair.
SELECT streamfuse.advance_watermark('orders', '2026-01-01 00:00+00');
SELECT streamfuse.reset_watermark('orders', '2025-01-01 00:00+00');
SELECT stream::regclass, reset, watermark AT TIME ZONE 'UTC' AS watermark FROM streamfuse.punctuation ORDER BY id;
SELECT streamfuse.advance_watermark('orders', 'infinity');
SELECT streamfuse.reset_watermark('orders', '-infinity');
SELECT streamfuse.advance_watermark('orders', NULL);
SELECT streamfuse.advance_watermark(NULL, '2026-01-01 00:00+00');

-- Each of these is for the stream's owner only.
CREATE ROLE regress_streamfuse_stranger;
SET ROLE regress_streamfuse_stranger;
SELECT streamfuse.set_watermark('orders', 'event_time');
SELECT streamfuse.advance_watermark('orders', '2026-01-01 00:00+00');
SELECT streamfuse.reset_watermark('orders', '2026-01-01 00:00+00');
SELECT * FROM streamfuse.streams ORDER BY stream;
RESET ROLE;
DROP ROLE regress_streamfuse_stranger;

-- The worker looks at the commit; a transaction that is prepared has none it could wait for.
BEGIN;
SELECT streamfuse.set_watermark('orders', 'event_time');
PREPARE TRANSACTION 'streamfuse_watermark';

BEGIN READ ONLY;
SELECT streamfuse.set_watermark('orders', 'event_time');
ROLLBACK;
BEGIN READ ONLY;
SELECT streamfuse.advance_watermark('orders', '2026-01-01 00:00+00');
ROLLBACK;

-- Watermarks set by hand go with their stream.
DROP TABLE orders, notes;
SELECT count(*) FROM streamfuse.punctuation;
