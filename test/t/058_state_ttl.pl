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

# Rows of second number $second come for each key of a range.  What is to be seen afterwards is known here: the keys by
# the greatest second of their rows, how many rows each has had since it began, and which seconds are too long ago.
my (%last, %rows);
my ($watermark, $forgotten, $ttl);

sub begin_anew
{
	%last = %rows = ();
	$watermark = $forgotten = 0;
	$ttl = 100;
	$node->safe_psql('postgres', q{
		SET client_min_messages = warning;
		DROP TABLE IF EXISTS events CASCADE;
		CREATE TABLE events (id int, at timestamptz NOT NULL) USING stream;
		SELECT streamfuse.set_watermark('events', 'at', delay => '0 s');
		CREATE MATERIALIZED VIEW keys WITH (streamfuse.continuous, streamfuse.state_ttl = '100 s') AS
		SELECT 'key ' || id::text AS key, count(*) AS n, count(DISTINCT id) AS ids, max('text ' || id::text) AS text
		FROM events GROUP BY key;
		CREATE MATERIALIZED VIEW ids WITH (streamfuse.continuous, streamfuse.state_ttl = '100 s') AS
		SELECT id, count(*) AS n FROM events GROUP BY id;
		SELECT streamfuse.flush()});
	return;
}

# At the end of a tick.
sub forget
{
	$forgotten = $watermark - $ttl if defined $ttl && $watermark - $ttl > $forgotten;
	return;
}

sub expect_rows
{
	my ($second, @keys) = @_;

	for my $key (@keys)
	{
		if (!defined $last{$key} || $last{$key} < $forgotten)
		{
			$rows{$key} = 0;
			$last{$key} = $second;
		}
		$rows{$key}++;
		$last{$key} = $second if $second > $last{$key};
	}
	$watermark = $second if $second > $watermark;
	forget();
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
	return grep { $last{$_} >= $forgotten } sort { $a <=> $b } keys %last;
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

begin_anew();
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
		strike($node, $point, $action, sub {
			eval { $node->psql('postgres', qq{
				INSERT INTO events SELECT g, timestamptz '2024-01-01' + $second * interval '1 s' FROM generate_series(20, 50) g}); };
			expect_rows($second, 20 .. 50);
			eval { $node->psql('postgres', 'SELECT streamfuse.checkpoint()'); }; });
		$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
		check("$action at $point");
	}
}

# A standby, and a view that is paused, are read from the tables.
checkpoint();
my $standby = start_standby($node);
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

# A random history.  Rows are flushed one insert after the other, so that the model above knows what each tick has seen;
# a server that dies has nothing to count again but what one tick brought.
my $seed = $ENV{STREAMFUSE_SEED} || 1;
my $uncommitted = 0;
my $reader = $node->background_psql('postgres', on_error_stop => 1);
my @open;

srand($seed);
note("seed $seed; STREAMFUSE_SEED asks for another history");

sub random_rows
{
	my $late = rand() < 0.2 ? int(rand(200)) : 0;
	my $from = 3000 + int(rand(300));
	my $to = $from + int(rand(120));

	$second += int(rand(40));
	insert_rows($second - $late, $from, $to);
	$uncommitted++;
	return;
}

sub dies_in_tick
{
	my $point = (qw(tick-in-apply apply-touched tick-before-publish publish-stored tick-after-publish close-marked))[ rand 6 ];

	fault($node, $point, 'exit', 1);
	random_rows();
	fault_hit($node, $point);
	return;
}

sub crash
{
	if ($uncommitted > 1)
	{
		checkpoint();
		$uncommitted = 0;
	}
	$reader->quit;
	@open = ();
	$node->stop('immediate');
	$node->start;
	$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
	$reader = $node->background_psql('postgres', on_error_stop => 1);
	return;
}

sub open_cursor
{
	return close_cursor() if @open;
	$reader->query_safe("BEGIN; DECLARE c CURSOR FOR $read_ids; DECLARE d CURSOR FOR $read_keys");
	@open = (wanted_ids(), wanted_keys());
	return;
}

sub close_cursor
{
	is($reader->query_safe('FETCH ALL FROM c'), $open[0], 'a cursor: integers');
	is($reader->query_safe('FETCH ALL FROM d'), $open[1], 'a cursor: texts');
	$reader->query_safe('COMMIT');
	@open = ();
	return;
}

sub advance
{
	$second += int(rand(150));
	$node->safe_psql('postgres', qq{
		SELECT streamfuse.advance_watermark('events', timestamptz '2024-01-01' + $second * interval '1 s');
		SELECT streamfuse.flush()});
	$watermark = $second if $second > $watermark;
	forget();
	$uncommitted++;
	return;
}

# Another ttl, now and then none, in a tick without rows.
sub alter_ttl
{
	$ttl = (50, 100, 150, 200, undef)[ rand 5 ];
	my $value = defined $ttl ? "$ttl s" : 'none';

	close_cursor() if @open;
	checkpoint();
	$uncommitted = 0;
	$node->safe_psql('postgres', qq{
		ALTER MATERIALIZED VIEW ids SET (streamfuse.state_ttl = '$value');
		ALTER MATERIALIZED VIEW keys SET (streamfuse.state_ttl = '$value')});
	$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
	forget();
	checkpoint();
	return;
}

