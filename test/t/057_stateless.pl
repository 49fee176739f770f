# Stateless views: each row once, through crashes of the server and ends of the worker, through dump and restore; history
# is worked in with no more memory than there is, whatever becomes of its rows.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server;

my $node = start_server('stateless', "streamfuse.checkpoint_interval = '1min'\nautovacuum = off");

need_fault_points($node);

sub sql { return $node->safe_psql('postgres', shift); }

sql(q{
	CREATE TABLE orders (id int, category text, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
	CREATE MATERIALIZED VIEW seen WITH (streamfuse.continuous) AS
	SELECT id, category || '!' AS category, id::float8 / 7 AS part FROM orders WHERE id % 3 <> 0;
	CREATE MATERIALIZED VIEW hours WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) AS orders FROM orders, tumble(event_time, '1 hour') GROUP BY window_start, window_end;
	SELECT streamfuse.flush();});

my $query = q{SELECT id, category || '!' AS category, id::float8 / 7 AS part FROM orders WHERE id % 3 <> 0};

# Without a flush: committed is seen at once, and what the crash has taken from memory comes back.
my $rows = 0;
sub insert
{
	my $n = shift;

	sql("INSERT INTO orders SELECT g, 'c' || g % 5, '2026-01-01 00:00+00'::timestamptz + g * interval '1 s' FROM generate_series($rows + 1, $rows + $n) g");
	$rows += $n;
	return;
}
for my $round (1 .. 4)
{
	insert(300);
	# Some of it is in the output table, some is not.
	sql(q{SELECT streamfuse.flush('seen')}) if $round % 2;
	insert(100);
	$node->stop('immediate');
	$node->start;
	same_rows($node, 'seen', $query, "crash $round: every row once");
	like(sql('EXPLAIN SELECT * FROM seen'), qr/StreamfuseLive/, "crash $round: read live");
}
for my $point ('tick-in-apply', 'tick-before-publish', 'tick-after-publish', 'commit-before', 'commit-after-output', 'commit-after')
{
	fault($node, $point, 'exit', 1);
	insert(200);
	fault_hit($node, $point);
	insert(10);
	sql(q{SELECT streamfuse.flush()});
	same_rows($node, 'seen', $query, "the worker ends at $point: every row once");
}
is(sql(q{SELECT count(*) FROM streamfuse.verify('seen')}), '0', 'verify finds nothing');
is(sql('SELECT count(*) FROM seen_closed'), sql('SELECT count(*) FROM seen'), 'all is in the output table');
is(sql(q{SELECT count(*) FROM streamfuse.state s JOIN streamfuse.fragment f ON f.id = s.fragment WHERE f.view = 'seen'::regclass}), '0',
	'and there is nothing to checkpoint');

# A view is read with other views at one point of the stream.
insert(1000);
is(sql('SELECT n - (SELECT count(*) FROM seen) = floor(n / 3) FROM (SELECT sum(orders) AS n FROM hours) h'), 't', 'one statement, one point');

# Dump and restore: the restored rows are dropped, and filled in anew from the stream.
sql('CREATE INDEX seen_id ON seen (id)');
sql('CREATE DATABASE restored');
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
command_ok([ 'pg_dump', '-p', $node->port, '-h', $node->host, '-Fc', '-f', $dump, 'postgres' ], 'pg_dump');
command_ok([ 'pg_restore', '-p', $node->port, '-h', $node->host, '--exit-on-error', '-d', 'restored', $dump ], 'pg_restore');
$node->safe_psql('restored', q{SELECT streamfuse.flush()});
my $all = q{SELECT count(*), count(DISTINCT id), sum(id), sum(length(category)) FROM seen};
is($node->safe_psql('restored', $all), sql($all), 'the restored view has each row once');
is($node->safe_psql('restored', $all =~ s/seen/seen_closed/r), sql($all), 'and so has its output table');
is($node->safe_psql('restored', q{SELECT tablename FROM pg_indexes WHERE indexname = 'seen_id'}), 'seen_closed', 'with its index');
$node->safe_psql('restored', q{INSERT INTO orders VALUES (1, 'new', '2026-02-01'); SELECT streamfuse.flush()});
is($node->safe_psql('restored', q{SELECT count(*) FROM seen WHERE category = 'new!'}), '1', 'it goes on');
is($node->safe_psql('restored', q{SELECT count(*) FROM streamfuse.verify('seen')}), '0', 'and is what its query says');

# 150 MB of rows out of 10 MB, with 16 MB of memory for all state: slices become smaller until what they hold has room.
sql(q{ALTER SYSTEM SET streamfuse.state_memory = '16MB'});
sql('SELECT pg_reload_conf()');
$node->poll_query_until('postgres', q{SELECT current_setting('streamfuse.state_memory') = '16MB'}) or die;
sql(q{
	CREATE TABLE history (id int) USING stream;
	INSERT INTO history SELECT g FROM generate_series(1, 300000) g;
	CREATE MATERIALIZED VIEW long WITH (streamfuse.continuous) AS SELECT id, repeat('x', 500) AS x FROM history;
	SELECT streamfuse.flush('long', timeout => '3 min');});
is(sql('SELECT count(*), count(DISTINCT id), sum(length(x)) FROM long'), '300000|300000|150000000', 'history that does not fit into memory');
is(sql(q{SELECT status, attempts FROM streamfuse.stat_views WHERE view = 'long'::regclass}), 'running|0', 'is worked in without trouble');
cmp_ok(sql('SELECT count(DISTINCT closed_xid) FROM long_closed'), '>', 10, 'in many transactions');
sql(q{INSERT INTO history SELECT g FROM generate_series(300001, 400000) g; SELECT streamfuse.flush('long', timeout => '3 min')});
is(sql('SELECT count(*), count(DISTINCT id), sum(length(x)) FROM long'), '400000|400000|200000000', 'and so is what comes in one transaction');

$node->stop;
done_testing();
