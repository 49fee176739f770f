# A view whose groups do not fit into streamfuse.state_memory waits until they do, and says what it waits for; others go
# on.  It is read as it stood, and goes on by itself as soon as there is room.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('state_memory');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'streamfuse'\nfsync = off\n");
$node->start;

sub sql { return $node->safe_psql('postgres', shift); }

sql(q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE orders (user_id bigint, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time');
	CREATE MATERIALIZED VIEW by_user WITH (streamfuse.continuous) AS
	SELECT window_start, user_id, count(*) FROM orders, tumble(event_time, '1 hour') GROUP BY window_start, window_end, user_id;
	CREATE MATERIALIZED VIEW total WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) FROM orders, tumble(event_time, '1 hour') GROUP BY window_start, window_end;
	INSERT INTO orders SELECT g, '2026-01-01 00:10+00' FROM generate_series(1, 100) g;
	SELECT streamfuse.flush();});

# The setting takes effect at once: sessions see it after the reload, and the worker reads it before its next tick.
sql(q{ALTER SYSTEM SET streamfuse.state_memory = '4MB'});
sql('SELECT pg_reload_conf()');
$node->poll_query_until('postgres', q{SELECT current_setting('streamfuse.state_memory') = '4MB'}) or die;
sql(q{INSERT INTO orders SELECT g, '2026-01-01 00:20+00' FROM generate_series(1, 300000) g});
sql(q{SELECT streamfuse.flush('total')});

my ($status, $out, $error) = $node->psql('postgres', q{SELECT streamfuse.flush('by_user', timeout => '1 ms')});
isnt($status, 0, 'the view does not get there');
like($error, qr/"by_user" has not caught up in time/, 'flush says so');
like($error, qr/streamfuse\.state_memory|memory/, 'and why');
like(slurp_file($node->logfile), qr/Groups of this view cannot go to disk/, 'the log says that its groups stay in memory');
$node->poll_query_until('postgres', q{SELECT attempts >= 4 FROM streamfuse.stat_views WHERE view = 'by_user'::regclass})
	or die 'it is not tried again';
is(sql(q{SELECT status || ' ' || sqlstate FROM streamfuse.stat_views WHERE view = 'by_user'::regclass}), 'retrying 53400',
	'it is tried again more often than a view whose own code raises');
is(sql(q{SELECT status FROM streamfuse.views WHERE view = 'by_user'::regclass}), 'retrying', 'which everybody can see');
like(sql(q{SELECT error FROM streamfuse.stat_views WHERE view = 'by_user'::regclass}), qr/streamfuse\.state_memory|memory/, 'and names what is too small');
is(sql(q{SELECT sum(count) FROM total}), '300100', 'the other view counts all');
is(sql(q{SELECT sum(count) FROM by_user}), '100', 'the one that waits is read as it stood');
sql(q{INSERT INTO orders VALUES (1, '2026-01-01 02:10+00')});
sql(q{SELECT streamfuse.flush('total')});
is(sql(q{SELECT string_agg(count::text, ' ' ORDER BY window_start) FROM total}), '300100 1', 'and others go on');

# Paused, it gives back what it holds, which others may need.
sql(q{SELECT streamfuse.pause('by_user')});
$node->poll_query_until('postgres', q{SELECT groups = 0 FROM streamfuse.stat_views WHERE view = 'by_user'::regclass}) or die;
is(sql(q{SELECT sum(count) FROM by_user}), '100', 'paused, it is read from the tables');
sql(q{SELECT streamfuse.resume('by_user')});
$node->poll_query_until('postgres', q{SELECT status = 'retrying' FROM streamfuse.stat_views WHERE view = 'by_user'::regclass}) or die;
$node->restart;
is(sql(q{SELECT sum(count) FROM by_user}), '100', 'also after a restart');

sql(q{ALTER SYSTEM SET streamfuse.state_memory = '200MB'});
sql('SELECT pg_reload_conf()');
sql(q{SELECT streamfuse.flush('by_user')});
is(sql('SELECT count(DISTINCT user_id), sum(count) FROM by_user'), '300000|300101', 'with more memory it counts all');
is(sql(q{SELECT status, error IS NULL, attempts FROM streamfuse.stat_views WHERE view = 'by_user'::regclass}), 'running|t|0', 'and is well');
is(sql(q{SELECT count(*) FROM streamfuse.verify('by_user')}), '0', 'as its query would');

# Groups over all time do not wait for room: those that are cold go to disk.
sql(q{DROP MATERIALIZED VIEW by_user});
sql(q{ALTER SYSTEM SET streamfuse.state_memory = '12MB'});
sql('SELECT pg_reload_conf()');
$node->poll_query_until('postgres', q{SELECT current_setting('streamfuse.state_memory') = '12MB'}) or die;
sql(q{
	CREATE TABLE clicks (user_id bigint, page int) USING stream;
	CREATE MATERIALIZED VIEW all_users WITH (streamfuse.continuous) AS SELECT user_id, count(*), max(page) FROM clicks GROUP BY user_id;
	SELECT streamfuse.flush('all_users')});
sql("INSERT INTO clicks SELECT g, g % 7 FROM generate_series($_ * 50000 + 1, ($_ + 1) * 50000) g") for 0 .. 5;
sql('INSERT INTO clicks SELECT g, g % 9 FROM generate_series(1, 300000, 10) g');
sql(q{SELECT streamfuse.flush('all_users')});
is(sql('SELECT count(*), sum(count) FROM all_users'), '300000|330000', 'more groups over all time than there is memory for');
is(sql(q{SELECT count(*) FROM streamfuse.verify('all_users')}), '0', 'are as its query would have them');
cmp_ok(sql(q{SELECT spilled_groups FROM streamfuse.stat_views WHERE view = 'all_users'::regclass}), '>', 200000, 'most of them on disk');
cmp_ok(sql(q{SELECT sum(bytes) FROM streamfuse.stat_views}), '<', 12 * 1024 * 1024, 'and the bound is kept');

$node->stop;
done_testing();
