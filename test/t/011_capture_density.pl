# A stream that is captured takes hardly more room than a heap does, with many writers of single rows.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Streamfuse::Capture;

# Autovacuum at its usual pace: an ANALYZE makes each backend forget the page it was filling, and a stream, which does not
# look for room in older pages, leaves it as it is.
my $node = capture_node('density', 'autovacuum_naptime = 1min');
capture_setup($node);
$node->safe_psql('postgres', 'CREATE TABLE readings_heap (id int, filler text) USING heap');

sub rows_per_page
{
	my ($table) = @_;

	$node->pgbench('--no-vacuum --client=32 --transactions=1500 --protocol=prepared', 0, [qr/processed: 48000\/48000/],
		[qr/^$/], "writers of $table", { "single_$table" => "INSERT INTO $table VALUES (1, repeat('x', 60));" });
	return $node->safe_psql('postgres', "SELECT count(*) / (pg_relation_size('$table') / 8192.0) FROM $table");
}

my $session = start_capture($node);
my $stream = rows_per_page('readings');
stop_capture($node, $session);
my $heap = rows_per_page('readings_heap');

cmp_ok($stream, '>=', 0.9 * $heap, 'rows per page with 32 writers');
note("rows per page: stream $stream, heap $heap");
is($node->safe_psql('postgres', 'SELECT rows, sum FROM progress'), '48000|48000', 'all were counted');

$node->stop;
done_testing();
