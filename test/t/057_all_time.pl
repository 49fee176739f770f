# Views without a window, through what may happen to a server: crashes and deaths around a tick and a commit, a standby
# and its promotion, dump and restore; and the state table, which stays in proportion to the groups however often they
# are written.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server;

my $node = start_server('all_time',
	'streamfuse.checkpoint_interval = 1h', 'streamfuse.commit_interval = 0', 'restart_after_crash = on',
	'streamfuse.test_sweep = on', 'wal_level = replica', 'max_wal_senders = 4', 'autovacuum = off');
need_fault_points($node);
$node->safe_psql('postgres', q{
	CREATE TABLE events (id int, kind text, value numeric) USING stream;
	CREATE MATERIALIZED VIEW kinds WITH (streamfuse.continuous) AS
	SELECT kind, count(*) AS n, sum(value) AS total, max(id) AS last, string_agg(DISTINCT left(kind, 1), ',') AS letters
	FROM events GROUP BY kind;
	CREATE MATERIALIZED VIEW ids WITH (streamfuse.continuous) AS
	SELECT id % 5000 AS id, count(*) AS n, sum(value) AS total FROM events GROUP BY id % 5000;
	CREATE MATERIALIZED VIEW all_events WITH (streamfuse.continuous) AS SELECT count(*) AS n, sum(value) AS total FROM events;
	SELECT streamfuse.flush()});

my $next = 0;

sub insert_rows
{
	my $n = shift;

	$node->safe_psql('postgres', qq{
		INSERT INTO events SELECT g, 'kind ' || g % 300, g % 1000 / 4.0 FROM generate_series($next + 1, $next + $n) g});
	$next += $n;
	return;
}

sub checkpoint
{
	$node->safe_psql('postgres', 'SELECT streamfuse.flush(); SELECT streamfuse.checkpoint()');
	return;
}

sub check
{
	my $name = shift;

	$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
	is($node->safe_psql('postgres', q{
		SELECT v, count(*) FROM (VALUES ('kinds'::regclass), ('ids'), ('all_events')) views (v), streamfuse.verify(v) GROUP BY v}),
		'', $name);
	is($node->safe_psql('postgres', 'SELECT (SELECT sum(n) FROM kinds), (SELECT sum(n) FROM ids), n FROM all_events'),
		"$next|$next|$next", "$name: each row once");
	return;
}

# One row of an empty stream, wherever it is read from.
is($node->safe_psql('postgres', 'TABLE all_events'), '0|', 'one row before there is any');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'TABLE all_events'), '0|', 'after a crash');
terminate_worker($node);
is($node->safe_psql('postgres', 'TABLE all_events'), '0|', 'after a death of the worker');

# Crashes with state in memory alone, in the tables alone, and in both.
insert_rows(3000);
check('running');
$node->stop('immediate');
$node->start;
$next = $node->safe_psql('postgres', 'SELECT count(*) FROM events');
check('after a crash without a checkpoint');
checkpoint();
insert_rows(2000);
check('on top of a checkpoint');
$node->stop('immediate');
$node->start;
check('after a crash on top of a checkpoint');
insert_rows(500);
terminate_worker($node);
check('taken over');
$node->restart;
check('after a restart');

# The sweep goes on through crashes: what it has deleted is not missed.
for my $round (1 .. 15)
{
	insert_rows(700);
	checkpoint();
	$node->stop('immediate') if $round % 5 == 0;
	$node->start if $round % 5 == 0;
	terminate_worker($node) if $round % 4 == 0;
}
check('after many checkpoints');
$node->stop('immediate');
$node->start;
check('from the tables');

# The worker and the server die around a commit.
for my $point ('commit-after-state', 'commit-before', 'commit-after', 'tick-before-publish', 'tick-in-apply')
{
	for my $action ('exit', 'kill')
	{
		strike($node, $point, $action, sub {
			eval { insert_rows(300); };
			$next = $node->safe_psql('postgres', 'SELECT max(id) FROM events') if poll($node, 'SELECT true', 't');
			eval { $node->psql('postgres', 'SELECT streamfuse.checkpoint()'); }; });
		check("$action at $point");
	}
}

# A view that is paused is read from the tables.
$node->safe_psql('postgres', q{SELECT streamfuse.pause('ids'); SELECT streamfuse.pause('all_events')});
my $paused = 'SELECT n, total FROM ids WHERE id = 42';
my $before = $node->safe_psql('postgres', $paused);
insert_rows(5000);
is($node->safe_psql('postgres', $paused), $before, 'paused: one group');
is($node->safe_psql('postgres', 'SELECT sum(n) FROM ids'), $next - 5000, 'paused: all groups');
$node->safe_psql('postgres', q{SELECT streamfuse.resume('ids'); SELECT streamfuse.resume('all_events')});
check('resumed');

