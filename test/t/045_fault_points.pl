# The worker is terminated at each named point of a tick, a commit and a recovery, while it waits there; and errors are
# raised there.  Each time its successor, or the next try, finds every committed row once: view and batch agree.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('fault');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
streamfuse.commit_interval = '10ms'
streamfuse.checkpoint_interval = '1s'
timezone = 'UTC'
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION streamfuse;
	CREATE FUNCTION fault_set(text, text) RETURNS void LANGUAGE C AS '$libdir/streamfuse', 'sf_fault_set';
	CREATE FUNCTION fault_wait_hit(text) RETURNS void LANGUAGE C AS '$libdir/streamfuse', 'sf_fault_wait_hit';
	CREATE TABLE orders (id int, category text, amount numeric, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
	CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
	SELECT window_start, category, count(*) AS orders, sum(amount) AS revenue, max(category) AS last
	FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, category;
	CREATE MATERIALIZED VIEW total WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) AS orders
	FROM orders, tumble(event_time, '7 minutes') GROUP BY window_start, window_end;
});
# Not before the library's functions can be called.
eval { $node->safe_psql('postgres', q{SELECT fault_set('none', 'none')}); 1 }
  or plan skip_all => 'needs a build with CHECK=1';
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');

my $batch_sales = q{SELECT window_start, category, count(*) AS orders, sum(amount) AS revenue, max(category) AS last
	FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, category};
my $batch_total = q{SELECT window_start, count(*) AS orders
	FROM orders, tumble(event_time, '7 minutes') GROUP BY window_start, window_end};

sub check
{
	my $name = shift;
	$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
	for my $pair ([ 'sales', $batch_sales ], [ 'total', $batch_total ])
	{
		my ($view, $query) = @$pair;
		is($node->safe_psql('postgres', qq{
			(SELECT 'view', * FROM $view EXCEPT ALL SELECT 'view', * FROM ($query) q)
			UNION ALL (SELECT 'batch', * FROM ($query) q EXCEPT ALL SELECT 'batch', * FROM $view)}),
			'', "$name: $view");
	}
	is($node->safe_psql('postgres', 'SELECT count(*) FROM streamfuse.dirty_windows'), '0', "$name: no row missed");
	return;
}

my $rows = 0;

# Rows of six minutes: one window closes at least, and one stays open.
sub insert_rows
{
	$node->safe_psql('postgres', qq{
		INSERT INTO orders SELECT g, 'c' || g % 3, g % 10, '2026-01-01'::timestamptz + ($rows + g) * interval '6 s'
		FROM generate_series(1, 60) g});
	$rows += 60;
	return;
}

sub worker_pid
{
	return $node->safe_psql('postgres',
		q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'streamfuse worker'});
}

sub fault
{
	my ($point, $action) = @_;
	$node->safe_psql('postgres', "SELECT fault_set('$point', '$action')");
	return;
}

my @points = qw(tick-after-snapshot tick-in-apply tick-before-close tick-before-publish tick-after-publish
  commit-after-output commit-after-state commit-before commit-after);

insert_rows();
check('before');
for my $point (@points)
{
	fault($point, 'wait');
	insert_rows();
	$node->safe_psql('postgres', "SELECT fault_wait_hit('$point')");
	insert_rows();
	my $pid = worker_pid();
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
	fault($point, 'none');
	check("worker terminated at $point");

	# And the server killed there: all that was not durable is done again.
	fault($point, 'wait');
	insert_rows();
	$node->safe_psql('postgres', "SELECT fault_wait_hit('$point')");
	$node->stop('immediate');
	$node->start;
	check("server killed at $point");
}

# A worker that is terminated while it recovers.
fault('recover-member', 'wait');
insert_rows();
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . worker_pid() . ', 60000)');
$node->safe_psql('postgres', q{SELECT fault_wait_hit('recover-member')});
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . worker_pid() . ', 60000)');
fault('recover-member', 'none');
check('worker terminated while it recovers');

insert_rows();
check('at the end');
$node->stop;
done_testing();
