# Groups that memory has no room for are in a table, and come back when they are touched: a view with ten times more
# groups than its bound is exact, through readers of any age, deaths at every step, standbys and pauses.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server;

my $node = start_server('spill',
	'streamfuse.checkpoint_interval = 1h', 'streamfuse.commit_interval = 0', 'streamfuse.test_tick_pages = 20', 'streamfuse.test_lag_pages = 2',
	'restart_after_crash = on', 'wal_level = replica', 'max_wal_senders = 4', 'autovacuum = off');
need_fault_points($node);
$node->safe_psql('postgres', q{
	CREATE TABLE events (id int, account int, value numeric) USING stream;
	CREATE MATERIALIZED VIEW accounts WITH (streamfuse.continuous, streamfuse.max_state = '256kB') AS
	SELECT account, count(*) AS n, sum(value) AS total, max(id) AS last FROM events GROUP BY account;
	CREATE MATERIALIZED VIEW names WITH (streamfuse.continuous, streamfuse.max_state = '256kB') AS
	SELECT 'account ' || account::text AS name, account % 7 AS part, count(*) AS n, min(value) AS least FROM events GROUP BY 1, 2;
	CREATE MATERIALIZED VIEW all_events WITH (streamfuse.continuous) AS SELECT count(*) AS n FROM events;
	SELECT streamfuse.flush()});

sub sql { return $node->safe_psql('postgres', shift); }

