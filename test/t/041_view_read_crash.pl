# Reading after a crash: a statement that comes before the worker has recovered waits for it, and finds every committed
# row once, in open and closed windows.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server;

my $node = start_server('main', "streamfuse.checkpoint_interval = '1min'");
$node->safe_psql('postgres', q{
	CREATE TABLE orders (id int, category text, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
	CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
	SELECT window_start, category, count(*) AS orders
	FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, category;
	SELECT streamfuse.flush();});

my $view = 'SELECT * FROM sales ORDER BY 1, 2';
my $batch = q{SELECT window_start, category, count(*) FROM orders, tumble(event_time, '5 minutes')
	GROUP BY window_start, window_end, category ORDER BY 1, 2};
for my $round (1 .. 5)
{
	$node->safe_psql('postgres', qq{
		INSERT INTO orders SELECT g, 'c' || g % 3, '2026-01-01 10:00'::timestamptz + $round * interval '7 min' + g * interval '1 s'
		FROM generate_series(1, 300) g});
	$node->stop('immediate');
	$node->start;
	is($node->safe_psql('postgres', $view), $node->safe_psql('postgres', $batch), "crash $round: every row once");
	like($node->safe_psql('postgres', "EXPLAIN $view"), qr/StreamfuseLive/, "crash $round: read live");
}

# A worker that is ended by hand leaves its groups behind; the next one takes them over.
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'streamfuse worker'});
is($node->safe_psql('postgres', $view), $node->safe_psql('postgres', $batch), 'a terminated worker: every row once');
$node->stop;

done_testing();
