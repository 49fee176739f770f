# Sessions, through what happens to servers: a worker or the server killed at each point of a close, a standby and its
# promotion, a dump and its restore, cursors and old snapshots while sessions close, rows that raise, sessions that do not end.
# Whatever happens, each view equals its query, but for sessions that overlap with a dirty span, and each row is in one
# session or missed.
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
	# Of each sensor, which goes quiet now and then; sensor 0 never does.
	runs => q{SELECT window_start, window_end, sensor, count(*) AS readings, sum(value) AS total, avg(value::numeric) AS mean, max(unit) AS unit
		FROM readings, session(taken, '2 minutes') GROUP BY window_start, window_end, sensor},
	# What each of them has sent by unit, and how many sessions there are of a length.
	units => q{SELECT window_start, window_end, sensor, unit, count(*) AS readings, array_agg(value ORDER BY value) AS all_values
		FROM readings, session(taken, '2 minutes', sensor) GROUP BY window_start, window_end, sensor, unit},
	pairs => q{SELECT window_start, window_end, count(*) AS readings, count(DISTINCT sensor) AS sensors
		FROM readings, session(taken, '90 seconds', sensor, unit) GROUP BY window_start, window_end});

$node->safe_psql('postgres', qq{
	CREATE TABLE readings (sensor int, value int, unit text, taken timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('readings', 'taken', delay => '3 minutes');
	CREATE MATERIALIZED VIEW runs WITH (streamfuse.continuous) AS $query{runs};
	CREATE MATERIALIZED VIEW units WITH (streamfuse.continuous) AS $query{units};
	CREATE MATERIALIZED VIEW pairs WITH (streamfuse.continuous) AS $query{pairs};
	SELECT streamfuse.flush()});

# A minute of readings, of some sensors; with late ones: between sessions, inside of open ones, and too late.
my $minute = 0;
sub insert
{
	my ($server, $database, $late) = @_;

	$minute++;
	$server->safe_psql($database, "INSERT INTO readings SELECT i % 5, i, CASE WHEN i % 2 = 0 THEN 'unit ' || i % 4 END, "
		. "timestamptz '2026-01-01' + interval '$minute minutes' + i * interval '1 second' FROM generate_series(0, 30) i "
		. "WHERE i % 5 = 0 OR hashint4(i % 5 + 7 * ($minute / 3)) % 2 = 0");
	$server->safe_psql($database, "INSERT INTO readings SELECT i % 4, i, NULL, timestamptz '2026-01-01' + interval '$minute minutes' "
		. "- i * interval '61 seconds' FROM generate_series(2, 14, 3) i WHERE i <= $minute") if $late;
	return;
}

# For each view: it is its query, but for what is dirty; and no row is lost.
sub agree
{
	my ($server, $database, $name) = @_;
	my $standby = $server->safe_psql($database, 'SELECT pg_is_in_recovery()') eq 't';

	$server->safe_psql($database, 'SELECT streamfuse.flush()') unless $standby;
	for my $view (sort keys %query)
	{
		my $clean = "WHERE NOT EXISTS (SELECT FROM streamfuse.dirty_windows w WHERE w.view = '$view'::regclass "
		  . 'AND w.window_start < r.window_end AND r.window_start < w.window_end)';
		my ($stream, $batch) = ("SELECT * FROM $view r $clean", "SELECT * FROM ($query{$view}) r $clean");
		is($server->safe_psql($database, "SELECT d.* FROM (SELECT 'view' AS side, v.* FROM ($stream EXCEPT ALL $batch) v "
			. "UNION ALL SELECT 'batch', b.* FROM ($batch EXCEPT ALL $stream) b) d ORDER BY d"), '', "$name: $view");
		is($server->safe_psql($database, "SELECT (SELECT sum(readings) FROM $view) + coalesce(sum(missed), 0) = (SELECT count(*) FROM readings) "
			. "FROM streamfuse.dirty_windows WHERE view = '$view'::regclass"), 't', "$name: each row is in $view or missed");
		next if $standby;
		is($server->safe_psql($database, "SELECT * FROM streamfuse.verify('$view')"), '', "$name: $view is verified");
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
		# What closes is there each time: a sensor of its own.
		strike($node, $point, $action, sub {
			eval { insert($node, 'postgres', 1); insert($node, 'postgres', 0);
				$node->safe_psql('postgres', "INSERT INTO readings VALUES (100 + $minute, 1, 'x', timestamptz '2026-01-01' + interval '$minute minutes' - interval '2 minutes')");
				insert($node, 'postgres', 0); }; });
		agree($node, 'postgres', "$action at $point");
	}
}
terminate_worker($node);
insert($node, 'postgres', 1);
agree($node, 'postgres', 'terminated');
$node->restart;
insert($node, 'postgres', 1);
agree($node, 'postgres', 'restarted');

# What is done with leaves memory and the state table, and the session of sensor 0, which has not ended, is small.
is($node->safe_psql('postgres', q{SELECT window_end - window_start > interval '40 minutes' FROM runs WHERE sensor = 0 ORDER BY window_end DESC LIMIT 1}), 't',
	'a session goes on through all of it');
$node->safe_psql('postgres', 'SELECT streamfuse.checkpoint()');
$node->poll_query_until('postgres', q{SELECT bool_and(open_windows <= 9) FROM streamfuse.stat_views}) or die 'panes stay';
is($node->safe_psql('postgres', 'SELECT count(DISTINCT (fragment, window_start)) <= 27 FROM streamfuse.state'), 't', 'few panes are in the state table');

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

# A view that is paused is read from the state table, and goes on with what came meanwhile.
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
my $counted = $node->safe_psql('postgres', 'SELECT sum(readings) FROM units');
$node->safe_psql('postgres', q{SELECT streamfuse.pause('units')});
$node->poll_query_until('postgres', q{SELECT status = 'paused' FROM streamfuse.stat_views WHERE view = 'units'::regclass}) or die 'not paused';
is($node->safe_psql('postgres', 'SELECT sum(readings) FROM units'), $counted, 'a paused view can be read');
insert($node, 'postgres', 0) for 1 .. 6;
$node->safe_psql('postgres', q{SELECT streamfuse.resume('units')});
agree($node, 'postgres', 'resumed');

# Readers that stay: a cursor and a snapshot see the sessions of their moment, each once, however many close meanwhile.
my ($cursor, $snapshot) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
my $all = 'SELECT count(*), sum(readings), sum(total), min(window_start), max(window_end) FROM runs';
my $before = $node->safe_psql('postgres', $all);
$cursor->query_safe("BEGIN; DECLARE old CURSOR FOR $all; DECLARE rows CURSOR FOR SELECT window_start, window_end, sensor, readings FROM runs ORDER BY 1, 2, 3");
$cursor->query_safe('FETCH 1 FROM rows');
my $rows = $node->safe_psql('postgres', 'SELECT window_start, window_end, sensor, readings FROM runs ORDER BY 1, 2, 3 OFFSET 1');
$snapshot->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_am');
insert($node, 'postgres', 1) for 1 .. 12;
agree($node, 'postgres', 'under old readers');
is($snapshot->query_safe('SELECT sum(readings) FROM runs'),
	$node->safe_psql('postgres', 'SELECT sum(readings) FROM runs'), 'a snapshot finds each row once, in sessions closed since');
is($snapshot->query_safe('SELECT count(*) - count(DISTINCT (window_start, sensor)) FROM runs'), '0', 'and each session once');
is($cursor->query_safe('FETCH ALL FROM old'), $before, 'a cursor answers as of its opening');
is($cursor->query_safe('FETCH ALL FROM rows'), $rows, 'and goes on so');
$_->query_safe('COMMIT') for $cursor, $snapshot;
$_->quit for $cursor, $snapshot;

# Rows that raise are set aside, whichever step it is in which they do; so are keys of late rows.
$node->safe_psql('postgres', q{CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
	SELECT window_start, window_end, 60 / (value - 7) AS share, count(*) AS readings, sum(10 / (value - 11)) AS rest
	FROM readings, session(taken, '2 minutes') GROUP BY 1, 2, 3});
insert($node, 'postgres', 1) for 1 .. 3;
$node->safe_psql('postgres', q{INSERT INTO readings VALUES (1, 7, 'x', '2026-01-01'), (1, 11, 'x', '2026-01-01'); SELECT streamfuse.flush()});
is($node->safe_psql('postgres', q{SELECT rows_failed = (SELECT count(*) FROM readings WHERE value IN (7, 11)) FROM streamfuse.stat_views WHERE view = 'shares'::regclass}),
	't', 'rows that raise are set aside');
is($node->safe_psql('postgres', q{SELECT * FROM streamfuse.verify('shares')}), '', 'the others are counted');
$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW shares');

# A view made with no data begins with the next row.
$node->safe_psql('postgres', qq{CREATE MATERIALIZED VIEW later WITH (streamfuse.continuous) AS $query{runs} WITH NO DATA});
insert($node, 'postgres', 1) for 1 .. 4;
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
is($node->safe_psql('postgres', q{SELECT * FROM streamfuse.verify('later')}), '', 'a view that begins later');
is($node->safe_psql('postgres', q{SELECT min(window_start) > (SELECT max(taken) - interval '5 minutes' FROM readings) FROM later}), 't', 'has rows from then on');
$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW later');

# What the worker finds the parts of sessions by counts as the view's state, as long as it has it.
$node->safe_psql('postgres', q{
	CREATE TABLE calls (line int, at timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('calls', 'at', delay => '1 day');
	CREATE MATERIALIZED VIEW talks WITH (streamfuse.continuous) AS
	SELECT window_start, window_end, line, count(*) AS calls FROM calls, session(at, '1 minute') GROUP BY window_start, window_end, line;
	INSERT INTO calls VALUES (0, '2026-01-01 11:00');
	INSERT INTO calls SELECT i, '2026-01-01 12:00' FROM generate_series(1, 20000) i});
sub talk_bytes
{
	$node->safe_psql('postgres', q{SELECT streamfuse.flush('talks')});
	return $node->safe_psql('postgres', q{SELECT bytes FROM streamfuse.stat_views WHERE view = 'talks'::regclass});
}
my $far = talk_bytes();
$node->safe_psql('postgres', q{SELECT streamfuse.advance_watermark('calls', '2026-01-01 12:00:30')});
my $near = talk_bytes();
cmp_ok($near - $far, '>', 20000 * 64, 'the index of sessions is counted when the watermark comes near them');
terminate_worker($node);
$node->safe_psql('postgres', q{INSERT INTO calls VALUES (1, '2026-01-01 12:00:40')});
cmp_ok(abs(talk_bytes() - $near), '<', 20000 * 16, 'and no more than once where another worker has made its own');
$node->safe_psql('postgres', q{SELECT streamfuse.pause('talks')});
$node->poll_query_until('postgres', q{SELECT bytes < 100000 FROM streamfuse.stat_views WHERE view = 'talks'::regclass}) or die 'nothing is given back';
$node->safe_psql('postgres', q{SELECT streamfuse.resume('talks')});
cmp_ok(talk_bytes(), '>', $far, 'a paused view gives it back until it is resumed');
$node->safe_psql('postgres', q{SELECT streamfuse.advance_watermark('calls', '2026-01-02')});
cmp_ok(talk_bytes(), '<', $far, 'and closed sessions leave it');
is($node->safe_psql('postgres', q{SELECT * FROM streamfuse.verify('talks')}), '', 'talks are verified');
$node->safe_psql('postgres', 'DROP TABLE calls CASCADE');

# A dump has closed sessions; in the restored view the open ones are formed again from the stored rows.
my $dump = $node->backup_dir . '.sql';
insert($node, 'postgres', 0) for 1 .. 7;
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump, '-T', 'nothing' ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-qX', '-d', $node->connstr('copy'), '-v', 'ON_ERROR_STOP=1', '-f', $dump ], 'restored');
$node->safe_psql('copy', 'SELECT streamfuse.flush()');
is($node->safe_psql('copy', "SELECT * FROM streamfuse.verify('$_')"), '', "restored: $_ is verified") for sort keys %query;
insert($node, 'copy', 1) for 1 .. 3;
$node->safe_psql('copy', 'SELECT streamfuse.flush()');
is($node->safe_psql('copy', "SELECT * FROM streamfuse.verify('$_')"), '', "restored, and gone on: $_ is verified") for sort keys %query;

$node->stop;
done_testing();
