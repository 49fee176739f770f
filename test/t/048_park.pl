# Commands that must be alone in a database, while it has continuous views: they succeed, nothing is lost by them, and the
# worker comes back, also when the session that runs such a command is terminated.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('park');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
timezone = 'UTC'
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE orders (id int, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
	CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) AS orders FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
	INSERT INTO orders SELECT g, '2026-01-01'::timestamptz + g * interval '1 min' FROM generate_series(0, 99) g;
	SELECT streamfuse.flush()});

my $next = 100;

sub is_right
{
	my ($database, $name) = @_;
	$node->safe_psql($database, qq{
		INSERT INTO orders SELECT g, '2026-01-01'::timestamptz + g * interval '1 min' FROM generate_series($next, $next + 11) g;
		SELECT streamfuse.flush()});
	$next += 12;
	is($node->safe_psql($database, 'SELECT * FROM sales ORDER BY 1'),
		$node->safe_psql($database, q{SELECT window_start, count(*) FROM orders, tumble(event_time, '5 minutes')
			GROUP BY window_start, window_end ORDER BY 1}), $name);
	return;
}

$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE shop');
is_right('shop', 'the template goes on');
$node->safe_psql('postgres', 'ALTER DATABASE shop RENAME TO store');
is_right('store', 'renamed');

# A command that gives up, because somebody is connected, or because its session is terminated.
my $session = $node->background_psql('store');
$session->query_safe('SELECT count(*) FROM sales');
my $rename = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $rename->query_safe('SELECT pg_backend_pid()');
$rename->query_until(qr/go/, "\\echo go\nALTER DATABASE store RENAME TO other;\n");
$node->poll_query_until('postgres', "SELECT query LIKE 'ALTER%' AND state = 'active' FROM pg_stat_activity WHERE pid = $pid");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
eval { $rename->quit };
is_right('store', 'after a command whose session was terminated');
is($session->query_safe('SELECT sum(orders) FROM sales'), $next, 'a session that stayed reads on');
$session->quit;

# Two commands at a time: the worker stays away until both have ended.  The first waits for a lock; the second gives up.
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN');
$holder->query_safe('COMMENT ON DATABASE store IS $$held$$');
$holder->query_safe('ALTER DATABASE store RENAME TO held');
my $waiter = $node->background_psql('postgres', on_error_stop => 0);
$waiter->query_until(qr/go/, "\\echo go\nALTER DATABASE store RENAME TO shop;\n");
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'ALTER%shop%' AND wait_event_type = 'Lock')})
	or die 'the second command does not wait';
my ($status, undef, $stderr) = $node->psql('postgres', q{SET lock_timeout = '1ms'; ALTER DATABASE store RENAME TO other});
like($stderr, qr/lock timeout/, 'a third command gives up');
# A worker that was free to come would be there before the next one of another database.
$node->safe_psql('postgres', q{CREATE EXTENSION streamfuse; CREATE TABLE t (event_time timestamptz NOT NULL) USING stream;
	CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) FROM t, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
	SELECT streamfuse.flush()});
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'streamfuse worker' AND datname <> 'postgres' AND datname <> 'copy'}),
	'0', 'the worker does not come back while another command waits');
$holder->query_safe('ROLLBACK');
$waiter->query('');
is($waiter->{stderr}, '', 'so that the one that waited is alone');
$holder->quit;
$waiter->quit;
is_right('shop', 'after both');
$node->safe_psql('postgres', 'ALTER DATABASE shop RENAME TO store');

$node->safe_psql('postgres', 'DROP DATABASE store');
is_right('copy', 'another database is not disturbed');
$node->safe_psql('copy', 'DROP EXTENSION streamfuse CASCADE');
$node->safe_psql('postgres', 'DROP DATABASE copy');
unlike(slurp_file($node->logfile), qr/TRAP|terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
