# Partitions come and go while a view reads their parent: a partition that is detached and attached again is counted once,
# also what was inserted in between, also over a termination of the worker.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server qw(fault fault_hit);

my $node = PostgreSQL::Test::Cluster->new('partitions');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
timezone = 'UTC'
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE orders (id int, region int, event_time timestamptz NOT NULL) PARTITION BY LIST (region);
	CREATE TABLE orders_1 PARTITION OF orders FOR VALUES IN (1) USING stream;
	CREATE TABLE orders_2 PARTITION OF orders FOR VALUES IN (2) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 day');
	CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
	SELECT window_start, region, count(*) AS orders FROM orders, tumble(event_time, '5 minutes')
	GROUP BY window_start, window_end, region});

sub insert_rows
{
	my $region = shift;
	my $table = shift // 'orders';
	$node->safe_psql('postgres', qq{
		INSERT INTO $table SELECT g, $region, '2026-01-01'::timestamptz + g * interval '1 s' FROM generate_series(1, 500) g});
	return;
}

sub is_counted
{
	my ($first, $second, $name) = @_;
	$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
	is($node->safe_psql('postgres', 'SELECT region, sum(orders) FROM sales GROUP BY region ORDER BY region'),
		join("\n", grep { !/\|0/ } "1|$first", "2|$second"), $name);
	return;
}

sub terminate_worker
{
	$node->safe_psql('postgres',
		q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type = 'streamfuse worker'});
	return;
}

insert_rows($_) for 1, 2;
is_counted(500, 500, 'two partitions');

$node->safe_psql('postgres', 'ALTER TABLE orders DETACH PARTITION orders_1');
insert_rows(2);
is_counted(500, 1000, 'what was counted stays when a partition is detached');
insert_rows(1, 'orders_1');
terminate_worker();
insert_rows(2);
is_counted(500, 1500, 'rows of a detached partition do not count');

$node->safe_psql('postgres', 'ALTER TABLE orders ATTACH PARTITION orders_1 FOR VALUES IN (1)');
insert_rows(2);
is_counted(1000, 2000, 'attached again: each row once');
$node->stop('immediate');
$node->start;
is_counted(1000, 2000, 'after a crash');

# A view that is made while a partition is detached counts it from the beginning; the older one does not.
$node->safe_psql('postgres', q{
	ALTER TABLE orders DETACH PARTITION orders_1;
	CREATE MATERIALIZED VIEW later WITH (streamfuse.continuous) AS
	SELECT window_start, region, count(*) AS orders FROM orders, tumble(event_time, '5 minutes')
	GROUP BY window_start, window_end, region});
is_counted(1000, 2000, 'beside a second view');
$node->safe_psql('postgres', 'ALTER TABLE orders ATTACH PARTITION orders_1 FOR VALUES IN (1)');
insert_rows(1);
is_counted(1500, 2000, 'both views read it again: the older');
is($node->safe_psql('postgres', 'SELECT region, sum(orders) FROM later GROUP BY region ORDER BY region'), "1|1500\n2|2000",
	'and the younger');

$node->safe_psql('postgres', 'DROP TABLE orders_2');
insert_rows(1);
is_counted(2000, 2000, 'a partition is dropped: what was counted stays');

# Partitions are attached while the worker is in the middle of reading which there are.
SKIP:
{
	skip 'needs a build with CHECK=1', 1 if $node->psql('postgres', q{
		CREATE FUNCTION fault_set(name text, action text, after bigint DEFAULT 0, times bigint DEFAULT 0) RETURNS void LANGUAGE c STRICT
			AS '$libdir/streamfuse', 'sf_fault_set';
		CREATE FUNCTION fault_wait_hit(name text) RETURNS void LANGUAGE c STRICT
			AS '$libdir/streamfuse', 'sf_fault_wait_hit'}, on_error_stop => 1, stderr => \my $ignored) != 0;
	$node->safe_psql('postgres', 'CREATE TABLE orders_4 (LIKE orders) USING stream');
	fault($node, 'source-leaves-read', 'wait');
	$node->safe_psql('postgres', 'CREATE TABLE orders_3 PARTITION OF orders FOR VALUES IN (3) USING stream');
	insert_rows(1);
	fault_hit($node, 'source-leaves-read');
	$node->safe_psql('postgres', 'ALTER TABLE orders ATTACH PARTITION orders_4 FOR VALUES IN (4)');
	fault($node, 'source-leaves-read', 'none');
	insert_rows($_) for 3, 4;
	$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
	is($node->safe_psql('postgres', 'SELECT region, sum(orders) FROM sales WHERE region > 2 GROUP BY region ORDER BY region'),
		"3|500\n4|500", 'a partition is attached while the others are looked up');
}
$node->stop;
done_testing();
