# The settings of a stream travel with its table in every form of a dump, whatever the column's name.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'streamfuse'");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir;
my @connection = ('-h', $node->host, '-p', $node->port);

$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql(
	'source', q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE orders ("it's ""odd"" = \ time" timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', $$it's "odd" = \ time$$, delay => '1 day 00:00:00.5', max_ahead => '1 hour');
	CREATE TABLE events (at timestamp NOT NULL, kind text) PARTITION BY LIST (kind);
	CREATE TABLE events_a PARTITION OF events FOR VALUES IN ('a') USING stream;
	CREATE TABLE events_b PARTITION OF events FOR VALUES IN ('b') PARTITION BY LIST (kind);
	CREATE TABLE events_b_b PARTITION OF events_b FOR VALUES IN ('b') USING stream;
	SELECT streamfuse.set_watermark('events', 'at', max_ahead => 'infinity');
	CREATE TABLE plain (at timestamptz NOT NULL) USING stream;
	INSERT INTO orders VALUES ('2026-01-01 00:00+00');
	INSERT INTO events VALUES ('2026-01-01 00:00', 'a'), ('2026-01-01 00:00', 'b');
});
my $settings = q{SELECT * FROM streamfuse.streams ORDER BY stream::text};
my $source = $node->safe_psql('source', $settings);
is($source, q{events|at|fixed|00:00:00|infinity
orders|it's "odd" = \ time|fixed|1 day 00:00:00.5|01:00:00
plain||||}, 'settings of the source');

sub restored
{
	my ($database, $form, @options) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	command_ok([ 'pg_dump', @connection, "-F$form", '-f', "$dir/$database", @options, 'source' ], "$database: dump");
	command_ok(
		$form eq 'p'
		? [ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', @connection, '-f', "$dir/$database", $database ]
		: [ 'pg_restore', '-e', '-j2', @connection, '-d', $database, "$dir/$database" ],
		"$database: restore");
	is($node->safe_psql($database, $settings), $source, "$database: settings");
	return;
}

# The text of a dump, less the random keys that guard it.
sub dumped
{
	my $text = slurp_file("$dir/$_[0]");

	$text =~ s/^\\(un)?restrict .*\n//mg;
	return $text;
}

restored('plain_text', 'p');
restored('directory', 'd');
restored('schema_only', 'c', '--schema-only');

# A dump of the restored database is the same dump.
command_ok([ 'pg_dump', @connection, '-f', "$dir/again", 'plain_text' ], 'dump of the restored database');
is(dumped('again'), dumped('plain_text'), 'is the same dump');

# A table by itself takes its settings along; without them, with --no-security-labels.
for my $case ([ 'table_only', '', 'orders' ], [ 'unlabelled', '--no-security-labels', '' ])
{
	my ($database, $option, $expected) = @$case;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION streamfuse');
	command_ok([ 'pg_dump', @connection, '-t', 'orders', '-f', "$dir/$database", $option || (), 'source' ],
		"$database: dump");
	command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', @connection, '-f', "$dir/$database", $database ],
		"$database: restore");
	is($node->safe_psql($database, 'SELECT stream FROM streamfuse.streams WHERE time_column IS NOT NULL'),
		$expected, "$database: settings");
}

# The settings come back even where the table is restored as a heap, and count again once it is a stream.
$node->safe_psql('postgres', 'CREATE DATABASE heap');
command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dir/heap", 'source' ], 'heap: dump');
command_ok([ 'pg_restore', '-e', '--no-table-access-method', @connection, '-d', 'heap', "$dir/heap" ], 'heap: restore');
is($node->safe_psql('heap', $settings), '', 'heap: no streams');
$node->safe_psql('heap', 'ALTER TABLE orders SET ACCESS METHOD stream');
is($node->safe_psql('heap', 'SELECT delay, max_ahead FROM streamfuse.streams'),
	'1 day 00:00:00.5|01:00:00', 'heap: the settings of what has become a stream again');

$node->stop;
done_testing();
