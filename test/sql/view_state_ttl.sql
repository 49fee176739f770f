-- state_ttl: groups over all time that have had no row for so long are forgotten.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE TABLE events (device text, value int, at timestamptz NOT NULL) USING stream;

-- Idle against what?  Without a watermark nobody can say.
CREATE MATERIALIZED VIEW devices WITH (streamfuse.continuous, streamfuse.state_ttl = '1 hour') AS
SELECT device, count(*) AS n, sum(value) AS total FROM events GROUP BY device;
SELECT streamfuse.set_watermark('events', 'at', delay => '1 minute');
CREATE MATERIALIZED VIEW devices WITH (streamfuse.continuous, streamfuse.state_ttl = '1 hour') AS
SELECT device, count(*) AS n, sum(value) AS total FROM events GROUP BY device;
CREATE MATERIALIZED VIEW every_device WITH (streamfuse.continuous) AS
SELECT device, count(*) AS n FROM events GROUP BY device;
SELECT view, exact, exemptions FROM streamfuse.views ORDER BY 1;

-- The watermark is a minute behind the greatest time.  A group that has been idle for exactly the time given stays.
INSERT INTO events VALUES ('a', 1, '2024-01-01 10:00'), ('b', 2, '2024-01-01 10:30'), ('c', 3, '2024-01-01 11:01');
SELECT streamfuse.flush();
SELECT * FROM devices ORDER BY device;
INSERT INTO events VALUES ('c', 4, '2024-01-01 11:01:01');
SELECT streamfuse.flush();
SELECT * FROM devices ORDER BY device;
SELECT * FROM devices WHERE device = 'a';

-- A row for a group that is forgotten begins a new one; a row that comes in time keeps its group.
INSERT INTO events VALUES ('a', 10, '2024-01-01 11:02'), ('b', 20, '2024-01-01 11:02');
SELECT streamfuse.flush();
SELECT * FROM devices ORDER BY device;

-- One late row more does not make a group older than it is; alone it is forgotten with the tick that brings it.
INSERT INTO events VALUES ('a', 100, '2024-01-01 09:00'), ('d', 100, '2024-01-01 09:00');
SELECT streamfuse.flush();
SELECT * FROM devices ORDER BY device;

-- The watermark moves by punctuation as well.
SELECT streamfuse.advance_watermark('events', '2024-01-01 12:01:30');
SELECT streamfuse.flush();
SELECT * FROM devices ORDER BY device;
SELECT streamfuse.advance_watermark('events', '2024-01-01 12:10');
SELECT streamfuse.flush();
SELECT * FROM devices ORDER BY device;

-- A watermark that is set back brings nothing back, and neither does another ttl, or none.
SELECT streamfuse.reset_watermark('events', '2024-01-01 10:00');
SELECT streamfuse.flush();
SELECT * FROM devices ORDER BY device;
ALTER MATERIALIZED VIEW devices SET (streamfuse.state_ttl = '10 hours');
SELECT streamfuse.flush();
SELECT * FROM devices ORDER BY device;
INSERT INTO events VALUES ('e', 5, '2024-01-01 11:30'), ('f', 6, '2024-01-01 20:01');
SELECT streamfuse.flush();
SELECT * FROM devices ORDER BY device;
ALTER MATERIALIZED VIEW devices RESET (streamfuse.state_ttl);
SELECT streamfuse.advance_watermark('events', '2024-01-10 00:00');
SELECT streamfuse.flush();
SELECT * FROM devices ORDER BY device;

-- What was forgotten makes the view differ from its query, also when it forgets no more.
SELECT view, exact, exemptions FROM streamfuse.views ORDER BY 1;
SELECT * FROM streamfuse.verify('devices');
SELECT count(*) FROM streamfuse.verify('every_device');

-- A shorter one takes effect at the next tick.
ALTER MATERIALIZED VIEW devices SET (streamfuse.state_ttl = '5 days');
SELECT streamfuse.flush();
SELECT * FROM devices ORDER BY device;

-- "infinity" is the user's word that state may grow.
CREATE MATERIALIZED VIEW for_ever WITH (streamfuse.continuous, streamfuse.state_ttl = 'infinity') AS
SELECT device, count(*) AS n FROM events GROUP BY device;
SELECT streamfuse.flush();
SELECT count(*), sum(n) FROM for_ever;
SELECT exact FROM streamfuse.views WHERE view = 'for_ever'::regclass;

-- Any keys, any aggregates: what these have collected is forgotten, too.
CREATE MATERIALIZED VIEW collected WITH (streamfuse.continuous, streamfuse.state_ttl = '1 day') AS
SELECT device, value % 2 = 0 AS even, max(device) AS last, count(DISTINCT value) AS different,
       array_agg(value ORDER BY at) AS vals
