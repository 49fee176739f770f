# What is kept for open readers is bounded: beyond streamfuse.reader_memory an old cursor fails with "snapshot too old",
# the worker and everybody else go on.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
streamfuse.reader_memory = '1MB'
timezone = 'UTC'
fsync = off
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE readings (sensor int, value int, taken timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('readings', 'taken', delay => '0 seconds');
	CREATE MATERIALIZED VIEW by_sensor WITH (streamfuse.continuous) AS
	SELECT window_start, sensor, count(*) AS readings, sum(value) AS total
	FROM readings, tumble(taken, '1 hour') GROUP BY window_start, window_end, sensor;
	INSERT INTO readings SELECT g, 1, '2026-01-01 10:00' FROM generate_series(1, 20000) g;
	SELECT streamfuse.flush();});

my $add = q{INSERT INTO readings SELECT g, 1, '2026-01-01 10:00' FROM generate_series(1, 20000) g;
	SELECT streamfuse.flush() IS NOT NULL;};

# Everything since the cursor's tick would have to be kept.
my $reader = $node->background_psql('postgres', on_error_stop => 0);
$reader->query_safe('BEGIN');
$reader->query_safe('DECLARE old CURSOR FOR SELECT sensor, readings FROM by_sensor');
is($reader->query_safe('FETCH 1 FROM old'), '1|1', 'the cursor begins');
$node->safe_psql('postgres', $add);
is($reader->query_safe('SELECT count(*) FROM by_sensor WHERE readings = 2'), '20000',
	'a newer statement of the same transaction is answered');

# What the old cursor has lost does not take with it what a newer one of the same session needs.
$reader->query_safe('DECLARE newer CURSOR FOR SELECT count(*), min(readings), max(readings) FROM by_sensor');
$node->safe_psql('postgres', q{INSERT INTO readings SELECT 1 + g % 1000, 1, '2026-01-01 10:00' FROM generate_series(1, 1000) g;
	SELECT streamfuse.flush();}) for 1 .. 8;
is($reader->query_safe('FETCH ALL FROM newer'), '20000|2|2', 'a newer cursor beside it is answered as of its own tick');
$reader->query('FETCH ALL FROM old');
like($reader->{stderr}, qr/snapshot too old/, 'the old cursor fails');
$reader->query('ROLLBACK');
$reader->quit;

is($node->safe_psql('postgres', 'SELECT count(*), min(readings), max(readings) FROM by_sensor'), '20000|2|10',
	'other readers are answered');
$node->safe_psql('postgres', $add);
is($node->safe_psql('postgres', 'SELECT count(*), min(readings), max(readings) FROM by_sensor'), '20000|3|11',
	'the worker goes on');
$node->stop;

done_testing();
