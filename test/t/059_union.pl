# Views over several streams, through what may happen to a server: deaths of server and worker between ticks in which the
# streams bring different numbers of rows; a stream without rows, and one that is locked; history of different length.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server;

my $node = start_server('union', 'streamfuse.checkpoint_interval = 1h', 'streamfuse.commit_interval = 0', 'restart_after_crash = on',
	'wal_level = replica', 'max_wal_senders = 4', 'autovacuum = off');
need_fault_points($node);

my @views = qw(windows sliding items log);

sub sql { return $node->safe_psql('postgres', shift) }

sql(q{
	CREATE TABLE web (id int, item text, price numeric, at timestamptz NOT NULL) USING stream;
	CREATE TABLE shop (region int, slip int, article text, cents int, sold timestamptz NOT NULL) PARTITION BY LIST (region);
	CREATE TABLE shop_0 PARTITION OF shop FOR VALUES IN (0) USING stream;
	CREATE TABLE shop_1 PARTITION OF shop FOR VALUES IN (1) USING stream;
	CREATE TABLE phone (call int, at timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('web', 'at'), streamfuse.set_watermark('shop', 'sold'), streamfuse.set_watermark('phone', 'at');
	CREATE MATERIALIZED VIEW windows WITH (streamfuse.continuous) AS
	SELECT window_start, window_end, channel, count(*) AS n, sum(price) AS revenue, max(number) AS last
	FROM (SELECT 'web' AS channel, price, id AS number, at FROM web
		  UNION ALL SELECT 'shop', cents / 100.0, slip, sold FROM shop
		  UNION ALL SELECT 'dear', price, -id, at FROM web WHERE price > 50) u, tumble(at, '1 minute')
	GROUP BY window_start, window_end, channel;
	CREATE MATERIALIZED VIEW sliding WITH (streamfuse.continuous) AS
	SELECT window_start, window_end, count(*) AS n, array_agg(number) AS numbers
	FROM (SELECT id AS number, at FROM web UNION ALL SELECT slip, sold FROM shop) u, hop(at, '2 minutes', '1 minute')
	GROUP BY window_start, window_end;
	CREATE MATERIALIZED VIEW items WITH (streamfuse.continuous) AS
	SELECT item, count(*) AS n, sum(price) AS revenue
	FROM (SELECT item, price FROM web UNION ALL SELECT article, cents / 100.0 FROM shop) u GROUP BY item;
	CREATE MATERIALIZED VIEW log WITH (streamfuse.continuous) AS
	SELECT id, item FROM web UNION ALL SELECT slip, article FROM shop;
	SELECT streamfuse.flush()});

# Event time goes on by a second a row in each stream; the streams are at the same time after each round.
my $round = 0;

sub insert_rows
{
	my ($web, $shop) = @_;
	my $start = "timestamptz '2026-01-01' + interval '1 minute' * $round";

	$round++;
	sql(qq{
		BEGIN;
		INSERT INTO web SELECT $round * 1000 + g, 'item ' || g % 7, g % 100, $start + interval '59 seconds' * g / $web FROM generate_series(1, $web) g;
		INSERT INTO shop SELECT g % 2, $round * 1000 + g, 'item ' || g % 5, g, $start + interval '59 seconds' * g / $shop FROM generate_series(1, $shop) g;
		COMMIT});
	return;
}

# The law, nothing missed, and each row once: rows come in order, so that no watermark makes one late.
sub check
{
	my $name = shift;
	my $views = join ', ', map { "('$_'::regclass)" } @views;

	sql(join '; ', map { "SELECT streamfuse.flush('$_')" } @views);
	is(sql("SELECT v, count(*) FROM (VALUES $views) views (v), streamfuse.verify(v) GROUP BY v"), '', $name);
	is(sql('SELECT count(*) FROM streamfuse.dirty_windows'), '0', "$name: nothing is missed");
	is(sql(q{SELECT (SELECT sum(n) FROM items) = c AND (SELECT count(*) FROM log) = c AND
			(SELECT sum(n) FROM windows WHERE channel <> 'dear') = c
		FROM (SELECT (SELECT count(*) FROM web) + (SELECT count(*) FROM shop) AS c) counted}), 't', "$name: each row once");
	return;
}

insert_rows(100, 3);
check('running');
insert_rows(2, 200);
$node->stop('immediate');
$node->start;
check('after a crash');
sql('SELECT streamfuse.checkpoint()');
insert_rows(300, 1);
$node->stop('immediate');
$node->start;
check('after a crash on top of a checkpoint');
insert_rows(1, 50);
terminate_worker($node);
insert_rows(20, 500);
check('taken over');
$node->restart;
check('after a restart');

# The worker and the server die in the tick and around the commit.
for my $point ('tick-in-apply', 'tick-before-close', 'progress-put', 'tick-before-publish', 'publish-stored', 'commit-after-state', 'commit-before', 'commit-after')
{
	for my $action ('exit', 'kill')
	{
		strike($node, $point, $action, sub {
			eval { insert_rows(1 + 40 * ($round % 5), 1 + 60 * ($round % 3)); };
			poll($node, 'SELECT true', 't');
			eval { $node->psql('postgres', 'SELECT streamfuse.checkpoint()'); }; });
		# What a crash has taken with it is no time of either stream.
		insert_rows(5, 5);
		check("$action at $point");
	}
}

# One tick of the view is one of all its streams: where one raises, what the other has brought is undone with it, and both
# are taken in again.
sql(q{CREATE FUNCTION checked(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$BEGIN IF $1 < 0 THEN RAISE 'no slip'; END IF; RETURN $1; END$$;
	CREATE MATERIALIZED VIEW strict WITH (streamfuse.continuous) AS
	SELECT channel, count(*) AS n, max(number) AS last FROM (SELECT 'web' AS channel, id AS number FROM web UNION ALL SELECT 'shop', checked(slip) FROM shop) u GROUP BY channel;
	SELECT streamfuse.flush('strict')});
my $before = sql('SELECT sum(n) FROM strict');
sql(q{BEGIN; INSERT INTO web VALUES (1, 'item 1', 1, '2026-01-02'); INSERT INTO shop VALUES (1, -1, 'item 1', 1, '2026-01-02'); COMMIT});
poll($node, q{SELECT status FROM streamfuse.stat_views WHERE view = 'strict'::regclass}, 'failed');
is(sql('SELECT sum(n) FROM strict'), $before, 'a view that fails by one stream has taken in nothing of the other');
like(sql(q{SELECT error FROM streamfuse.stat_views WHERE view = 'strict'::regclass}), qr/no slip, in row \(\d+,\d+\) of stream "shop_1"/,
	'its error names the row of the stream');
check('the others have gone on');
sql(q{CREATE OR REPLACE FUNCTION checked(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'; SELECT streamfuse.resume('strict'); SELECT streamfuse.flush('strict')});
push @views, 'strict';
is(sql('SELECT sum(n) FROM strict'), $before + 2, 'resumed');
check('resumed');

# A stream without rows holds the watermark, through a restart, too; when it has some, windows close.
sql(q{CREATE MATERIALIZED VIEW held WITH (streamfuse.continuous) AS
	SELECT window_start, window_end, count(*) AS n FROM (SELECT at FROM web UNION ALL SELECT at FROM phone) u, tumble(at, '1 minute')
	GROUP BY window_start, window_end; SELECT streamfuse.flush()});
push @views, 'held';
is(sql('SELECT count(*) FROM held_closed'), '0', 'a stream without rows: nothing is closed');
terminate_worker($node);
sql('SELECT streamfuse.flush()');
is(sql('SELECT count(*) FROM held_closed'), '0', 'nor by the next worker');
is(sql(q{SELECT stream, watermark FROM streamfuse.stat_views WHERE view = 'held'::regclass}), 'phone|-infinity', 'the stream that holds it is named');
sql(q{INSERT INTO phone VALUES (1, '2026-01-01 00:02'); SELECT streamfuse.flush()});
is(sql('SELECT count(*) FROM held_closed'), '2', 'its first row closes what is before it');
check('a stream has got rows');

# One that is locked keeps its own rows waiting, and the watermark; those of the others are counted.
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE phone IN ACCESS EXCLUSIVE MODE');
my $counted = sql('SELECT sum(n) FROM held');
my $closed = sql('SELECT count(*) FROM held_closed');
sql(q{INSERT INTO web VALUES (1, 'item 1', 1, '2026-01-03')});
ok(poll($node, "SELECT sum(n) = $counted + 1 FROM held", 't'), 'a stream is locked: rows of the other are counted');
is(sql('SELECT count(*) FROM held_closed'), $closed, 'and close nothing');
ok(poll($node, q{SELECT waits_for FROM streamfuse.stat_views WHERE view = 'held'::regclass}, 'a lock on the stream'), 'the view says what it waits for');
isnt($node->psql('postgres', q{SELECT streamfuse.flush('held', timeout => '100 ms')}), 0, 'flush waits for the locked stream');
terminate_worker($node);
ok(poll($node, "SELECT sum(n) = $counted + 1 FROM held", 't'), 'nor does the next worker lose them');
$locker->query_safe(q{INSERT INTO phone VALUES (2, '2026-01-04'); COMMIT});
$locker->quit;
check('the lock is gone');
is(sql('SELECT sum(n) FROM held'), $counted + 2, 'both are counted');
cmp_ok(sql('SELECT count(*) FROM held_closed'), '>', $closed, 'and windows have closed');
$round = 5 * 24 * 60; # beyond all these times

# Histories of different length, in small slices: neither stream closes what the other has yet to bring.
sql(q{
	CREATE TABLE long (id int, at timestamptz NOT NULL) USING stream;
	CREATE TABLE short (id int, at timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('long', 'at'), streamfuse.set_watermark('short', 'at');
	INSERT INTO long SELECT g, '2026-01-01'::timestamptz + interval '1 second' * g FROM generate_series(1, 60000) g;
	INSERT INTO short SELECT g, '2026-01-01'::timestamptz + interval '1 minute' * g FROM generate_series(1, 1000) g});
$node->append_conf('postgresql.conf', 'streamfuse.test_tick_pages = 20');
$node->reload;
my $history = q{SELECT window_start, window_end, sum(id) AS total, count(*) AS n
	FROM (SELECT id, at FROM long UNION ALL SELECT id, at FROM short UNION ALL SELECT -id, at FROM long WHERE id % 3 = 0) u, tumble(at, '1 hour')
	GROUP BY window_start, window_end};
sql(qq{CREATE MATERIALIZED VIEW history WITH (streamfuse.continuous) AS $history; SELECT streamfuse.flush('history')});
same_rows($node, 'history', $history, 'history of two streams');
is(sql(q{SELECT rows_missed, rows_read FROM streamfuse.stat_views WHERE view = 'history'::regclass}), '0|61000', 'nothing is late');
is(sql('SELECT count(*) FROM history_closed'), '16', 'closed up to the end of both');

# Caught up with after a crash, with rows of both since.
push @views, 'history';
sql(q{INSERT INTO long SELECT g, '2026-01-01'::timestamptz + interval '1 second' * g FROM generate_series(60001, 90000) g;
	INSERT INTO short SELECT g, '2026-01-01'::timestamptz + interval '1 minute' * g FROM generate_series(1001, 1100) g});
$node->stop('immediate');
$node->start;
check('caught up after a crash');

# Whatever comes, in any order.
my $seed = $ENV{STREAMFUSE_SEED} // time;
srand($seed);
note("STREAMFUSE_SEED=$seed");
my @what = (
	sub { insert_rows(1 + int rand 200, 1 + int rand 5) },
	sub { insert_rows(1 + int rand 5, 1 + int rand 200) },
	sub { insert_rows(3, 3); terminate_worker($node) },
	sub { insert_rows(3, 3); $node->stop('immediate'); $node->start },
	sub { sql('SELECT streamfuse.checkpoint()') },
	sub { sql("SELECT streamfuse.pause('$views[0]')"); insert_rows(7, 9); sql("SELECT streamfuse.resume('$views[0]')") },
	sub {
		my $lock = $node->background_psql('postgres');

		$lock->query_safe('BEGIN; LOCK TABLE ' . (rand() < 0.5 ? 'web' : 'shop') . ' IN ACCESS EXCLUSIVE MODE');
		sql(q{INSERT INTO phone VALUES (1, '2026-01-04')});
		terminate_worker($node) if rand() < 0.5;
		$lock->query_safe('COMMIT');
		$lock->quit;
	},
	sub { fault($node, (qw(tick-before-close tick-before-publish commit-after-output))[ rand 3 ], 'passing error', 1); insert_rows(4, 4) });
for (1 .. 5)
{
	my @done = map { int rand @what } 1 .. 6;

	$what[$_]->() for @done;
	check("@done");
}

# A standby reads what was checkpointed; a restored view goes on from its closed windows.
my $standby = start_standby($node);
insert_rows(10, 10);
sql('SELECT streamfuse.flush(); SELECT streamfuse.checkpoint()');
$node->wait_for_catchup($standby, 'replay', $node->lsn('write'));
my $windows = 'SELECT * FROM windows ORDER BY 1, 3';
is($standby->safe_psql('postgres', $windows), sql($windows), 'a standby: all windows');
my $dump = $node->basedir . '/union.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dump');
sql('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'restore');
$node->safe_psql('restored', 'SELECT streamfuse.flush()');
is($node->safe_psql('restored', $windows), sql($windows), 'restored: the same answer');
is($node->safe_psql('restored', 'SELECT count(*) FROM streamfuse.dirty_windows'), '0', 'restored: nothing is missed');
is($node->safe_psql('restored', join ' UNION ALL ', map { "SELECT count(*) FROM streamfuse.verify('$_')" } @views), join("\n", (0) x @views), 'restored: the law');
sql('DROP DATABASE restored');
# Bugs that would be easy to write show.
for my $bug ('', 'watermark-of-first-stream', 'position-of-first-stream')
{
	sql(q{CREATE TABLE ahead (at timestamptz NOT NULL) USING stream; CREATE TABLE behind (at timestamptz NOT NULL) USING stream;
		SELECT streamfuse.set_watermark('ahead', 'at'), streamfuse.set_watermark('behind', 'at');
		CREATE MATERIALIZED VIEW pair WITH (streamfuse.continuous) AS
		SELECT window_start, count(*) AS n FROM (SELECT at FROM ahead UNION ALL SELECT at FROM behind) u, tumble(at, '1 minute')
		GROUP BY window_start, window_end;
		SELECT streamfuse.flush('pair')});
	fault($node, $bug, 'bug') if $bug;
	sql(q{INSERT INTO ahead VALUES ('2026-01-01 00:10'), ('2026-01-01 00:02'); SELECT streamfuse.flush('pair')});
	# The worker dies behind the tick that brings rows of both.
	fault($node, 'tick-before-snapshot', 'wait');
	sql(q{INSERT INTO ahead VALUES ('2026-01-01 00:11')});
	fault_hit($node, 'tick-before-snapshot');
	sql(q{INSERT INTO behind VALUES ('2026-01-01 00:01'), ('2026-01-01 00:02')});
	fault($node, 'tick-after-publish', 'exit', 1);
	fault($node, 'tick-before-snapshot', 'none');
	fault_hit($node, 'tick-after-publish');
	is(sql(q{SELECT streamfuse.flush('pair'); SELECT sum(n) FROM pair}) =~ /^5$/m
		  && sql(q{SELECT count(*) FROM streamfuse.dirty_windows WHERE view = 'pair'::regclass}) eq '0', $bug eq '', $bug || 'no bug');
	fault($node, $bug, 'none') if $bug;
	sql('DROP TABLE ahead, behind CASCADE');
}
$node->wait_for_catchup($standby, 'replay', $node->lsn('write'));

$node->stop('immediate');
$standby->promote;
$standby->safe_psql('postgres', q{INSERT INTO web VALUES (1, 'item 1', 1, '2026-01-10'); INSERT INTO shop VALUES (1, 1, 'item 1', 1, '2026-01-10'); SELECT streamfuse.flush()});
is($standby->safe_psql('postgres', q{SELECT count(*) FROM streamfuse.verify('windows')}), '0', 'promoted: the law');
$standby->stop;

done_testing();
