# Installed objects that the library was not made for: nothing of them is read or written, whoever asks is told what to
# do, inserts go on, and once library and objects fit again each row is counted once.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('layout');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
timezone = 'UTC'
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE orders (id int, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 day');
	CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) AS orders FROM orders, tumble(event_time, '1 hour') GROUP BY window_start, window_end;
	INSERT INTO orders VALUES (1, '2026-01-01 00:01');
	SELECT streamfuse.flush()});
my $layout = $node->safe_psql('postgres', 'SELECT streamfuse.layout()');

sub set_layout
{
	my $number = shift;
	$node->safe_psql('postgres', qq{
		CREATE OR REPLACE FUNCTION streamfuse.layout() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT $number'});
	return;
}

sub is_refused
{
	my ($command, $hint) = @_;
	my ($status, $stdout, $stderr) = $node->psql('postgres', $command);
	like($stderr, qr/the installed extension "streamfuse" does not fit its library.*HINT:  \Q$hint\E/s, $command);
	return;
}

sub worker_leaves
{
	$node->safe_psql('postgres', q{INSERT INTO orders VALUES (1, '2026-01-01 00:02')});
	ok( $node->poll_query_until('postgres',
			q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'streamfuse worker')}),
		'the worker leaves');
	return;
}

# Objects of an older layout.
set_layout($layout - 1);
worker_leaves();
my $update = 'Use ALTER EXTENSION streamfuse UPDATE.';
is_refused('SELECT * FROM sales', $update);
is_refused('SELECT streamfuse.flush()', $update);
is_refused(q{SELECT streamfuse.advance_watermark('orders', '2026-01-01')}, $update);
is_refused(q{SET streamfuse.read_backfilling = 'partial'; SELECT * FROM sales}, $update);
is_refused('TRUNCATE orders', $update);
is_refused(q{CREATE MATERIALIZED VIEW more WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) FROM orders, tumble(event_time, '1 day') GROUP BY window_start, window_end}, $update);
$node->safe_psql('postgres', q{
	INSERT INTO orders VALUES (3, '2026-01-01 00:03'), (4, '2026-01-01 00:04');
	CREATE TABLE plain (id int);
	INSERT INTO plain SELECT id FROM orders;
	DROP TABLE plain});
pass('all else goes on');

my $said = () = slurp_file($node->logfile) =~ /continuous views of database "postgres" are not maintained/g;
is($said, 1, 'the log says it once');

# The update makes them fit, and asks for a worker.
$node->safe_psql('postgres', qq{
	BEGIN;
	CREATE OR REPLACE FUNCTION streamfuse.layout() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT $layout';
	ALTER EXTENSION streamfuse UPDATE;
	COMMIT});
ok( $node->poll_query_until('postgres',
		q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'streamfuse worker')}),
	'a worker is back');
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
is($node->safe_psql('postgres', 'SELECT orders FROM sales'), '4', 'each row is counted once');

# Objects of a newer layout than the server has loaded, also when it starts with them.
set_layout($layout + 1);
worker_leaves();
is_refused('SELECT * FROM sales', 'Restart the server to load the newer library.');
$node->restart;
is_refused('SELECT * FROM sales', 'Restart the server to load the newer library.');

# An extension from before there were numbers can still be dropped, and a view of it.
$node->safe_psql('postgres', q{
	ALTER EXTENSION streamfuse DROP FUNCTION streamfuse.layout();
	DROP FUNCTION streamfuse.layout()});
is_refused('SELECT * FROM sales', $update);
$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW sales');
$node->safe_psql('postgres', 'DROP EXTENSION streamfuse CASCADE');
pass('dropped');
$node->stop;
done_testing();
