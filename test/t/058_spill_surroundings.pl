# What others do to the table of spilled groups, and to views that have rows there: rewritten by VACUUM FULL and CLUSTER,
# a state_ttl that comes later, less memory than there was,
# a log that tells of more groups than there is memory for.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server;

my $node = start_server('spill_surroundings',
	'streamfuse.checkpoint_interval = 1h', 'streamfuse.commit_interval = 0', 'streamfuse.test_tick_pages = 20',
	'streamfuse.test_lag_pages = 2', 'autovacuum = off');
need_fault_points($node);

sub sql { return $node->safe_psql('postgres', shift); }

sub verified
{
	my ($view, $name) = @_;

	is(sql("SELECT count(*) FROM streamfuse.verify('$view')"), '0', $name);
	return;
}

# ---- the table is rewritten while groups have twins there ----

sql(q{
	CREATE TABLE events (id int, account int) USING stream;
	CREATE MATERIALIZED VIEW accounts WITH (streamfuse.continuous, streamfuse.max_state = '256kB') AS
	SELECT account, count(*) AS n, max(id) AS last FROM events GROUP BY account;
	SELECT streamfuse.flush()});

sub touch
{
	my ($from, $to, $step) = @_;

	sql(sprintf('INSERT INTO events SELECT g, g FROM generate_series(%d, %d, %d) g; SELECT streamfuse.flush()', $from, $to, $step // 1));
	return;
}

touch(1, 10000);
for my $command ('VACUUM FULL streamfuse.spilled', 'CLUSTER streamfuse.spilled USING spilled_key')
{
	# Dead rows at the beginning: those behind move up.
	touch(1, 3000, 2);
	sql('SELECT streamfuse.checkpoint()');
	# Groups have come back, and their rows are deleted by a commit that has yet to begin.
	fault($node, 'commit-begun', 'wait', 1);
	$node->psql('postgres', 'INSERT INTO events SELECT g, g FROM generate_series(3001, 9000, 3) g');
	fault_hit($node, 'commit-begun');
	sql($command);
	fault($node, 'commit-begun', 'none');
	sql('SELECT streamfuse.flush(); SELECT streamfuse.checkpoint()');
	touch(1, 9000, 5);
	verified('accounts', "$command: view and batch agree");
	is(sql('SELECT count(*) FROM (SELECT fragment, hash FROM streamfuse.spilled GROUP BY 1, 2 HAVING count(*) > 1) x'), '0',
		"$command: no group has two rows");
	terminate_worker($node);
	touch(1, 9000, 7);
	verified('accounts', "$command: and for the next worker");
}

# ---- a state_ttl that comes when groups are in the table already ----

sql(q{
	CREATE TABLE clicks (id int, who int, at timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('clicks', 'at', delay => '0 s');
	CREATE MATERIALIZED VIEW whos WITH (streamfuse.continuous, streamfuse.max_state = '256kB') AS
	SELECT who, count(*) AS n, max(id) AS last FROM clicks GROUP BY who;
	CREATE MATERIALIZED VIEW names WITH (streamfuse.continuous, streamfuse.max_state = '256kB') AS
	SELECT 'name ' || who::text AS name, count(*) AS n FROM clicks GROUP BY 1;
	SELECT streamfuse.flush()});

sub click
{
	my ($second, $from, $to) = @_;

	sql(qq{INSERT INTO clicks SELECT g, g, timestamptz '2024-01-01' + $second * interval '1 s' FROM generate_series($from, $to) g;
		SELECT streamfuse.flush()});
	return;
}

sub counts { return sql('SELECT (SELECT count(*) FROM whos), (SELECT sum(n) FROM whos), (SELECT count(*) FROM names), (SELECT sum(n) FROM names)'); }
my $rows_of = q{SELECT count(*) FROM streamfuse.spilled s JOIN streamfuse.fragment f ON f.id = s.fragment WHERE f.view = '%s'::regclass};
my $groups_of = q{SELECT groups FROM streamfuse.stat_views WHERE view = '%s'::regclass};

click(0, 1, 10000);
click(1, 10001, 20000);
cmp_ok(sql(sprintf($rows_of, $_)), '>', 5000, "groups of $_ are in the table") for ('whos', 'names');
is(counts(), '20000|20000|20000|20000', 'all are read');
# By now the memory of those has been given back: nothing of them is in the index.
sql('SELECT streamfuse.checkpoint()');
terminate_worker($node);
sql('SELECT streamfuse.flush()');
sql("ALTER MATERIALIZED VIEW $_ RESET (streamfuse.max_state); ALTER MATERIALIZED VIEW $_ SET (streamfuse.state_ttl = '100 s')") for ('whos', 'names');
click(200, 30001, 30010);
is(counts(), '10|10|10|10', 'what is idle for too long is forgotten, wherever it is');

# One that comes for a group in the table begins anew.
click(201, 1, 10);
is(counts(), '20|20|20|20', 'rows of forgotten groups begin new ones');
for (1 .. 40)
{
	click(202 + $_, 40001, 41000);
	sql('SELECT streamfuse.checkpoint()');
}
is(sql("SELECT count(*), sum(n) FROM whos WHERE who <= 10"), '10|10', 'and they stay');
is(sql(sprintf($groups_of, $_)), '1020', "groups of $_ in memory are counted") for ('whos', 'names');
is(sql(sprintf($rows_of, $_)), '0', "rows of forgotten groups of $_ leave the table") for ('whos', 'names');
is(sql(q{SELECT spilled_groups FROM streamfuse.stat_views WHERE view = 'whos'::regclass}), '0', 'and the statistics');
terminate_worker($node);
$node->stop('immediate');
$node->start;
sql('SELECT streamfuse.flush()');
is(counts(), '1020|40020|1020|40020', 'after a crash');

# ---- less memory than the groups take already ----

sql(q{
	DROP TABLE events, clicks CASCADE;
	CREATE TABLE visits (id int, visitor int) USING stream;
	CREATE MATERIALIZED VIEW visitors WITH (streamfuse.continuous) AS SELECT visitor, count(*) AS n FROM visits GROUP BY visitor;
	INSERT INTO visits SELECT g, g FROM generate_series(1, 40000) g;
	SELECT streamfuse.flush()});
cmp_ok(sql(q{SELECT bytes FROM streamfuse.stat_views WHERE view = 'visitors'::regclass}), '>', 2 * 1024 * 1024, 'they take more than 2 MB');
sql(q{ALTER SYSTEM SET streamfuse.state_memory = '2MB'});
sql('SELECT pg_reload_conf()');
$node->poll_query_until('postgres', q{SELECT current_setting('streamfuse.state_memory') = '2MB'}) or die;
sql(q{INSERT INTO visits SELECT g, g FROM generate_series(1, 40000, 20) g; SELECT streamfuse.flush(timeout => '60 s')});
is(sql('SELECT count(*), sum(n) FROM visitors'), '40000|42000', 'they leave, though there is no memory for pre-images, and rows come in again');
cmp_ok(sql(q{SELECT groups FROM streamfuse.stat_views WHERE view = 'visitors'::regclass}), '<', 10000, 'few are left in memory');
fault($node, 'no-tick-without-rows', 'bug');
sql(q{ALTER SYSTEM SET streamfuse.state_memory = '64MB'});
sql('SELECT pg_reload_conf()');
$node->poll_query_until('postgres', q{SELECT current_setting('streamfuse.state_memory') = '64MB'}) or die;
sql(q{INSERT INTO visits SELECT g, g FROM generate_series(1, 60000) g; SELECT streamfuse.flush()});
sql(q{ALTER SYSTEM SET streamfuse.state_memory = '2MB'});
sql('SELECT pg_reload_conf()');
$node->poll_query_until('postgres', q{SELECT current_setting('streamfuse.state_memory') = '2MB'}) or die;
sql(q{INSERT INTO visits SELECT g, g FROM generate_series(1, 60000, 20) g});
$node->poll_query_until('postgres', q{SELECT attempts >= 5 FROM streamfuse.stat_views WHERE view = 'visitors'::regclass}) or die;
cmp_ok(sql(q{SELECT groups FROM streamfuse.stat_views WHERE view = 'visitors'::regclass}), '>', 50000, 'no-tick-without-rows is found');
fault($node, 'no-tick-without-rows', 'none');
sql(q{SELECT streamfuse.flush(timeout => '60 s')});
is(sql('SELECT count(*), sum(n) FROM visitors'), '60000|105000', 'the view goes on');
is(sql(q{SELECT count(*) FROM streamfuse.verify('visitors')}), '0', 'as its query would');

# ---- what is to be loaded after a crash is what was there, however many have been there since the log begins ----

sql('DROP TABLE visits CASCADE');
sql("ALTER SYSTEM SET streamfuse.$_") for ('state_memory = \'12MB\'', 'test_tick_pages = 0', 'test_lag_pages = 0', 'checkpoint_interval = \'10s\'', 'commit_interval = 100');
$node->restart;
sql(q{
	CREATE TABLE visits (visitor bigint, page int) USING stream;
	CREATE MATERIALIZED VIEW visitors WITH (streamfuse.continuous) AS SELECT visitor, count(*) AS n, max(page) AS last FROM visits GROUP BY visitor;
	SELECT streamfuse.flush()});
sql("INSERT INTO visits SELECT g, 1 FROM generate_series($_ * 40000 + 1, ($_ + 1) * 40000) g") for 0 .. 9;
for my $round (1 .. 4)
{
	sql(q{INSERT INTO visits SELECT g, 1 FROM generate_series(100, 400000, 2) g; SELECT streamfuse.flush(timeout => '60 s')});
	$node->stop('immediate');
	$node->start;
	sql(q{SELECT streamfuse.flush(timeout => '60 s')});
	is(sql('SELECT count(*), sum(n) FROM visitors'), '400000|' . (400000 + $round * 199951), "crash $round: all are there");
}
verified('visitors', 'as its query would');
done_testing();
