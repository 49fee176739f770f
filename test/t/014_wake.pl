# A commit reaches the views of its streams without help from a later one, also when it falls into a moment in which the
# worker is busy and cannot know of it.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use Streamfuse::Capture;

# Nothing but the test may commit, since every commit wakes a worker that awaits transactions.
my $node = capture_node('wake', 'autovacuum = off');
$node->safe_psql('postgres', q{
	CREATE FUNCTION fault_set(name text, action text) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_set';
	CREATE FUNCTION fault_wait_hit(name text) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_wait_hit';
	CREATE TABLE orders (amount int, event_time timestamptz NOT NULL) USING stream;
	CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
	SELECT window_start, window_end, sum(amount) AS revenue
	FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
	SELECT streamfuse.flush('sales');});

# The only session that looks stays in one transaction.
my $reader = $node->background_psql('postgres', on_error_die => 1);
$reader->query_safe('BEGIN');

sub sees
{
	my ($revenue, $name) = @_;
	my $seen = '';

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$seen = $reader->query_safe('SELECT sum(revenue) FROM sales');
		last if $seen eq $revenue;
		usleep(100_000);
	}
	is($seen, $revenue, $name);
}

my $amount = "INSERT INTO orders VALUES (%d, '2026-01-01 00:00+00')";

$node->safe_psql('postgres', sprintf($amount, 1));
sees('1', 'a commit while the worker sleeps');

$node->safe_psql('postgres', 'BEGIN; ' . sprintf($amount, 10) . q{; PREPARE TRANSACTION 'p1'});
$node->safe_psql('postgres', q{COMMIT PREPARED 'p1'});
sees('11', 'a prepared transaction');

# The worker holds a snapshot that sees nothing of what comes now, has nothing to take in and is waiting for something
# else, which takes the signal away.  A prepared transaction makes that it is woken without cause.
$node->safe_psql('postgres', 'BEGIN; ' . sprintf($amount, 5) . q{; PREPARE TRANSACTION 'held'});
sees('11', 'nothing of a transaction that is prepared');
my $expected = 11;
for my $point ('tick-after-snapshot', 'tick-before-publish')
{
	my $control = $node->background_psql('postgres', on_error_die => 1);

	$control->query_safe("SELECT fault_set('$point', 'wait')");
	$control->query_safe("SELECT fault_wait_hit('$point')");
	$control->query_safe('BEGIN');
	$node->safe_psql('postgres', sprintf($amount, 100));
	$control->query_safe("SELECT fault_set('$point', 'none')");
	$expected += 100;
	sees($expected, "a commit while the worker is at $point");
	$control->quit;
}
$node->safe_psql('postgres', q{COMMIT PREPARED 'held'});
$expected += 5;
sees($expected, 'what was prepared before that');

# A transaction is prepared and the worker's snapshot sees it running; it is committed before the worker says that it
# awaits any.
{
	my $control = $node->background_psql('postgres', on_error_die => 1);

	$control->query_safe(q{SELECT fault_set('tick-after-snapshot', 'wait')});
	$node->safe_psql('postgres', 'BEGIN; ' . sprintf($amount, 10000) . q{; PREPARE TRANSACTION 'p2'});
	$control->query_safe(q{SELECT fault_wait_hit('tick-after-snapshot')});
	$node->safe_psql('postgres', q{COMMIT PREPARED 'p2'});
	$control->query_safe('BEGIN');
	$control->query_safe(q{SELECT fault_set('tick-after-snapshot', 'none')});
	$expected += 10000;
	sees($expected, 'a prepared transaction, committed between the snapshot and the wish to be woken');
	$control->quit;
}

$reader->quit;
$node->stop;
done_testing();
