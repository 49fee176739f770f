# Groups that leave a view without a window, because they have been idle for longer than its state_ttl: readers of earlier
# ticks still see them, and a crash, a death of the worker, a standby and a restart neither bring them back nor lose
# others; and new keys without end do not make memory grow.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server;

my $node = start_server('state_ttl',
	'streamfuse.checkpoint_interval = 1h', 'streamfuse.commit_interval = 0', 'restart_after_crash = on',
	'streamfuse.test_sweep = on', 'wal_level = replica', 'max_wal_senders = 4', 'autovacuum = off');
need_fault_points($node);
$node->safe_psql('postgres', q{
	CREATE TABLE events (id int, at timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('events', 'at', delay => '0 s');
	CREATE MATERIALIZED VIEW keys WITH (streamfuse.continuous, streamfuse.state_ttl = '100 s') AS
	SELECT 'key ' || id::text AS key, count(*) AS n, count(DISTINCT id) AS ids, max('text ' || id::text) AS text
	FROM events GROUP BY key;
	CREATE MATERIALIZED VIEW ids WITH (streamfuse.continuous, streamfuse.state_ttl = '100 s') AS
	SELECT id, count(*) AS n FROM events GROUP BY id;
	SELECT streamfuse.flush()});

# Second number $second brings a row for each key of a range.  What is to be seen afterwards is known here: the keys by
# the second of their last row, and how many rows each has had since it began.
my (%last, %rows);
my $watermark = 0;

sub expect_rows
{
	my ($second, @keys) = @_;

	for my $key (@keys)
	{
		delete $rows{$key} if defined $last{$key} && $last{$key} < $watermark - 100;
		$rows{$key}++;
		$last{$key} = $second;
	}
	$watermark = $second if $second > $watermark;
	return;
}

sub insert_rows
{
	my ($second, $from, $to) = @_;

	$node->safe_psql('postgres', qq{
		INSERT INTO events SELECT g, timestamptz '2024-01-01' + $second * interval '1 s' FROM generate_series($from, $to) g;
		SELECT streamfuse.flush()});
	expect_rows($second, $from .. $to);
	return;
}

sub alive
{
	return grep { $last{$_} >= $watermark - 100 } sort { $a <=> $b } keys %last;
}

sub wanted_ids { return join("\n", map { "$_|$rows{$_}" } alive()); }
sub wanted_keys { return join("\n", map { "key $_|$rows{$_}|1|text $_" } alive()); }

my $read_ids = 'SELECT * FROM ids ORDER BY id';
my $read_keys = q{SELECT * FROM keys ORDER BY substr(key, 5)::int};

sub check
{
	my ($name, $server) = @_;

	$server ||= $node;
	is($server->safe_psql('postgres', $read_ids), wanted_ids(), "$name: integers");
	is($server->safe_psql('postgres', $read_keys), wanted_keys(), "$name: texts");
	return;
}

sub checkpoint
{
	$node->safe_psql('postgres', 'SELECT streamfuse.flush(); SELECT streamfuse.checkpoint()');
	return;
}

insert_rows(0, 1, 50);
insert_rows(60, 30, 70);
check('all are there');

# A cursor reads its tick to the end, whatever leaves meanwhile and whatever comes in its place.
my $cursor = $node->background_psql('postgres', on_error_stop => 1);
$cursor->query_safe(q{BEGIN; DECLARE c CURSOR FOR SELECT * FROM ids ORDER BY id; DECLARE d CURSOR FOR SELECT * FROM ids WHERE id = 7;
	DECLARE e CURSOR FOR } . $read_keys);
my ($ids_before, $keys_before) = (wanted_ids(), wanted_keys());
insert_rows(130, 100, 160);
checkpoint();
insert_rows(131, 200, 260);
check('some are forgotten');
checkpoint();
insert_rows(300, 300, 360);
insert_rows(301, 40, 45);
checkpoint();
check('others in their places');
is($cursor->query_safe('FETCH ALL FROM c'), $ids_before, 'a cursor: integers as they were');
is($cursor->query_safe('FETCH ALL FROM d'), '7|1', 'a cursor: one key as it was');
is($cursor->query_safe('FETCH ALL FROM e'), $keys_before, 'a cursor: texts as they were');
$cursor->query_safe('COMMIT');
$cursor->quit;

# From the tables: what has been forgotten before and after the checkpoint.
checkpoint();
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
check('after a crash');
insert_rows(390, 41, 45);
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
check('after a crash without a checkpoint');
insert_rows(401, 300, 310);
check('rows for what was forgotten begin anew');
terminate_worker($node);
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
check('taken over');
insert_rows(402, 500, 520);
check('and on');

# A key that comes and goes around checkpoints, with crashes in between: the last word in the log counts.
for my $round (1 .. 12)
{
	my $second = 500 + $round * 60;

	insert_rows($second, 600, 640 + $round);
	insert_rows($second + 1, 700 + 10 * $round, 710 + 10 * $round);
	checkpoint() if $round % 2 == 0;
	if ($round % 4 == 0)
	{
		$node->stop('immediate');
		$node->start;
	}
	terminate_worker($node) if $round % 5 == 0;
	$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
	check("round $round");
}

# The worker and the server die around a tick and a commit in which groups leave.
my $second = 2000;
for my $point ('tick-before-publish', 'publish-stored', 'commit-after-state', 'commit-before', 'commit-after')
{
	for my $action ('exit', 'kill')
	{
		insert_rows($second, 1, 30);
		$second += 101;
		fault($node, $point, $action, 1);
		eval { $node->psql('postgres', qq{
			INSERT INTO events SELECT g, timestamptz '2024-01-01' + $second * interval '1 s' FROM generate_series(20, 50) g}); };
		expect_rows($second, 20 .. 50);
		eval { $node->psql('postgres', 'SELECT streamfuse.checkpoint()'); };
		$action eq 'kill' ? fault_crash($node, $point) : fault_hit($node, $point);
		$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
		check("$action at $point");
	}
}

# A standby, and a view that is paused, are read from the tables.
checkpoint();
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('state_ttl_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
insert_rows($second + 50, 45, 60);
insert_rows($second + 101, 55, 65);
checkpoint();
$node->wait_for_catchup($standby, 'replay', $node->lsn('write'));
check('a standby', $standby);
is($standby->safe_psql('postgres', q{SELECT n FROM keys WHERE key = 'key 21'}), '', 'a standby: one that is forgotten');
$standby->stop;
$node->safe_psql('postgres', q{SELECT streamfuse.pause('ids'); SELECT streamfuse.pause('keys')});
check('paused');
$node->safe_psql('postgres', q{SELECT streamfuse.resume('ids'); SELECT streamfuse.resume('keys'); SELECT streamfuse.flush()});
check('resumed');
$second += 200;

# A view that comes out of a dump is counted anew, and forgets as well.
my $dump = $node->basedir . '/state_ttl.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'restore');
$node->safe_psql('restored', 'SELECT streamfuse.flush()');
is($node->safe_psql('restored', 'SELECT id FROM ids ORDER BY id'), join("\n", alive()), 'restored: the same groups');
$node->safe_psql('postgres', 'DROP DATABASE restored');

# Each second new keys: once the first ones have been forgotten, memory does not grow, and neither does the log.
sub figures
{
	return split /\|/, $node->safe_psql('postgres', q{
		SELECT sum(bytes), sum(groups), (SELECT sum(length(payload)) FROM streamfuse.state)
		FROM streamfuse.stat_views});
}

sub churn
{
	my $seconds = shift;

	$node->safe_psql('postgres', qq{
		DO \$\$ BEGIN FOR s IN 1 .. $seconds LOOP
			INSERT INTO events SELECT 1000 + ($second + s) * 100 + g, timestamptz '2024-01-01' + ($second + s) * interval '1 s'
			FROM generate_series(1, 50) g;
			COMMIT;
			IF s % 10 = 0 THEN PERFORM streamfuse.flush(); END IF;
			IF s % 50 = 0 THEN PERFORM streamfuse.checkpoint(); END IF;
		END LOOP; END \$\$});
	$second += $seconds;
	checkpoint();
	return;
}

churn(600);
my ($bytes, $groups, $log) = figures();
churn(1500);
my ($bytes_later, $groups_later, $log_later) = figures();
note("bytes $bytes, then $bytes_later; groups $groups, then $groups_later; log $log, then $log_later");
cmp_ok($groups_later, '<=', 2 * 50 * 101 * 3, 'groups in memory stay in proportion to those that are there');
cmp_ok($bytes_later, '<=', 1.2 * $bytes, 'memory is flat');
cmp_ok($log_later, '<=', 1.5 * $log, 'the log is flat');
is($node->safe_psql('postgres', 'SELECT count(*), sum(n) FROM ids'), (50 * 101) . '|' . (50 * 101), 'and who is idle is not seen');

$node->stop;
done_testing();
