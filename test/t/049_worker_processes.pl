# Too few worker processes: whoever waits for a worker is told so; what needs none works.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('worker_processes');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
timezone = 'UTC'
});

sub restart_with
{
	my $processes = shift;
	$node->append_conf('postgresql.conf', "max_worker_processes = $processes");
	$node->restart;
	return;
}

sub is_refused
{
	my ($command, $name) = @_;
	my ($status, $stdout, $stderr) = $node->psql('postgres', $command);
	like(
		$stderr,
		qr/no worker process is free for the continuous views of this database.*HINT:  Increase max_worker_processes/s,
		$name);
	return;
}

# The replication launcher takes one process, the streamfuse launcher another.
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE orders (id int, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 day');
	CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) AS orders FROM orders, tumble(event_time, '1 hour') GROUP BY window_start, window_end;
	INSERT INTO orders VALUES (1, '2026-01-01 00:01')});
is_refused('SELECT streamfuse.flush()', 'flush without a process for the worker');
is($node->safe_psql('postgres', 'SELECT orders FROM sales'), '1', 'a view not yet filled is read as a batch');

restart_with(8);
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
is($node->safe_psql('postgres', 'SELECT orders FROM sales'), '1', 'filled');

for my $processes (2, 1)
{
	my $name = $processes == 2 ? 'no process for the worker' : 'no process for the launcher';

	restart_with($processes);
	is_refused('SELECT orders FROM sales', "$name: a view that was filled");
	is_refused(q{SET streamfuse.read_consistency = 'latest'; SELECT orders FROM sales}, "$name: latest");
	is_refused('SELECT streamfuse.flush()', "$name: flush");
	is_refused(q{SELECT streamfuse.verify('sales')}, "$name: verify");
	$node->safe_psql('postgres', q{INSERT INTO orders VALUES (2, '2026-01-01 00:02')});
}

restart_with(8);
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
is($node->safe_psql('postgres', 'SELECT orders FROM sales'), '3', 'all is counted later');
$node->stop;
done_testing();
