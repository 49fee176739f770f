# Windows that overlap, through what happens to servers: a worker or the server killed at each point of a close, a standby and
# its promotion, a dump and its restore, readers that are too old, rows that raise, and more groups than a slide may hold.
# Whatever happens, each view equals its query, but for dirty windows.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Streamfuse::Server;

my $node = start_server('main', 'fsync = off', 'wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on', 'restart_after_crash = on',
	q{streamfuse.commit_interval = '5ms'});
need_fault_points($node);

my %query = (
	sliding => q{SELECT window_start, window_end, sensor, count(*) AS readings, sum(value) AS total, avg(value::numeric) AS mean, max(unit) AS unit
		FROM readings, hop(taken, '10 minutes', '2 minutes') GROUP BY window_start, window_end, sensor},
	growing => q{SELECT window_start, window_end, count(*) AS readings, stddev(value) AS deviation
		FROM readings, cumulate(taken, '10 minutes', '2 minutes') GROUP BY window_start, window_end});

$node->safe_psql('postgres', qq{
	CREATE TABLE readings (sensor int, value int, unit text, taken timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('readings', 'taken', delay => '3 minutes');
	CREATE MATERIALIZED VIEW sliding WITH (streamfuse.continuous) AS $query{sliding};
	CREATE MATERIALIZED VIEW growing WITH (streamfuse.continuous) AS $query{growing};});

# A minute of readings; with late ones, also such as are late for some of their windows.
my $minute = 0;
sub insert
{
	my ($server, $database, $late) = @_;

	$minute++;
	$server->safe_psql($database, "INSERT INTO readings SELECT i % 5, i, CASE WHEN i % 2 = 0 THEN 'unit ' || i END, "
		. "timestamptz '2026-01-01' + interval '$minute minutes' + i * interval '1 second' FROM generate_series(0, 30) i");
	$server->safe_psql($database, "INSERT INTO readings SELECT i, i, NULL, timestamptz '2026-01-01' + interval '$minute minutes' "
		. "- i * interval '1 minute' FROM generate_series(4, 14, 5) i WHERE i <= $minute") if $late;
	return;
}

# One test for each view: it is its query, but for dirty windows, and those lack what they are said to lack.
sub agree
{
	my ($server, $database, $name) = @_;

	$server->safe_psql($database, 'SELECT streamfuse.flush()') if $server->safe_psql($database, 'SELECT pg_is_in_recovery()') eq 'f';
	for my $view (sort keys %query)
	{
		my $clean = "WHERE NOT EXISTS (SELECT FROM streamfuse.dirty_windows w WHERE w.view = '$view'::regclass "
		  . 'AND (w.window_start, w.window_end) = (r.window_start, r.window_end))';
		my ($stream, $batch) = ("SELECT * FROM $view r $clean", "SELECT * FROM ($query{$view}) r $clean");
		is($server->safe_psql($database, "SELECT d.* FROM (SELECT 'view' AS side, v.* FROM ($stream EXCEPT ALL $batch) v "
			. "UNION ALL SELECT 'batch', b.* FROM ($batch EXCEPT ALL $stream) b) d ORDER BY d"), '', "$name: $view");
		is($server->safe_psql($database, qq{
			SELECT w.window_start, w.window_end, w.missed, b.n, v.n FROM streamfuse.dirty_windows w
			LEFT JOIN LATERAL (SELECT sum(readings) AS n FROM ($query{$view}) r WHERE (r.window_start, r.window_end) = (w.window_start, w.window_end)) b ON true
			LEFT JOIN LATERAL (SELECT sum(readings) AS n FROM $view r WHERE (r.window_start, r.window_end) = (w.window_start, w.window_end)) v ON true
			WHERE w.view = '$view'::regclass AND coalesce(b.n, 0) - coalesce(v.n, 0) <> w.missed}), '', "$name: what $view misses is listed");
	}
	return;
}

insert($node, 'postgres', 0) for 1 .. 12;
agree($node, 'postgres', 'at first');

# A worker that dies leaves panes and half a close in shared memory; a server leaves what was committed.
for my $point (sort keys %AROUND_CLOSE)
{
	for my $action (@{ $AROUND_CLOSE{$point} })
	{
		strike($node, $point, $action, sub { eval { insert($node, 'postgres', 1); insert($node, 'postgres', 0); }; });
		agree($node, 'postgres', "$action at $point");
	}
}
terminate_worker($node);
insert($node, 'postgres', 1);
agree($node, 'postgres', 'terminated');
$node->restart;
insert($node, 'postgres', 1);
agree($node, 'postgres', 'restarted');

# Panes that are done with leave memory and the state table: what stays does not grow with what was.
$node->safe_psql('postgres', q{INSERT INTO readings VALUES (1, 1, 'x', '2026-01-02'); SELECT streamfuse.flush(); SELECT streamfuse.checkpoint()});
$node->poll_query_until('postgres', q{SELECT bool_and(open_windows = 1 AND groups <= 1) FROM streamfuse.stat_views}) or die 'panes stay';
is($node->safe_psql('postgres', 'SELECT count(*) FROM streamfuse.state'), '2', 'one pane of each view is left in the state table');
is($node->safe_psql('postgres', q{SELECT next_close FROM streamfuse.stat_views WHERE view = 'sliding'::regclass}),
	'2026-01-02 00:02:00+00', 'the next window to close is known');
$minute = 24 * 60;

# A standby has the panes of the last checkpoint, and goes on from there.
my $standby = start_standby($node);
insert($node, 'postgres', 1) for 1 .. 5;
$node->safe_psql('postgres', 'SELECT streamfuse.flush(); SELECT streamfuse.checkpoint()');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
agree($standby, 'postgres', 'on a standby');
$node->stop('immediate');
$standby->promote;
insert($standby, 'postgres', 1);
agree($standby, 'postgres', 'promoted');
$node = $standby;

# A cursor keeps what it reads, up to a limit.
my $reader = $node->background_psql('postgres', on_error_stop => 0);
$reader->query_safe(q{BEGIN; DECLARE old CURSOR FOR SELECT count(*), sum(readings) FROM sliding WHERE window_end > '2026-01-02 00:05'});
my $before = $node->safe_psql('postgres', q{SELECT count(*), sum(readings) FROM sliding WHERE window_end > '2026-01-02 00:05'});
insert($node, 'postgres', 1) for 1 .. 5;
$node->safe_psql('postgres', q{INSERT INTO readings VALUES (1, 1, 'x', '2026-01-02 03:00'); SELECT streamfuse.flush()});
is($reader->query_safe('FETCH ALL FROM old'), $before, 'a cursor answers as of its opening, when all its windows have closed');
$reader->query_safe('COMMIT');
$node->safe_psql('postgres', q{ALTER SYSTEM SET streamfuse.reader_memory = '1MB'; SELECT pg_reload_conf()});
$node->safe_psql('postgres', q{INSERT INTO readings SELECT i, i, 'x', '2026-01-02 03:01' FROM generate_series(1, 15000) i; SELECT streamfuse.flush()});
$reader->query_safe(q{BEGIN; DECLARE old CURSOR FOR SELECT sensor FROM sliding WHERE window_end > '2026-01-02 03:01'});
$node->safe_psql('postgres', q{INSERT INTO readings VALUES (1, 1, 'x', '2026-01-02 06:00'); SELECT streamfuse.flush(); SELECT streamfuse.checkpoint()});
$node->safe_psql('postgres', q{INSERT INTO readings VALUES (1, 1, 'x', '2026-01-02 06:01'); SELECT streamfuse.flush()}) for 1 .. 2;
$reader->query('FETCH ALL FROM old');
like($reader->{stderr}, qr/snapshot too old/, 'beyond the limit panes are not kept for it');
$reader->query('ROLLBACK');
$reader->quit;
$minute = 24 * 60 + 6 * 60 + 1;
insert($node, 'postgres', 1);
agree($node, 'postgres', 'after old readers');

# A dump has closed windows; the open ones are counted again from the stored rows, which are late for neither.
my $dump = $node->backup_dir . '.sql';
insert($node, 'postgres', 0) for 1 .. 7;
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
my %dirty = map { $_ => $node->safe_psql('postgres', "SELECT count(*) FROM streamfuse.dirty_windows WHERE view = '$_'::regclass") } keys %query;
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump, '-T', 'nothing' ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-qX', '-d', $node->connstr('copy'), '-v', 'ON_ERROR_STOP=1', '-f', $dump ], 'restored');
agree($node, 'copy', 'restored');
for my $view (sort keys %query)
{
	is($node->safe_psql('copy', "SELECT count(*) FROM streamfuse.dirty_windows WHERE view = '$view'::regclass"), $dirty{$view},
		"windows of $view that lacked rows before the dump, and no others, are dirty after the restore");
}
insert($node, 'copy', 1) for 1 .. 3;
agree($node, 'copy', 'restored, and on');

# A row that raises is in no pane.
$node->safe_psql('postgres', q{
	CREATE TABLE shares (part int, at timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('shares', 'at', delay => '0');
	CREATE MATERIALIZED VIEW halves WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
	SELECT window_start, window_end, count(*) AS n, sum(60 / part) AS sum FROM shares, hop(at, '3 minutes', '1 minute') GROUP BY window_start, window_end;
	INSERT INTO shares SELECT i % 3, timestamptz '2026-01-01' + i * interval '20 seconds' FROM generate_series(0, 20) i;
	SELECT streamfuse.flush();
	INSERT INTO shares VALUES (0, '2026-01-01 00:05'), (2, '2026-01-01 00:05'), (0, '2026-01-01 00:01'), (1, '2026-01-01 00:01');
	SELECT streamfuse.flush()});
is($node->safe_psql('postgres', q{SELECT rows_in, rows_late, rows_missed, rows_failed FROM streamfuse.stat_views WHERE view = 'halves'::regclass}),
	'15|2|4|9', 'rows in, late, missed, failed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM streamfuse.verify('halves')}), '0', 'the rest is as in the batch');

# More groups than the slide may hold: windows are put together one by one, and are the same.
$node->safe_psql('postgres', q{ALTER SYSTEM SET streamfuse.state_memory = '64MB'; SELECT pg_reload_conf(); SELECT pg_terminate_backend(pid, 180000) FROM pg_stat_activity WHERE backend_type = 'streamfuse worker'});
$node->safe_psql('postgres', q{
	CREATE TABLE many (k int, at timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('many', 'at', delay => '0');
	CREATE MATERIALIZED VIEW wide WITH (streamfuse.continuous) AS
	SELECT window_start, window_end, k, count(*) AS n, avg(k::numeric) AS mean, min(k::numeric) AS least, max(k::text) AS last FROM many, hop(at, '20 seconds', '1 second') GROUP BY window_start, window_end, k;});
for my $second (0 .. 29)
{
	$node->safe_psql('postgres', "INSERT INTO many SELECT i, timestamptz '2026-01-01' + interval '$second seconds' FROM generate_series(1, 2000) i; SELECT streamfuse.flush('many')");
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM streamfuse.verify('wide')}), '0', 'many keys in many panes');
is($node->safe_psql('postgres', q{SELECT count(*), sum(n) FROM wide}), '98000|1200000', 'each row is in as many windows as hold it');
$node->stop;

done_testing();
