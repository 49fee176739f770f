# Streams among PostgreSQL's other tools: dump and restore, logical replication, and a server without the library
# preloaded.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Streamfuse::Capture;

my $node = capture_node('surroundings');
$node->safe_psql('postgres', q{
	CREATE TABLE orders (id int PRIMARY KEY, note text) USING stream;
	CREATE INDEX orders_note ON orders (note);
	CREATE TABLE plain (id int);
	CREATE TABLE events (id int, day int) PARTITION BY LIST (day);
	CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1) USING stream;
	INSERT INTO orders SELECT g, repeat('x', g) FROM generate_series(1, 100) g;
	INSERT INTO events VALUES (1, 1), (2, 1);});

# Dump and restore, as text and as archive.
my $totals = q{SELECT (SELECT count(*) FROM orders), (SELECT sum(length(note)) FROM orders), (SELECT count(*) FROM events_1)};
my $methods = q{SELECT relname, amname FROM pg_class c JOIN pg_am a ON a.oid = relam
	WHERE relname IN ('orders', 'plain', 'events_1') ORDER BY 1};
my $dump = $node->basedir . '/dump';
for my $format ('p', 'c')
{
	$node->command_ok(['pg_dump', "-F$format", '-f', "$dump.$format", $node->connstr('postgres')], "pg_dump -F$format");
	$node->safe_psql('postgres', "CREATE DATABASE restored_$format");
	$node->command_ok(
		$format eq 'p'
		? ['psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.$format", $node->connstr("restored_$format")]
		: ['pg_restore', '--exit-on-error', '-j2', '-d', $node->connstr("restored_$format"), "$dump.$format"],
		"restore -F$format");
	is($node->safe_psql("restored_$format", $totals), '100|5050|2', "rows restored -F$format");
	is($node->safe_psql("restored_$format", $methods), "events_1|stream\norders|stream\nplain|heap",
		"access methods restored -F$format");
}

# Logical replication from a stream into a stream.
$node->safe_psql('postgres', 'CREATE DATABASE subscriber');
$node->safe_psql('subscriber', q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE orders (id int PRIMARY KEY, note text) USING stream;});
$node->safe_psql('postgres', q{
	CREATE PUBLICATION orders_pub FOR TABLE orders;
	SELECT pg_create_logical_replication_slot('orders_sub', 'pgoutput');});
$node->safe_psql('subscriber', "CREATE SUBSCRIPTION orders_sub CONNECTION '" . $node->connstr . " dbname=postgres'
	PUBLICATION orders_pub WITH (create_slot = false, copy_data = true)");
$node->safe_psql('postgres', q{INSERT INTO orders SELECT g, 'later' FROM generate_series(101, 150) g});
$node->wait_for_subscription_sync($node, 'orders_sub', 'subscriber');
$node->wait_for_catchup('orders_sub');
is($node->safe_psql('subscriber', q{SELECT count(*), count(*) FILTER (WHERE note = 'later') FROM orders}), '150|50',
	'rows are replicated from a stream into a stream');
$node->safe_psql('subscriber', 'DROP SUBSCRIPTION orders_sub');

# VACUUM FULL of a database passes over the streams that views read, and over no other table.
$node->safe_psql('postgres', 'CREATE DATABASE maintained');
$node->safe_psql('maintained', q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE read (at timestamptz NOT NULL) USING stream;
	CREATE TABLE unread (at timestamptz NOT NULL) USING stream;
	CREATE TABLE plain (at timestamptz NOT NULL);
	SELECT streamfuse.set_watermark('read', 'at');
	CREATE MATERIALIZED VIEW per_day WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) FROM read, tumble(at, '1 day') GROUP BY window_start, window_end;
	CREATE TABLE before AS SELECT relname, relfilenode FROM pg_class});
my $rewritten = q{SELECT c.relname, c.relfilenode <> b.relfilenode FROM pg_class c JOIN before b USING (relname)
	WHERE c.relname IN ('read', 'unread', 'plain') ORDER BY 1};
my (undef, undef, $warnings) = $node->psql('maintained', 'VACUUM FULL');
is($warnings, 'psql:<stdin>:1: WARNING:  skipping "read" --- continuous views read this stream', 'VACUUM FULL warns');
is($node->safe_psql('maintained', $rewritten), "plain|t\nread|f\nunread|t", 'VACUUM FULL of a database');
$node->safe_psql('maintained', 'DROP MATERIALIZED VIEW per_day; UPDATE before b
	SET relfilenode = c.relfilenode FROM pg_class c WHERE c.relname = b.relname');
$node->safe_psql('maintained', 'VACUUM FULL');
is($node->safe_psql('maintained', $rewritten), "plain|t\nread|t\nunread|t", 'once no view reads any');

# Without the library preloaded the data can be read, but nothing be added.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is($node->safe_psql('postgres', $totals), '150|5300|2', 'streams can be read');
$node->safe_psql('postgres', 'VACUUM ANALYZE orders; REINDEX TABLE orders; COPY orders TO stdout');
for my $statement (
	"INSERT INTO orders VALUES (999, 'new')",
	"INSERT INTO orders VALUES (1, 'new') ON CONFLICT DO NOTHING",
	'COPY orders FROM stdin',
	'CREATE TABLE another (id int) USING stream',
	'CREATE TABLE another USING stream AS SELECT 1 AS id')
{
	my ($status, undef, $stderr) = $node->psql('postgres', $statement, stdin => '');

	if ($statement =~ /CONFLICT|stdin/)
	{
		is($status, 0, "nothing to insert: $statement");
	}
	else
	{
		like($stderr, qr/ERROR:  streamfuse must be preloaded\nHINT:  Set shared_preload_libraries = 'streamfuse'/,
			$statement);
	}
}
$node->safe_psql('postgres', 'ALTER TABLE events DETACH PARTITION events_1; DROP TABLE events_1');
$node->command_ok(['pg_dump', '-f', "$dump.unloaded", $node->connstr('postgres')], 'pg_dump');

$node->stop;
done_testing();
