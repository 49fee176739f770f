# Continuous views on a physical standby: closed windows and, as of the last checkpoint, open ones; each window once at
# any moment of replay; and after promotion the count goes on with no row lost or doubled.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server qw(start_standby);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
streamfuse.checkpoint_interval = '50ms'
streamfuse.commit_interval = 0
timezone = 'UTC'
fsync = off
});
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE orders (id int, category text, price numeric, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
	CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
	SELECT window_start, category, sum(price) AS revenue, count(*) AS orders, max(category) AS name
	FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, category;
	CREATE MATERIALIZED VIEW closed_sales WITH (streamfuse.continuous, streamfuse.emit = 'final') AS
	SELECT window_start, count(*) AS orders FROM orders, tumble(event_time, '5 minutes')
	GROUP BY window_start, window_end;
	CREATE MATERIALIZED VIEW priced WITH (streamfuse.continuous) AS SELECT id, category, price * 2 AS twice FROM orders;
	INSERT INTO orders SELECT g, nullif('c' || g % 7, 'c0'), g * 1.25, '2026-01-01 10:00'::timestamptz + g * interval '1 s'
	FROM generate_series(1, 1000) g;
	SELECT streamfuse.flush();});

my $standby = start_standby($primary);

# Open windows come with the next checkpoint: until then fewer rows are there, never more.
my $total = 'SELECT sum(orders) FROM sales';
my $all = 'SELECT * FROM sales ORDER BY 1, 2';
ok($standby->poll_query_until('postgres', $total, '1000'), 'all rows arrive on the standby');
is($standby->safe_psql('postgres', $all), $primary->safe_psql('postgres', $all), 'the standby gives the same answer');
is($standby->safe_psql('postgres', "SELECT revenue FROM sales WHERE category = 'c3' AND window_start = '2026-01-01 10:15'"),
	$primary->safe_psql('postgres', "SELECT revenue FROM sales WHERE category = 'c3' AND window_start = '2026-01-01 10:15'"),
	'conditions on key and window');
is($standby->safe_psql('postgres', 'SELECT * FROM closed_sales ORDER BY 1'),
	$primary->safe_psql('postgres', 'SELECT * FROM closed_sales ORDER BY 1'), 'a view of closed windows');

is($standby->safe_psql('postgres', 'SELECT count(*), sum(twice) FROM priced'),
	$primary->safe_psql('postgres', 'SELECT count(*), sum(price * 2) FROM orders'), 'a view without groups');

is($standby->safe_psql('postgres', q{SELECT string_agg(trim(line), '|') FROM streamfuse.explain('sales') line
		WHERE line ~ 'View|Key|Stream|Watermark'}),
	'Continuous View sales|Group Key: category  (type=text, compared_by=bytes)|->  Stream orders'
	. '|Watermark: 2026-01-01T10:16:40+00:00|Watermark Waits for: the primary server', 'a view is explained');
like($standby->safe_psql('postgres', q{SELECT * FROM streamfuse.explain('SELECT category, count(*) FROM orders GROUP BY 1')}),
	qr/^Continuous Query\n.*Stream orders/s, 'so is a query');

# While windows close and are replayed, no window is doubled and no closed one is missing.
my $wrong = q{
	SELECT window_start, category FROM sales GROUP BY 1, 2 HAVING count(*) > 1
	UNION ALL SELECT window_start, 'missing' FROM closed_sales WHERE window_start NOT IN (SELECT window_start FROM sales)};
my $found = '';
for my $round (1 .. 40)
{
	$primary->safe_psql('postgres', qq{
		INSERT INTO orders SELECT g, 'c' || g % 7, 1, '2026-01-01 10:15'::timestamptz + $round * interval '5 min' + g * interval '1 s'
		FROM generate_series(1, 100) g});
	$found .= $standby->safe_psql('postgres', $wrong);
}
is($found, '', 'each window once, at any moment of replay');
ok($standby->poll_query_until('postgres', $total, '5000'), 'all rows arrive while windows close');
is($standby->safe_psql('postgres', $all), $primary->safe_psql('postgres', $all), 'the same answer after that');

# What a standby cannot do.
my ($status, $out, $err) = $standby->psql('postgres', "SET streamfuse.read_consistency = 'latest'; $total");
like($err, qr/cannot be read with "latest" consistency on a standby/, 'latest is refused');

# Failover: the new primary goes on from the last durable commit.
$primary->safe_psql('postgres', 'SELECT streamfuse.flush()');
my $answer = $primary->safe_psql('postgres', $all);
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
$primary->stop('immediate');
$standby->promote;
is($standby->safe_psql('postgres', $all), $answer, 'the same answer after promotion');
$standby->safe_psql('postgres', q{
	INSERT INTO orders VALUES (1, 'c1', 1, '2026-01-01 13:36:50'), (2, 'c2', 1, '2026-01-01 13:40');
	SELECT streamfuse.flush();});
is($standby->safe_psql('postgres', $total), '5002', 'rows are counted once more');
is($standby->safe_psql('postgres', 'SELECT sum(orders) FROM closed_sales'),
	$standby->safe_psql('postgres', q{SELECT count(*) FROM orders WHERE event_time < '2026-01-01 13:40'}),
	'windows close on the new primary');
is($standby->safe_psql('postgres', q{
	SELECT count(*) FROM ((TABLE priced EXCEPT ALL SELECT id, category, price * 2 FROM orders)
		UNION ALL (SELECT id, category, price * 2 FROM orders EXCEPT ALL TABLE priced)) d}), '0', 'rows without groups are there once');
$standby->stop;

done_testing();
