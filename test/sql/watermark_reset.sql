-- One row from 2090, where max_ahead lets it in, closes the future; reset_watermark repairs that.
CREATE TABLE clicks (page text, at timestamptz NOT NULL) USING stream;
SELECT streamfuse.set_watermark('clicks', 'at', delay => '1 s', max_ahead => 'infinity');
SET client_min_messages = warning;
CREATE MATERIALIZED VIEW per_minute WITH (streamfuse.continuous) AS
SELECT window_start, count(*) AS clicks FROM clicks, tumble(at, '1 minute') GROUP BY window_start, window_end;
SET timezone = 'UTC';
INSERT INTO clicks SELECT 'home', timestamptz '2026-01-01 00:00+00' + i * interval '1 s' FROM generate_series(0, 119) i;
SELECT streamfuse.flush();
INSERT INTO clicks VALUES ('home', '2090-01-01 00:00+00');
SELECT streamfuse.flush();
-- Now everything before 2090 is late.
INSERT INTO clicks VALUES ('home', '2026-01-01 00:05+00');
SELECT streamfuse.flush();
SELECT streamfuse.reset_watermark('clicks', '2026-01-01 00:03+00');
SELECT streamfuse.flush();
-- Windows that were closed with rows in them stay closed; those that were only passed over are open again, but for those
-- before the new watermark.
INSERT INTO clicks VALUES ('home', '2026-01-01 00:05+00'), ('home', '2026-01-01 00:01+00'), ('home', '2026-01-01 00:02:10+00');
SELECT streamfuse.flush();
SELECT * FROM per_minute ORDER BY 1;
SELECT view, window_start, missed FROM streamfuse.dirty_windows WHERE view = 'per_minute'::regclass ORDER BY window_start;
SELECT rows_in, rows_late, rows_missed FROM streamfuse.stat_views WHERE view = 'per_minute'::regclass;
SELECT * FROM streamfuse.verify('per_minute');
DROP TABLE clicks CASCADE;