# Rows for accounts from one to another, each `step`th.
sub touch
{
	my ($from, $to, $step) = @_;

	$node->psql('postgres', sprintf(
		'INSERT INTO events SELECT g, g, g %% 1000 / 4.0 FROM generate_series(%d, %d, %d) g', $from, $to, $step // 1));
	return;
}

sub flush { sql('SELECT streamfuse.flush()'); return; }

# Makes all that is cold leave: whatever comes from there on has to come back.
sub spill_all
{
	touch(-3000, -1);
	flush();
	touch(-6000, -3001);
	flush();
	return;
}

my $law = q{SELECT v, count(*) FROM (VALUES ('accounts'::regclass), ('names')) views (v), streamfuse.verify(v) GROUP BY v};
my $twice = q{SELECT count(*) FROM (SELECT account FROM accounts GROUP BY account HAVING count(*) > 1) x};

sub check
{
	my $name = shift;

	flush();
	is(sql($law), '', "$name: view and batch agree");
	is(sql('SELECT (SELECT sum(n) FROM accounts) = n, (SELECT sum(n) FROM accounts) = (SELECT count(*) FROM events) FROM all_events'),
		't|t', "$name: each row once");
	return;
}

my $spilled = q{SELECT spilled_groups FROM streamfuse.stat_views WHERE view = 'accounts'::regclass};

# ---- ten times over the bound ----

touch(1, 20000);
check('ten times over');
cmp_ok(sql($spilled), '>', 15000, 'most groups are in the table');
cmp_ok(sql(q{SELECT bytes FROM streamfuse.stat_views WHERE view = 'accounts'::regclass}), '<', 3 * 1024 * 1024, 'memory stays near the bound');
is(sql($spilled), sql(q{SELECT count(*) FROM streamfuse.spilled s JOIN streamfuse.fragment f ON f.id = s.fragment WHERE view = 'accounts'::regclass}),
	'the statistics count what is there');
is(sql(q{SELECT spilled_bytes FROM streamfuse.stat_views WHERE view = 'accounts'::regclass}),
	sql(q{SELECT sum(length(payload)) FROM streamfuse.spilled s JOIN streamfuse.fragment f ON f.id = s.fragment WHERE view = 'accounts'::regclass}),
	'and its bytes');
touch(1, 20000, 3);
touch(10000, 30000, 7);
check('touched again');
is(sql('SELECT n, last FROM accounts WHERE account = 19999'), sql('SELECT count(*), max(id) FROM events WHERE account = 19999'), 'one group that is on disk');
is(sql('SELECT count(*) FROM accounts WHERE account = 123456'), '0', 'one that never was');
is(sql('SELECT n, last FROM accounts WHERE account = 1::int4'), sql('SELECT count(*), max(id) FROM events WHERE account = 1'), 'by its key');

# ---- a key that was never seen is not looked for ----

my $before = sql(q{SELECT fault_hits('spill-look-up')});
touch(1000001, 1000500);
flush();
is(sql(q{SELECT fault_hits('spill-look-up')}), $before, 'new keys cost no look-up');
touch(1, 50);
flush();
cmp_ok(sql(q{SELECT fault_hits('spill-look-up')}), '>', $before, 'old ones do');

# ---- readers of any age ----

my $cursor = $node->background_psql('postgres');
my $old = $node->background_psql('postgres');
my $sum = sql('SELECT count(*), sum(n), sum(total) FROM accounts');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
my $first = $cursor->query_safe('BEGIN; DECLARE c CURSOR FOR SELECT account, n, total FROM accounts; FETCH 10 FROM c');
$cursor->query_safe('DECLARE k CURSOR FOR SELECT n FROM accounts WHERE account = 77');
my $seventy_seven = sql('SELECT n FROM accounts WHERE account = 77');
for my $round (1 .. 3)
{
	touch(1, 20000, 2);
	flush();
	sql('VACUUM streamfuse.spilled');
}
touch(1, 20000, 11);
is($cursor->query_safe('FETCH ALL FROM k'), $seventy_seven, 'a cursor finds one group as it was when it was declared');
my @rows = split /\n/, "$first\n" . $cursor->query_safe('FETCH ALL FROM c');
my ($count, $n, $total) = (0, 0, 0);
for (@rows)
{
	my (undef, $rows, $value) = split /\|/;

	next unless defined $value;
	$count++;
	$n += $rows;
	$total += $value;
}
is("$count|$n|" . sprintf('%.2f', $total), join('|', (split /\|/, $sum)[0, 1], sprintf('%.2f', (split /\|/, $sum)[2])), 'and all groups');
is($old->query_safe('SELECT sum(n) FROM accounts'), sql('SELECT count(*) FROM events'), 'a transaction with an old snapshot reads all that is counted');
$old->query_safe('COMMIT');
$cursor->query_safe('COMMIT');
check('read meanwhile');

# A statement has pinned its tick, and groups that were on disk then come back and are written before it looks there.
sub read_late
{
	my $reader = $node->background_psql('postgres');

	spill_all();
	fault($node, 'read-spilled-pinned', 'wait', 1);
	start_query($reader, 'SELECT sum(n) FROM accounts');
	fault_hit($node, 'read-spilled-pinned');
	touch(1, 300);
	sql('SELECT streamfuse.flush(); SELECT streamfuse.checkpoint()');
	fault($node, 'read-spilled-pinned', 'none');
	my $answer = finish_query($reader);
	$reader->quit;
	return $answer;
}

my $late = read_late();
$n = sql('SELECT count(*) FROM events');
like($late, qr{^$n$}m, 'it pins again');
$cursor->quit;
$old->quit;

# In parallel: workers read what their leader has pinned.
my $parallel = q{SET force_parallel_mode = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; };
is(sql($parallel . 'SELECT count(*), sum(n) FROM accounts'), sql('SELECT count(*), sum(n) FROM accounts'), 'in a parallel worker');

# ---- paused, and on a standby: from the tables ----

sql(q{SELECT streamfuse.pause('accounts')});
$node->poll_query_until('postgres', q{SELECT groups = 0 FROM streamfuse.stat_views WHERE view = 'accounts'::regclass}) or die;
$sum = sql('SELECT count(*), sum(n) FROM (SELECT DISTINCT ON (account) account, n FROM accounts) a');
is(sql('SELECT count(*), sum(n) FROM accounts'), $sum, 'paused: each group once');
is(sql('SELECT sum(n) FROM accounts'), sql('SELECT count(*) FROM events'), 'paused: all groups');
is(sql('SELECT n FROM accounts WHERE account = 19999'), sql('SELECT count(*) FROM events WHERE account = 19999'), 'paused: one group');
touch(1, 20000, 4);
sql(q{SELECT streamfuse.resume('accounts')});
check('resumed');
my $standby = start_standby($node);
touch(1, 20000, 6);
sql('SELECT streamfuse.flush(); SELECT streamfuse.checkpoint()');
$node->wait_for_catchup($standby, 'replay', $node->lsn('write'));
is($standby->safe_psql('postgres', 'SELECT count(*), sum(n), sum(total) FROM accounts'), sql('SELECT count(*), sum(n), sum(total) FROM accounts'), 'a standby: all groups');
is($standby->safe_psql('postgres', 'SELECT n FROM accounts WHERE account = 19999'), sql('SELECT n FROM accounts WHERE account = 19999'), 'a standby: one group');

# ---- the worker and the server die at each step ----

terminate_worker($node);
touch(1, 20000, 2);
check('taken over');
$node->stop('immediate');
$node->start;
touch(1, 20000, 3);
check('after a crash');
for my $point ('spill-rows-written', 'spill-deleted', 'spill-removed', 'spill-came-back', 'spill-look-up', 'commit-before', 'commit-after',
	'tick-before-publish', 'publish-stored')
{
	for my $action ('exit', 'kill')
	{
		strike($node, $point, $action, sub {
			eval { touch(1, 6000, 2); };
			eval { $node->psql('postgres', 'SELECT streamfuse.flush()'); };
			eval { touch(5000, 9000, 2); }; });
		touch(1, 9000, 5);
		check("$action at $point");
		is(sql($twice), '0', "$action at $point: each group once");
	}
}

# An error of each step is tried again.
for my $point ('spill-rows-written', 'spill-deleted', 'spill-removed', 'spill-came-back', 'spill-look-up')
{
	fault($node, $point, 'passing error', 2);
	touch(1, 6000, 2);
	touch(5000, 9000, 2);
	check("error at $point");
}

# ---- the bound of all views; rows that fail ----

sql(q{ALTER MATERIALIZED VIEW accounts RESET (streamfuse.max_state)});
touch(1, 30000);
check('without a bound of its own');
sql(q{ALTER MATERIALIZED VIEW accounts SET (streamfuse.max_state = '256kB')});
touch(1, 30000, 2);
check('with one again');
sql(q{
	CREATE MATERIALIZED VIEW careful WITH (streamfuse.continuous, streamfuse.max_state = '256kB', streamfuse.on_error = 'skip') AS
	SELECT account, count(*) AS n, sum((1000000 / (id - 5000))::int2) AS total FROM events GROUP BY account;
	SELECT streamfuse.flush('careful')});
touch(1, 20000, 2);
touch(4000, 6000);
flush();
is(sql(q{SELECT count(*) FROM streamfuse.verify('careful')}), '0', 'rows that fail leave groups that come back as they were');
cmp_ok(sql('SELECT rows_failed FROM streamfuse.stat_views WHERE view = ' . q{'careful'::regclass}), '>', 0, 'and some do');
sql('DROP MATERIALIZED VIEW careful');
is(sql('SELECT count(*) FROM streamfuse.spilled WHERE fragment NOT IN (SELECT id FROM streamfuse.fragment)'), '0', 'a view that is dropped leaves nothing');

# ---- what these tests would find ----

sub found { return sql($law) ne '' || sql($twice) ne '0'; }

sub make_anew
{
	sql(q{DROP MATERIALIZED VIEW accounts, names;
		CREATE MATERIALIZED VIEW names WITH (streamfuse.continuous, streamfuse.max_state = '256kB') AS
		SELECT 'account ' || account::text AS name, account % 7 AS part, count(*) AS n, min(value) AS least FROM events GROUP BY 1, 2;
		CREATE MATERIALIZED VIEW accounts WITH (streamfuse.continuous, streamfuse.max_state = '256kB') AS
		SELECT account, count(*) AS n, sum(value) AS total, max(id) AS last FROM events GROUP BY account});
	check('anew');
	return;
}

for my $bug ('spilled-row-not-deleted', 'spilled-key-not-in-filter')
{
	fault($node, $bug, 'bug');
	touch(1, 20000, 2);
	flush();
	touch(10000, 30000);
	flush();
	fault($node, $bug, 'none');
	ok(found(), "$bug is found");
	make_anew();
}
# The worker dies with groups in memory that have come back, and whose rows have not been deleted.
fault($node, 'twin-not-found', 'bug');
fault($node, 'spill-deleted', 'exit', 1);
touch(1, 3000);
fault_hit($node, 'spill-deleted');
flush();
touch(20000, 40000);
flush();
fault($node, 'twin-not-found', 'none');
ok(found(), 'twin-not-found is found');
make_anew();

# A group that has come back is read once, though its row is still there.
spill_all();
fault($node, 'spill-deleted', 'wait', 1);
touch(1, 2000);
fault_hit($node, 'spill-deleted');
is(sql($twice), '0', 'while the commit waits each group is read once');
fault($node, 'resident-row-read-twice', 'bug');
isnt(sql($twice), '0', 'resident-row-read-twice is found');
fault($node, 'resident-row-read-twice', 'none');
fault($node, 'spill-deleted', 'none');
check('the commit goes on');

fault($node, 'spilled-read-during-commit', 'bug');
$late = read_late();
fault($node, 'spilled-read-during-commit', 'none');
$n = sql('SELECT count(*) FROM events');
unlike($late, qr{^$n$}m, 'spilled-read-during-commit is found');
check('in the end');

# After promotion the count goes on.
$node->wait_for_catchup($standby, 'replay', $node->lsn('write'));
$node->stop('immediate');
$standby->promote;
$standby->safe_psql('postgres', 'INSERT INTO events SELECT g, g, 1 FROM generate_series(1, 20000, 3) g; SELECT streamfuse.flush()');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM streamfuse.verify('accounts')}), '0', 'promoted: view and batch agree');
$standby->stop;
done_testing();
