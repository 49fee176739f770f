# A view that is paused and resumed, over and over, while rows come out of order, while it works in history, while it is
# read, and through crashes in the middle of each, ends up with exactly its query's rows.  What came while it was paused
# is not late, though the other views have closed its windows.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server;

# Few pages to a tick, so that what waited for a resumed view is worked in by slices.
my $node = start_server('pause',
	'restart_after_crash = on',
	"streamfuse.commit_interval = '1ms'",
	"streamfuse.checkpoint_interval = '100ms'",
	'streamfuse.test_tick_pages = 3');
need_fault_points($node);

sub sql { return $node->safe_psql('postgres', shift); }

my %batch = map {
	$_ => "SELECT window_start, shop, count(*) AS n, sum(amount) AS total, max(note) AS last
		FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, shop" } qw(other stopped);

# Rows come up to ten minutes late, which the watermark's delay admits: so no row is ever late.
my $minute = 0;
my $id = 0;

sub insert_rows
{
	my ($n, $minutes) = @_;
	sql("INSERT INTO orders SELECT g, g % 7, g % 11, 'note ' || g % 100,
		'2026-01-01'::timestamptz + ($minute + (g - $id) * $minutes / $n.0 - (g * 7919) % 10) * interval '1 min'
		FROM generate_series($id + 1, $id + $n) g ORDER BY (g * 7907) % $n");
	$minute += $minutes;
	$id += $n;
	return;
}

sub is_right
{
	my $name = shift;
	sql('SELECT streamfuse.flush()');
	same_rows($node, $_, $batch{$_}, "$name: $_") for sort keys %batch;
	is(sql(q{SELECT sum(rows_missed) + (SELECT count(*) FROM streamfuse.dirty_windows) FROM streamfuse.stat_views}), '0', "$name: nothing was late");
	return;
}

sub other_is_right
{
	my $name = shift;
	sql(q{SELECT streamfuse.flush('other')});
	same_rows($node, 'other', $batch{other}, "$name: the other view");
	return;
}

sub wait_until_released
{
	$node->poll_query_until('postgres', q{SELECT groups = 0 FROM streamfuse.stat_views WHERE view = 'stopped'::regclass})
		or die 'its memory is not given back';
	return;
}

sql(qq{
	CREATE TABLE orders (id int, shop int, amount numeric, note text, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '10 minutes');
	CREATE MATERIALIZED VIEW other WITH (streamfuse.continuous) AS $batch{other};
	CREATE MATERIALIZED VIEW stopped WITH (streamfuse.continuous) AS $batch{stopped}});
insert_rows(1000, 60);
is_right('before');

# ---- what came in the meantime, in slices ----

sql(q{SELECT streamfuse.pause('stopped')});
wait_until_released();
my $stood = sql('SELECT * FROM stopped ORDER BY 1, 2');
my $closed = sql('SELECT count(*) FROM stopped_closed');
insert_rows(3000, 120) for 1 .. 3;
other_is_right('paused');
is(sql('SELECT * FROM stopped ORDER BY 1, 2'), $stood, 'paused: it is read as of its last position');
is(sql('SELECT count(*) FROM stopped_closed'), $closed, 'paused: its windows stay open');
cmp_ok(sql('SELECT count(*) FROM other_closed'), '>', $closed, 'paused: those of the other view close');
sql(q{SELECT streamfuse.resume('stopped')});
is_right('resumed');
is(sql('SELECT count(*) FROM stopped_closed'), sql('SELECT count(*) FROM other_closed'), 'resumed: as many as those of the other view');

# Over a restart of the server, a crash, another worker.
for my $how ([ 'restart', sub { $node->restart } ], [ 'crash', sub { $node->restart('immediate') } ], [ 'other worker', sub { terminate_worker($node) } ])
{
	my ($name, $do) = @$how;
	sql(q{SELECT streamfuse.pause('stopped')});
	insert_rows(500, 30);
	$do->();
	is(sql(q{SELECT status FROM streamfuse.views WHERE view = 'stopped'::regclass}), 'paused', "$name: it stays paused");
	insert_rows(500, 30);
	other_is_right($name);
	sql(q{SELECT streamfuse.resume('stopped')});
	$do->();
	is_right($name);
}

# ---- an open cursor ----

my $reader = $node->background_psql('postgres');
$stood = sql('SELECT count(*) FROM stopped');
$reader->query_safe('BEGIN; DECLARE c CURSOR FOR SELECT shop FROM stopped; MOVE 1 FROM c');
sql(q{SELECT streamfuse.pause('stopped')});
insert_rows(500, 30);
other_is_right('cursor');
cmp_ok(sql(q{SELECT groups FROM streamfuse.stat_views WHERE view = 'stopped'::regclass}), '>', 0, 'cursor: what it reads stays in memory');
is($reader->query_safe('MOVE ALL FROM c'), '', 'cursor: it comes to its end');
$reader->query_safe('COMMIT');
insert_rows(1, 0);
wait_until_released();
is(sql('SELECT count(*) FROM stopped'), $stood, 'cursor: then the groups are read from the tables');
$reader->quit;
sql(q{SELECT streamfuse.resume('stopped')});
is_right('cursor');

# ---- in the middle of things ----

# While it works in history; while it catches up; while a commit runs; while it is dropped.
fault($node, 'catch-up-look', 'wait');
sql(qq{CREATE MATERIALIZED VIEW fresh WITH (streamfuse.continuous) AS $batch{other}});
fault_hit($node, 'catch-up-look');
sql(q{SELECT streamfuse.pause('fresh')});
fault($node, 'catch-up-look', 'none');
other_is_right('history');
same_rows($node, 'fresh', $batch{other}, 'history: paused in the middle, it is read by its query');
$node->restart('immediate');
same_rows($node, 'fresh', $batch{other}, 'history: also after a crash');
sql(q{SELECT streamfuse.resume('fresh'); SELECT streamfuse.flush('fresh')});
same_rows($node, 'fresh', $batch{other}, 'history: resumed');
is(sql(q{SELECT count(*) FROM streamfuse.verify('fresh')}), '0', 'history: it is what it should be');
sql('DROP MATERIALIZED VIEW fresh');

for my $point (qw(catch-up-look tick-in-apply tick-before-close tick-before-publish commit-begun commit-after-state commit-before))
{
	sql(q{SELECT streamfuse.pause('stopped')});
	insert_rows(2000, 60);
	fault($node, $point, 'wait');
	sql(q{SELECT streamfuse.resume('stopped')});
	fault_hit($node, $point);
	sql(q{SELECT streamfuse.pause('stopped'); SELECT streamfuse.pause('stopped')});
	fault($node, $point, 'none');
	other_is_right("paused at $point");
	sql(q{SELECT streamfuse.resume('stopped'); SELECT streamfuse.resume('stopped')});
	is_right("paused at $point");
}

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $dropper = $node->background_psql('postgres');
sql(qq{CREATE MATERIALIZED VIEW dropped WITH (streamfuse.continuous) AS $batch{other}; SELECT streamfuse.flush()});
$dropper->query_safe('BEGIN; DROP MATERIALIZED VIEW dropped');
start_query($session, q{SELECT streamfuse.pause('dropped')});
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%pause%')});
$dropper->query_safe('COMMIT');
$session->query('');
like($session->{stderr}, qr/relation with OID \d+ does not exist/, 'dropped meanwhile: pause() says so');
sql(q{SELECT streamfuse.pause('stopped')});
$dropper->query_safe(q{BEGIN; SELECT streamfuse.resume('stopped'); SELECT streamfuse.pause('other'); ROLLBACK});
is(sql(q{SELECT string_agg(status, ' ' ORDER BY view::text) FROM streamfuse.views}), 'running paused', 'rolled back: no effect');
insert_rows(10, 1);
other_is_right('rolled back');
$dropper->quit;
$session->quit;
sql(q{SELECT streamfuse.resume('stopped')});
is_right('rolled back');

# ---- crashes and errors in the middle of it ----

for my $case (
	[ 'recover-member', 'resume' ], [ 'recover-before-publish', 'resume' ], [ 'catch-up-look', 'resume' ],
	[ 'tick-before-publish', 'resume' ], [ 'publish-stored', 'resume' ], [ 'commit-before', 'resume' ],
	[ 'merge-before', 'resume' ], [ 'commit-begun', 'pause' ], [ 'commit-after-state', 'pause' ],
	[ 'commit-after', 'pause' ], [ 'stopped-before-release', 'pause' ],
	# Its scan has met the shared one, and the tick is undone after that.
	[ 'tick-before-close', 'resume', 'passing error' ], [ 'progress-put', 'resume', 'passing error', 'error' ])
{
	my ($point, $what, @actions) = @$case;
	@actions = qw(kill exit) unless @actions;
	for my $action (@actions)
	{
		my $name = "$action at $point, while it is to $what";
		if ($what eq 'resume')
		{
			sql(q{SELECT streamfuse.pause('stopped')});
			wait_until_released();
			insert_rows(1000, 30);
			sql(q{SELECT streamfuse.flush('other')});
		}
		else
		{
			insert_rows(1000, 30);
		}
		fault($node, $point, $action);
		eval { sql("SELECT streamfuse.$what('stopped')") };
		if ($action eq 'kill')
		{
			fault_crash($node, $point);
		}
		else
		{
			$node->poll_query_until('postgres', "SELECT fault_hits('$point') > 0") or die "$name: not met";
			fault($node, $point, 'none');
			sql(q{SELECT streamfuse.resume('stopped'), streamfuse.resume('other')}) if $action eq 'error';
		}
		if ($what eq 'pause')
		{
			is(sql(q{SELECT status FROM streamfuse.views WHERE view = 'stopped'::regclass}), 'paused', "$name: it is");
			insert_rows(500, 15);
			other_is_right($name);
			sql(q{SELECT streamfuse.resume('stopped')});
		}
		is_right($name);
	}
}

# ---- at random ----

my $seed = $ENV{SEED} // time;
note "SEED=$seed";
srand $seed;
for my $step (1 .. 60)
{
	my $what = int(rand 9);
	insert_rows(1 + int(rand 400), 1 + int(rand 20));
	sql(q{SELECT streamfuse.pause('stopped')}) if $what < 3;
	sql(q{SELECT streamfuse.resume('stopped')}) if $what >= 3 && $what < 6;
	terminate_worker($node) if $what == 6;
	$node->restart('immediate') if $what == 7;
}
other_is_right("at random, SEED=$seed");
sql(q{SELECT streamfuse.resume('stopped')});
is_right("at random, SEED=$seed");
is(sql(q{SELECT rows_in FROM streamfuse.stat_views WHERE view = 'stopped'::regclass}), sql('SELECT count(*) FROM orders'), 'each row is counted once');
is(sql(q{SELECT count(*) FROM streamfuse.verify('stopped')}), '0', 'and verify() finds nothing');

unlike(slurp_file($node->logfile), qr/TRAP/, 'no assertion failed');
$node->stop;
done_testing();
