# Streams, continuous views and closed windows travel with pg_dump, in each of its forms.  A restored view is inert until
# the REFRESH that pg_dump writes after the data; that adopts the restored output table, and the view goes on from there.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'streamfuse'\nmax_worker_processes = 30");
$node->start;
my $port = $node->port;
my $dir = PostgreSQL::Test::Utils::tempdir;

# The source: one view with closed windows and an open one, one that began later, one of another owner, with a reader.
$node->safe_psql('postgres', 'CREATE ROLE owner; CREATE ROLE reader');
$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql(
	'source', q{
	CREATE EXTENSION streamfuse;
	CREATE SCHEMA shop;
	SET search_path = shop, public;
	CREATE TABLE orders (category text, amount int, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 minute');
	INSERT INTO orders SELECT 'c' || i % 3, i, '2026-01-01 00:00+00'::timestamptz + i * interval '1 minute'
		FROM generate_series(1, 60) i;
	GRANT SELECT ON orders TO owner;
	SET TimeZone = 'Asia/Tokyo';
	CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous, fillfactor = 70) AS
		SELECT window_start, window_end, category, sum(amount) AS revenue, count(*) AS orders
		FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, category;
	CREATE MATERIALIZED VIEW late WITH (streamfuse.continuous, streamfuse.emit = final) AS
		SELECT window_start, sum(amount) FROM orders, tumble(event_time, '5 minutes')
		GROUP BY window_start, window_end WITH NO DATA;
	ALTER MATERIALIZED VIEW late OWNER TO owner;
	CREATE INDEX sales_category ON sales (category);
	COMMENT ON MATERIALIZED VIEW sales IS 'what we earn';
	GRANT SELECT ON sales TO reader;
	CREATE VIEW top AS SELECT category, sum(revenue) AS revenue FROM sales GROUP BY category;
	CREATE MATERIALIZED VIEW snapshot AS SELECT * FROM top;
});
$node->safe_psql('source', q{SELECT streamfuse.flush()});

my $rows = q{SELECT window_start AT TIME ZONE 'UTC', category, revenue, orders FROM shop.sales ORDER BY 1, 2};
my $closed = q{SELECT window_start AT TIME ZONE 'UTC', category, revenue, orders FROM shop.sales_closed ORDER BY 1, 2};
my $views = q{SELECT v.view, v.output, v.streams, emit, begins_at AT TIME ZONE 'UTC', adopted_until AT TIME ZONE 'UTC'
	FROM streamfuse.views v
	JOIN streamfuse.fragment f ON f.view = v.view::oid ORDER BY v.view::text};
my $source_rows = $node->safe_psql('source', $rows);
my $source_closed = $node->safe_psql('source', $closed);
isnt($source_closed, '', 'the source has closed windows');
isnt($source_rows, $source_closed, 'and open ones');

sub command
{
	my ($name, $program, @arguments) = @_;
	command_ok([ $program, '-p', $port, '-h', $node->host, @arguments ], $name);
	return;
}

sub fresh
{
	my ($database) = @_;
	$node->safe_psql('postgres', "DROP DATABASE IF EXISTS $database");
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	return;
}

# What must hold of a database that has all of the source.
sub check_whole
{
	my ($database, $name) = @_;
	is($node->safe_psql($database, $rows), $source_rows, "$name: rows");
	is($node->safe_psql($database, $closed), $source_closed, "$name: closed rows are there once");
	is($node->safe_psql($database, q{SELECT count(*) FROM shop.snapshot}), '3', "$name: views over the view");
	$node->safe_psql($database, 'SELECT streamfuse.flush()');
	is($node->safe_psql($database, $rows), $source_rows, "$name: rows after the worker caught up");
	is($node->safe_psql($database, $closed), $source_closed, "$name: closed windows were not closed again");
	is($node->safe_psql($database, 'SELECT count(*) FROM streamfuse.dirty_windows'),
		'0', "$name: rows of closed windows are not missed");
	return;
}

my $set = "SET search_path = shop;";

