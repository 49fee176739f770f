# What streams can do, or are refused, on PostgreSQL's newer versions only.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Streamfuse::Capture;

my $node = capture_node('versions');
my $view = "CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS SELECT window_start, sum(amount) AS total
	FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end";

# Since 17 a partitioned table may name the access method of partitions to come.
my $partitioned = "CREATE TABLE orders (event_time timestamptz NOT NULL, amount int) PARTITION BY RANGE (event_time) USING stream";
if ($node->pg_version >= 17)
{
	$node->safe_psql('postgres', qq{
		$partitioned;
		CREATE TABLE orders_2026 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
		SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
		$view});
	$node->safe_psql('postgres', "INSERT INTO orders VALUES ('2026-01-01 10:00', 3), ('2026-01-01 10:01', 4)");
	$node->safe_psql('postgres', "SELECT streamfuse.flush('v')");
	is($node->safe_psql('postgres', 'SELECT total FROM v'), '7', 'partitions use what their parent names');
	$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW v; DROP TABLE orders');
}
else
{
	my ($status, $output, $errors) = $node->psql('postgres', $partitioned);
	like($errors, qr/not supported on a partitioned table/, 'each partition names its access method');
}

# Since 18 a generated column may be one that is not stored.
my $generated = 'CREATE TABLE orders (event_time timestamptz NOT NULL, half int, amount int GENERATED ALWAYS AS (half * 2)';
if ($node->pg_version >= 18)
{
	$node->safe_psql('postgres', "$generated VIRTUAL) USING stream");
	my ($status, $output, $errors) = $node->psql('postgres', $view);
	like($errors, qr/cannot maintain virtual generated columns of a stream/, 'a view cannot read a virtual column');
	$node->safe_psql('postgres', 'DROP TABLE orders');
}
$node->safe_psql('postgres', qq{
	$generated STORED) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
	$view});
$node->safe_psql('postgres', "INSERT INTO orders VALUES ('2026-01-01 10:00', 3), ('2026-01-01 10:01', 4)");
$node->safe_psql('postgres', "SELECT streamfuse.flush('v')");
is($node->safe_psql('postgres', 'SELECT total FROM v'), '14', 'it can read a stored one');

$node->stop;
done_testing();