# A standby reads what was checkpointed.
my $standby = start_standby($node);
insert_rows(400);
checkpoint();
$node->wait_for_catchup($standby, 'replay', $node->lsn('write'));
my $kinds = 'SELECT * FROM kinds ORDER BY kind COLLATE "C"';
is($standby->safe_psql('postgres', $kinds), $node->safe_psql('postgres', $kinds), 'a standby: all groups');
is($standby->safe_psql('postgres', q{SELECT n, total FROM kinds WHERE kind = 'kind 7'}),
	$node->safe_psql('postgres', q{SELECT n, total FROM kinds WHERE kind = 'kind 7'}), 'a standby: one group');
is($standby->safe_psql('postgres', 'SELECT n FROM all_events'), $next, 'a standby: one row');

# A restored view is counted anew from the restored stream, once it is refreshed.
my $dump = $node->basedir . '/all_time.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'restore');
$node->safe_psql('restored', 'SELECT streamfuse.flush()');
is($node->safe_psql('restored', $kinds), $node->safe_psql('postgres', $kinds), 'restored: the same answer');
is($node->safe_psql('restored', 'SELECT n FROM all_events'), $next, 'restored: one row');
is($node->safe_psql('restored', q{SELECT count(*) FROM streamfuse.verify('kinds')}), '0', 'restored: the law');
$node->safe_psql('postgres', 'DROP DATABASE restored');

# After promotion the count goes on.
$node->wait_for_catchup($standby, 'replay', $node->lsn('write'));
$node->stop('immediate');
$standby->promote;
$standby->safe_psql('postgres', q{INSERT INTO events VALUES (1, 'kind 1', 1); SELECT streamfuse.flush()});
is($standby->safe_psql('postgres', 'SELECT (SELECT sum(n) FROM kinds), n FROM all_events'), join('|', ($next + 1) x 2), 'promoted');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM streamfuse.verify('ids')}), '0', 'promoted: the law');
$standby->stop;
$node->start;

# A million groups that are touched again and again: each checkpoint writes those that were, and the table stays in
# proportion to the groups, dead rows aside.
$node->append_conf('postgresql.conf', 'streamfuse.test_sweep = off');
$node->reload;
$node->safe_psql('postgres', q{
	CREATE TABLE hits (id int) USING stream;
	CREATE MATERIALIZED VIEW million WITH (streamfuse.continuous) AS SELECT id, count(*) AS n FROM hits GROUP BY id;
	INSERT INTO hits SELECT generate_series(1, 1000000)});
checkpoint();
my $state = q{SELECT sum(length(payload)) FROM streamfuse.state s JOIN streamfuse.fragment f ON f.id = s.fragment AND f.view = 'million'::regclass};
my $first = $node->safe_psql('postgres', $state);
cmp_ok($first, '>', 1000000 * 24, 'a million groups are written');
my ($most, $written) = (0, 0);
for my $round (1 .. 12)
{
	my $size = $node->safe_psql('postgres', $state);
	$node->safe_psql('postgres', "INSERT INTO hits SELECT 1 + g * 7 % 1000000 FROM generate_series($round * 100000, $round * 100000 + 99999) g");
	checkpoint();
	my $now = $node->safe_psql('postgres', $state);
	$written = $now - $size if $round == 1;
	$most = $now if $now > $most;
	$node->safe_psql('postgres', 'VACUUM streamfuse.state') if $round % 4 == 0;
}
cmp_ok($written, '<', $first / 4, 'a checkpoint writes the groups that have changed');
cmp_ok($most, '<', 4 * $first, 'what is kept stays a small multiple of the groups');
cmp_ok($node->safe_psql('postgres', q{SELECT pg_total_relation_size('streamfuse.state')}), '<', 6 * $first, 'so does the table');
note("state of a million groups: $first bytes, $most at most");
is($node->safe_psql('postgres', 'SELECT n FROM million WHERE id = 8'), $node->safe_psql('postgres', 'SELECT count(*) FROM hits WHERE id = 8'), 'one of them');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*), sum(n) FROM million'), '1000000|2200000', 'and all of them after a crash');
like($node->safe_psql('postgres', 'EXPLAIN SELECT * FROM million WHERE id = 8'), qr/Key Lookup: id = 8/, 'one of a million is looked up');
$node->stop;

done_testing();