# Plain text.
command('pg_dump', 'pg_dump', '-f', "$dir/plain.sql", 'source');
fresh('plain');
command('restore', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain.sql", 'plain');
check_whole('plain', 'plain');
is( $node->safe_psql('plain', $set . $views),
	"late|late_closed|{orders}|final|2026-01-01 01:05:00|\nsales|sales_closed|{orders}|live||2026-01-01 00:55:00",
	'output tables were adopted');
is($node->safe_psql('plain', q{SELECT obj_description('shop.sales'::regclass)}), 'what we earn', 'comment');
is( $node->safe_psql(
		'plain', q{SELECT option_value ~ 'Asia/Tokyo' FROM pg_class, pg_options_to_table(reloptions)
		WHERE oid = 'shop.sales'::regclass AND option_name = 'streamfuse.settings'}),
	't', 'settings');
is($node->safe_psql('plain', q{SELECT has_table_privilege('reader', 'shop.sales', 'SELECT')}), 't', 'privileges');
is($node->safe_psql('plain', q{SELECT tablename FROM pg_indexes WHERE indexname = 'sales_category'}),
	'sales_closed', 'index');

# New rows go on where the source ended.
$node->safe_psql(
	'plain', q{INSERT INTO shop.orders VALUES ('c0', 1000, '2026-01-01 02:00+00');
	SELECT streamfuse.flush()});
is( $node->safe_psql('plain', $closed),
	$node->safe_psql('plain', q{SELECT window_start AT TIME ZONE 'UTC', category, sum(amount), count(*)
		FROM shop.orders, tumble(event_time, '5 minutes') WHERE event_time < '2026-01-01 01:55+00'
		GROUP BY window_start, window_end, category ORDER BY 1, 2}),
	'the restored view closes further windows');

# Dump of a restored database: nothing is lost on the way round.
command('pg_dump of a restored database', 'pg_dump', '-f', "$dir/again.sql", 'plain');
fresh('again');
command('restore again', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/again.sql", 'again');
is($node->safe_psql('again', $rows), $node->safe_psql('plain', $rows), 'rows after the second restore');

# Custom format in parallel; over an existing database.
command('pg_dump -Fc', 'pg_dump', '-Fc', '-f', "$dir/custom", 'source');
fresh('custom');
command('pg_restore -j4', 'pg_restore', '-j4', '--exit-on-error', '-d', 'custom', "$dir/custom");
check_whole('custom', 'custom');
for my $time (1 .. 2)
{
	command("pg_restore --clean, $time", 'pg_restore', '--clean', '--if-exists', '--exit-on-error', '-d', 'custom',
		"$dir/custom");
	check_whole('custom', "cleaned, $time");
}

# Without access methods in the dump the view is still one; a stream that is none makes the REFRESH fail.
command('--no-table-access-method', 'pg_dump', '--no-table-access-method', '-f', "$dir/heap.sql", 'source');
fresh('heap');
command_checks_all(
	[ 'psql', '-X', '-q', '-p', $port, '-h', $node->host, '-f', "$dir/heap.sql", 'heap' ],
	0, [qr//], [qr/is not a stream/], 'restore without access methods');
is($node->safe_psql('heap', q{SELECT view, status FROM streamfuse.views ORDER BY view::text}),
	"shop.late|inert\nshop.sales|inert", 'views over heap tables stay inert');

# An inert view takes its table along, unless that has become somebody else's.
$node->safe_psql('heap', q{
	ALTER TABLE shop.late_closed OWNER TO reader;
	DROP MATERIALIZED VIEW shop.sales CASCADE;
	DROP MATERIALIZED VIEW IF EXISTS shop.late, shop.none});
is($node->safe_psql('heap', q{SELECT relname FROM pg_class WHERE relname ~ '_closed$'}), 'late_closed',
	'tables after inert views are dropped');

# Without owners, one schema, the schema alone.
command('--no-owner', 'pg_dump', '--no-owner', '-f', "$dir/noowner.sql", 'source');
fresh('noowner');
command('restore without owners', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/noowner.sql", 'noowner');
check_whole('noowner', 'without owners');

command('pg_dump -n', 'pg_dump', '-n', 'shop', '-f', "$dir/schema.sql", 'source');
fresh('one_schema');
$node->safe_psql('one_schema', 'CREATE EXTENSION streamfuse');
command('restore one schema', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/schema.sql", 'one_schema');
check_whole('one_schema', 'one schema');

# Definitions and data apart: no REFRESH is in either, so the user gives it.
command('pg_dump -s', 'pg_dump', '-s', '-f', "$dir/definitions.sql", 'source');
command('pg_dump -a', 'pg_dump', '-a', '-f', "$dir/data.sql", 'source');
fresh('apart');
command('restore definitions', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/definitions.sql", 'apart');
my ($status, $out, $error) = $node->psql('apart', 'SELECT * FROM shop.sales');
isnt($status, 0, 'an inert view cannot be read');
like($error, qr/HINT:.*REFRESH MATERIALIZED VIEW/, 'and says what to do');
command('restore data', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/data.sql", 'apart');
$node->safe_psql('apart',
	'REFRESH MATERIALIZED VIEW shop.sales; REFRESH MATERIALIZED VIEW shop.late; REFRESH MATERIALIZED VIEW shop.snapshot');
check_whole('apart', 'apart');
($status, $out, $error) = $node->psql('apart', 'COPY shop.sales_closed FROM stdin');
like($error, qr/cannot change or lock rows/, 'the output of an active view is closed to COPY');

# Single tables.  Without its output a view is derived anew from the stream.
command('pg_dump -t', 'pg_dump', '-t', 'shop.orders', '-t', 'shop.sales', '-f', "$dir/tables.sql", 'source');
fresh('tables');
$node->safe_psql('tables', 'CREATE EXTENSION streamfuse; CREATE SCHEMA shop');
command('restore tables', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/tables.sql", 'tables');
is($node->safe_psql('tables', $rows), $source_rows, 'rows of a view restored by itself');
is( $node->safe_psql('tables', $set . $views),
	'sales|sales_closed|{orders}|live||', 'its output table was made anew');
$node->safe_psql('tables', 'SELECT streamfuse.flush()');
is($node->safe_psql('tables', $closed), $source_closed, 'and filled');

command('pg_dump -t stream', 'pg_dump', '-t', 'shop.orders', '-f', "$dir/stream.sql", 'source');
fresh('stream');
$node->safe_psql('stream', 'CREATE EXTENSION streamfuse; CREATE SCHEMA shop');
command('restore stream', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/stream.sql", 'stream');
is($node->safe_psql('stream', 'SELECT count(*) FROM shop.orders'), '60', 'rows of the stream');
is($node->safe_psql('stream', q{SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE relname = 'orders'}),
	'stream', 'it is a stream');

# Hours of a time that the watermark was not on when the view was made are keys, and no windows after a restore.
fresh('keys');
$node->safe_psql('keys', q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE notes (noted timestamptz, at timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('notes', 'at');
	CREATE MATERIALIZED VIEW by_note WITH (streamfuse.continuous) AS
		SELECT date_trunc('hour', noted, 'UTC') AS hour, count(*) FROM notes GROUP BY 1;
	ALTER TABLE notes ALTER noted SET NOT NULL;
	SELECT streamfuse.set_watermark('notes', 'noted');
	INSERT INTO notes VALUES ('2026-01-01 10:10', '2026-01-01'), ('2026-01-01 12:10', '2026-01-01')});
command('pg_dump keys', 'pg_dump', '-f', "$dir/keys.sql", 'keys');
fresh('restored');
command('restore keys', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/keys.sql", 'restored');
$node->safe_psql('restored', q{INSERT INTO notes VALUES ('2026-01-01 10:20', '2026-01-01'); SELECT streamfuse.flush()});
is($node->safe_psql('restored', q{SELECT string_agg(count::text, ',' ORDER BY hour), (SELECT count(*) FROM by_note_closed) FROM by_note}),
	'2,1|0', 'a key like a window stays one');

# Internal tables are not dumped.
unlike(slurp_file("$dir/plain.sql"), qr/streamfuse\.(fragment|progress|state|dirty_window)/, 'positions are not dumped');

$node->stop;
done_testing();
