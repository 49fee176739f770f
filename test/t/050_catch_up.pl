# Whatever the order in which history was written, a view that works it in slice by slice loses none of it: the watermark
# stays below the smallest event time that still waits.
#
# A tick of a production build takes in 256 MB; here it is 100 pages, and rows are long.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('catch_up');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
max_prepared_transactions = 20
fsync = off
autovacuum = off
streamfuse.test_tick_pages = 100
streamfuse.commit_interval = 0
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION streamfuse;
	CREATE FUNCTION fault_set(name text, action text) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_set';
	CREATE FUNCTION fault_wait_hit(name text) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_wait_hit';
	-- A day of rows, one each 10 seconds, in an order that has nothing to do with time.
	CREATE FUNCTION day(salt text) RETURNS SETOF timestamptz LANGUAGE sql
	AS $$ SELECT timestamptz '2026-01-01 00:00+00' + g * interval '10 s' FROM generate_series(0, 8639) g ORDER BY md5(salt || g) $$;
});

sub sql { return $node->safe_psql('postgres', shift); }

my $query = q{SELECT window_start, window_end, n % 10 AS digit, count(*) AS rows, sum(n) AS sum
	FROM STREAM, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, n % 10};

sub query_of { my $stream = shift; return $query =~ s/STREAM/$stream/r; }

sub create_view
{
	my ($view, $stream) = @_;
	sql("CREATE MATERIALIZED VIEW $view WITH (streamfuse.continuous) AS " . query_of($stream));
	return;
}

# The view and its query agree in every row, and nothing was late.
sub is_complete
{
	my ($view, $stream, $rows, $name) = @_;
	my $q = query_of($stream);

	sql("SELECT streamfuse.flush('$view')");
	is(sql(qq{SELECT rows_in || ' ' || rows_missed FROM streamfuse.stat_views WHERE view = '$view'::regclass}),
		"$rows 0", "$name: each row is counted");
	is(sql(qq{SELECT count(*) FROM ((TABLE $view EXCEPT ALL $q) UNION ALL ($q EXCEPT ALL TABLE $view)) d}),
		'0', "$name: stream = batch");
	cmp_ok(sql("SELECT count(DISTINCT window_start) FROM ${view}_closed"), '>', 250, "$name: windows have closed");
	return;
}

# The worker goes on to the end of the next slice, and waits there.
sub one_slice
{
	sql(q{SELECT fault_set('tick-after-snapshot', 'wait')});
	sql(q{SELECT fault_set('tick-before-publish', 'none')});
	sql(q{SELECT fault_wait_hit('tick-after-snapshot')});
	sql(q{SELECT fault_set('tick-before-publish', 'wait')});
	sql(q{SELECT fault_set('tick-after-snapshot', 'none')});
	sql(q{SELECT fault_wait_hit('tick-before-publish')});
	return;
}

sub go_on
{
	sql(qq{SELECT fault_set('$_', 'none')}) for 'tick-after-snapshot', 'tick-before-publish';
	return;
}

# Shuffled history, loaded in one transaction while a view is there, and before another one is.
sql(q{
	CREATE TABLE loaded (n int, event_time timestamptz NOT NULL, filler text DEFAULT repeat('x', 1000)) USING stream;
	SELECT streamfuse.set_watermark('loaded', 'event_time');});
create_view('before', 'loaded');
sql(q{INSERT INTO loaded SELECT row_number() OVER (), d FROM day('a') d});
is_complete('before', 'loaded', 8640, 'view before the load');
create_view('afterwards', 'loaded');
is_complete('afterwards', 'loaded', 8640, 'view after the load');
is(sql(q{SELECT count(*) FROM (TABLE before EXCEPT ALL TABLE afterwards) d}), '0', 'both views agree');

# While history is worked in, another shuffled day is committed, and a transaction that had begun before: part of its
# rows lies on pages that have been read.
sql(q{
	CREATE TABLE busy (n int, event_time timestamptz NOT NULL, filler text DEFAULT repeat('x', 1000)) USING stream;
	SELECT streamfuse.set_watermark('busy', 'event_time');});
my $writer = $node->background_psql('postgres', on_error_die => 1);
$writer->query_safe('BEGIN');
for my $part (0 .. 3)
{
	my $range = "LIMIT 2160 OFFSET 2160 * $part";

	$writer->query_safe("INSERT INTO busy SELECT 1, d FROM day('w') d $range");
	sql("INSERT INTO busy SELECT 2, d FROM day('h') d $range");
}
sql(q{SELECT fault_set('tick-before-publish', 'wait')});
create_view('beside', 'busy');
one_slice() for 1 .. 3;
sql(q{INSERT INTO busy SELECT 3, d FROM day('c') d});
$writer->query_safe(q{INSERT INTO busy SELECT 4, d FROM day('x') d});
one_slice();
$writer->query_safe('COMMIT');
$writer->quit;
one_slice() for 1 .. 2;
go_on();
is_complete('beside', 'busy', 4 * 8640, 'commits meanwhile');

# The server is killed in the middle.
sql(q{
	CREATE TABLE killed (n int, event_time timestamptz NOT NULL, filler text DEFAULT repeat('x', 1000)) USING stream;
	SELECT streamfuse.set_watermark('killed', 'event_time');
	INSERT INTO killed SELECT row_number() OVER (), d FROM day('k') d;
	SELECT fault_set('tick-before-publish', 'wait');});
create_view('survivor', 'killed');
one_slice() for 1 .. 4;
is(sql(q{SELECT status FROM streamfuse.stat_views WHERE view = 'survivor'::regclass}), 'backfilling', 'in the middle');
$node->stop('immediate');
$node->start;
is_complete('survivor', 'killed', 8640, 'killed in the middle');

# Partitions whose histories are in opposite orders: the oldest that waits goes first.
sql(q{
	CREATE TABLE parted (n int, event_time timestamptz NOT NULL, filler text DEFAULT repeat('x', 1000)) PARTITION BY LIST (n);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1) USING stream;
	CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2) USING stream;
	CREATE TABLE parted_3 PARTITION OF parted DEFAULT USING stream;
	SELECT streamfuse.set_watermark('parted', 'event_time');
	INSERT INTO parted SELECT 1, d FROM day('p') d ORDER BY d;
	INSERT INTO parted SELECT 2, d FROM day('p') d ORDER BY d DESC;
	INSERT INTO parted SELECT 3 + row_number() OVER (), d FROM day('p') d;});
create_view('over_parts', 'parted');
is_complete('over_parts', 'parted', 3 * 8640, 'partitions');

$node->stop;
done_testing();