sub random_step
{
	my $what = rand();

	if ($what < 0.46) { random_rows(); }
	elsif ($what < 0.56) { advance(); }
	elsif ($what < 0.66) { checkpoint(); $uncommitted = 0; }
	elsif ($what < 0.76) { open_cursor(); }
	elsif ($what < 0.84) { dies_in_tick(); }
	elsif ($what < 0.9) { terminate_worker($node); $node->safe_psql('postgres', 'SELECT streamfuse.flush()'); }
	elsif ($what < 0.94) { alter_ttl(); }
	else { crash(); }
	return;
}

for my $step (1 .. 90)
{
	random_step();
	check("random step $step") if $step % 3 == 0;
}
close_cursor() if @open;
$reader->quit;

# Such a history finds what is made wrong on purpose: the views are not as expected, or cannot be read at all.
sub goes_wrong
{
	my ($bug, $steps) = @_;

	$reader = $node->background_psql('postgres', on_error_stop => 1);
	begin_anew();
	($second, $uncommitted) = (0, 0);
	for my $step (1 .. $steps)
	{
		my $what = (\&random_rows, \&random_rows, \&advance, \&alter_ttl, \&crash)[ rand 5 ];

		fault($node, $bug, 'bug') if $bug;
		return 1 unless defined eval { $what->(); 1 };
		my ($status, $ids) = $node->psql('postgres', $read_ids);
		return 1 if $status != 0 || $ids ne wanted_ids();
	}
	return 0;
}

ok(!goes_wrong('', 50), 'nothing goes wrong of itself');
for my $bug ('index-not-mended', 'forgotten-group-read', 'forgotten-group-goes-on', 'forgotten-not-saved')
{
	$reader->quit;
	ok(goes_wrong($bug, 200), "$bug is found");
	# What it has spoilt goes with the server.
	$node->stop('immediate');
	$node->start;
}
begin_anew();
$second = 0;

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

# Sets of a group that is over, begun anew and added to in one tick that is undone, twice: what was there is as it was.
$node->safe_psql('postgres', q{
	CREATE TABLE inputs (id int, v int, at timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('inputs', 'at', delay => '0 s');
	CREATE MATERIALIZED VIEW sets WITH (streamfuse.continuous, streamfuse.state_ttl = '100 s') AS
	SELECT id, count(*) AS n, count(DISTINCT v) AS d, string_agg(DISTINCT v::text, ',') AS vs, array_agg(v ORDER BY v DESC) AS all_vs
	FROM inputs GROUP BY id;
	SELECT streamfuse.flush()});
my $at = q{timestamptz '2024-01-01'};
my $sets = q{SELECT n, d, vs, all_vs, count(*) FROM sets WHERE id <= 60 GROUP BY 1, 2, 3, 4};
sub insert_sets
{
	my ($second, $values) = @_;

	$node->safe_psql('postgres', qq{INSERT INTO inputs SELECT g, v, $at + $second * interval '1 s' FROM generate_series(1, 60) g, $values v;
		SELECT streamfuse.flush()});
	return;
}
insert_sets(0, 'generate_series(1, 300)');
my $reader = $node->background_psql('postgres', on_error_stop => 1);
$reader->query_safe('BEGIN; DECLARE c CURSOR FOR SELECT id, n, d FROM sets');
$node->safe_psql('postgres', "INSERT INTO inputs VALUES (1000, 1, $at + interval '200 s'); SELECT streamfuse.flush()");
for my $point ('close-marked', 'apply-touched')
{
	fault($node, $point, 'passing error', 2);
	insert_sets($point eq 'close-marked' ? 201 : 401, 'unnest(ARRAY[5, 41, 41, 5])');
	is($node->safe_psql('postgres', $sets), '4|2|41,5|{41,41,5,5}|60', "$point: sets begin anew");
	insert_sets($point eq 'close-marked' ? 202 : 402, 'unnest(ARRAY[5, 301])');
	is($node->safe_psql('postgres', $sets), '6|3|301,41,5|{301,41,41,5,5,5}|60', "$point: and go on");
	$node->safe_psql('postgres', "INSERT INTO inputs VALUES (1000, 1, $at + interval '400 s'); SELECT streamfuse.flush()") if $point eq 'close-marked';
}
terminate_worker($node);
insert_sets(403, 'unnest(ARRAY[301, 302])');
is($node->safe_psql('postgres', $sets), '8|4|301,302,41,5|{302,301,301,41,41,5,5,5}|60', 'also for the next worker');
is(scalar(grep { /^\d+\|300\|300$/ } split /\n/, $reader->query_safe('FETCH ALL FROM c')), 60, 'a reader of the first tick finds what was there');
$reader->quit;
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
is($node->safe_psql('postgres', $sets), '8|4|301,302,41,5|{302,301,301,41,41,5,5,5}|60', 'and after a crash');
$node->stop;
done_testing();