FROM events GROUP BY device, even HAVING count(*) > 0;
INSERT INTO events SELECT 'x', g % 3, timestamptz '2024-01-10 00:00' + g * interval '1 minute' FROM generate_series(1, 5) g;
INSERT INTO events VALUES (NULL, NULL, '2024-01-10 00:00');
SELECT streamfuse.flush();
SELECT * FROM collected WHERE device = 'x' OR device IS NULL ORDER BY device, even;
SELECT streamfuse.advance_watermark('events', '2024-01-11 00:04:30');
SELECT streamfuse.flush();
SELECT * FROM collected WHERE device = 'x' OR device IS NULL ORDER BY device, even;
INSERT INTO events VALUES ('x', 7, '2024-01-11 00:05'), ('x', 8, '2024-01-11 00:05'), (NULL, NULL, '2024-01-11 00:05');
SELECT streamfuse.flush();
SELECT * FROM collected WHERE device = 'x' OR device IS NULL ORDER BY device, even;

-- Each of several grouping sets has groups of its own.
CREATE MATERIALIZED VIEW sets WITH (streamfuse.continuous, streamfuse.state_ttl = '1 hour') AS
SELECT device, value % 2 AS odd, count(*) AS n FROM events WHERE at >= '2024-01-20' GROUP BY GROUPING SETS ((device), (odd));
INSERT INTO events VALUES ('a', 1, '2024-01-20 10:00'), ('b', 2, '2024-01-20 10:00'), ('b', 3, '2024-01-20 11:01:30');
SELECT streamfuse.flush();
SELECT * FROM sets ORDER BY device, odd;
INSERT INTO events VALUES ('a', 4, '2024-01-20 11:01:30');
SELECT streamfuse.flush();
SELECT * FROM sets ORDER BY device, odd;

-- A row that raises brings no group back, and makes none.
CREATE MATERIALIZED VIEW inverse WITH (streamfuse.continuous, streamfuse.state_ttl = '1 hour', streamfuse.on_error = 'skip') AS
SELECT device, sum(1 / value) AS total, count(*) AS n FROM events WHERE at >= '2024-02-01' GROUP BY device;
INSERT INTO events VALUES ('p', 1, '2024-02-01 00:00');
SELECT streamfuse.flush();
INSERT INTO events VALUES ('q', 1, '2024-02-01 02:00');
SELECT streamfuse.flush();
INSERT INTO events VALUES ('p', 0, '2024-02-01 02:00'), ('r', 0, '2024-02-01 02:00');
SELECT streamfuse.flush();
SELECT * FROM inverse ORDER BY device;
INSERT INTO events VALUES ('p', 0, '2024-02-01 02:01'), ('p', 1, '2024-02-01 02:01');
SELECT streamfuse.flush();
SELECT * FROM inverse ORDER BY device;

-- Of rows that came before there was a watermark nobody has noted the time: their groups stay until another row comes.
CREATE TABLE early (id int, at timestamptz NOT NULL) USING stream;
CREATE MATERIALIZED VIEW early_ids WITH (streamfuse.continuous) AS SELECT id, count(*) AS n FROM early GROUP BY id;
INSERT INTO early VALUES (1, '2024-01-01 00:00'), (2, '2024-01-01 00:00');
SELECT streamfuse.flush('early_ids');
SELECT streamfuse.set_watermark('early', 'at', delay => '0 s');
ALTER MATERIALIZED VIEW early_ids SET (streamfuse.state_ttl = '1 hour');
INSERT INTO early VALUES (2, '2024-01-01 00:00'), (3, '2024-01-01 00:00');
SELECT streamfuse.flush('early_ids');
INSERT INTO early VALUES (4, '2024-01-02 00:00');
SELECT streamfuse.flush('early_ids');
SELECT * FROM early_ids ORDER BY id;

-- Where a ttl makes no sense.
CREATE MATERIALIZED VIEW hourly WITH (streamfuse.continuous, streamfuse.state_ttl = '1 hour') AS
SELECT window_start, count(*) FROM events, tumble(at, '1 hour') GROUP BY window_start, window_end;
CREATE MATERIALIZED VIEW one_row WITH (streamfuse.continuous, streamfuse.state_ttl = '1 hour') AS
SELECT count(*) FROM events;
CREATE MATERIALIZED VIEW with_total WITH (streamfuse.continuous, streamfuse.state_ttl = '1 hour') AS
SELECT device, count(*) FROM events GROUP BY ROLLUP (device);
CREATE MATERIALIZED VIEW positive WITH (streamfuse.continuous, streamfuse.state_ttl = '1 hour') AS
SELECT device FROM events WHERE value > 0;
CREATE MATERIALIZED VIEW hourly WITH (streamfuse.continuous, streamfuse.state_ttl = 'infinity') AS
SELECT window_start, count(*) FROM events, tumble(at, '1 hour') GROUP BY window_start, window_end;
ALTER MATERIALIZED VIEW hourly SET (streamfuse.state_ttl = '1 hour');
ALTER MATERIALIZED VIEW devices SET (streamfuse.state_ttl = '0 s');
ALTER MATERIALIZED VIEW devices SET (streamfuse.state_ttl = '-1 hour');
ALTER MATERIALIZED VIEW devices SET (streamfuse.state_ttl = '1 month');
ALTER MATERIALIZED VIEW devices SET (streamfuse.state_ttl = '2000000000 days');
ALTER MATERIALIZED VIEW devices SET (streamfuse.state_ttl = 'a while');
SELECT option_value FROM pg_class, pg_options_to_table(reloptions)
WHERE oid = 'devices'::regclass AND option_name = 'streamfuse.state_ttl';

DROP TABLE events, early CASCADE;
