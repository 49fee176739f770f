# Restores with workers running and writers that do not wait for the end.  Whatever the form of the dump, each restored
# view answers what its query gives, but for windows in streamfuse.dirty_windows; and each stored row is accounted for:
# it is in a result, or missed by a window that is listed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $config = q{
shared_preload_libraries = 'streamfuse'
max_worker_processes = 30
timezone = 'UTC'
fsync = off
};
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', $config);
$node->start;

my $from = 'FROM shop.orders, tumble(event_time, %s) GROUP BY window_start, window_end, category';
my %query = (
	# Says of how many rows each result is, so that missed rows can be counted.
	sales => q{SELECT window_start, window_end, category, sum(amount) AS revenue, count(*) AS orders }
	  . sprintf($from, q{'5 minutes'}),
	# Does not, and floats agree to rounding only.
	average => q{SELECT window_start, category, avg(amount / 3.0::float8) AS average, max(amount) AS most }
	  . sprintf($from, q{'7 minutes'}),
	# Closed windows alone.
	final => q{SELECT window_start, category, min(amount) AS least } . sprintf($from, q{'10 minutes'}),
	# Sessions of up to an hour, of which late rows make one.
	visits => q{SELECT window_start, window_end, category, sum(amount) AS revenue, count(*) AS orders
		FROM shop.orders, session(event_time, '3 minutes 1 second') WHERE amount % 30 < 24 GROUP BY window_start, window_end, category});

sub sql { return $node->safe_psql(@_); }

sub create_source
{
	sql('postgres', 'CREATE ROLE owner');
	sql('postgres', 'CREATE DATABASE source');
	sql('source', qq{
		CREATE EXTENSION streamfuse;
		CREATE SCHEMA shop;
		CREATE TABLE shop.orders (category text, amount int, event_time timestamptz NOT NULL) USING stream;
		SELECT streamfuse.set_watermark('shop.orders', 'event_time', delay => '1 minute', max_ahead => '30 days');
		INSERT INTO shop.orders SELECT 'c' || i % 3, i, '2026-01-01 00:00+00'::timestamptz + i * interval '1 minute'
			FROM generate_series(1, 200) i;
		CREATE MATERIALIZED VIEW shop.sales WITH (streamfuse.continuous) AS $query{sales};
		CREATE MATERIALIZED VIEW shop.average WITH (streamfuse.continuous) AS $query{average};
		CREATE MATERIALIZED VIEW shop.final WITH (streamfuse.continuous, streamfuse.emit = final) AS $query{final};
		CREATE MATERIALIZED VIEW shop.visits WITH (streamfuse.continuous) AS $query{visits};
		ALTER MATERIALIZED VIEW shop.average OWNER TO owner;
		GRANT SELECT ON shop.orders TO owner;
		GRANT USAGE, CREATE ON SCHEMA shop TO owner;
		SELECT streamfuse.flush()});
	# Missed in the source: stored, and in no result that is dumped.
	sql('source', q{INSERT INTO shop.orders VALUES ('c1', 1, '2026-01-01 00:31+00'), ('c1', 2, '2026-01-01 00:32+00')});
	sql('source', 'SELECT streamfuse.flush()');
	is(sql('source', q{SELECT sum(missed) FROM streamfuse.dirty_windows WHERE view = 'shop.sales'::regclass}), '2',
		'rows are missed in the source');
	return;
}

sub run_ok
{
	my ($name, $program, @arguments) = @_;
	command_ok([ $program, '-p', $node->port, '-h', $node->host, @arguments ], $name);
	return;
}

sub psql_ok { my ($name, $database, $file) = @_; run_ok($name, 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $file, $database); return; }

sub fresh
{
	my ($database, $more) = @_;
	sql('postgres', "DROP DATABASE IF EXISTS $database WITH (FORCE)");
	sql('postgres', "CREATE DATABASE $database");
	sql($database, $more) if defined $more;
	return;
}

# Rows of a writer: two for windows that each view has closed before the dump, two that are later than all before.
my $written = 0;

sub write_rows
{
	my ($database) = @_;
	$written++;
	sql($database, qq{INSERT INTO shop.orders VALUES ('c2', $written, '2026-01-01 01:07+00'), ('late', 5, '2026-01-01 00:03+00'),
		('c0', $written, '2026-01-01 03:30+00'::timestamptz + $written * interval '10 min'),
		('c1', $written, '2026-01-01 03:31+00'::timestamptz + $written * interval '10 min')});
	return;
}

# The law, and the books.
sub check
{
	my ($database, $name, @views) = @_;

	@views = ('sales', 'average', 'final', 'visits') unless @views;
	sql($database, 'SELECT streamfuse.flush()');
	for my $view (@views)
	{
		is(sql($database, "SELECT * FROM streamfuse.verify('shop.$view')"), '', "$name: $view = batch outside dirty windows");
		is(sql($database, qq{SELECT status, rows_read = (SELECT count(*) FROM shop.orders), rows_late = rows_missed,
				rows_missed = coalesce((SELECT sum(missed) FROM streamfuse.dirty_windows d WHERE d.view = s.view), 0)
			FROM streamfuse.stat_views s WHERE view = 'shop.$view'::regclass}), 'running|t|t|t', "$name: $view has read each row once");
	}
	return unless grep { $_ eq 'sales' } @views;

	# Not by verify() alone: in plain SQL.
	my $clean = q{WHERE window_start NOT IN (SELECT window_start FROM streamfuse.dirty_windows WHERE view = 'shop.sales'::regclass)};
	is(sql($database, qq{WITH v AS (SELECT * FROM shop.sales $clean), b AS (SELECT * FROM ($query{sales}) q $clean)
		SELECT count(*) FROM ((TABLE v EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE v)) d}),
		'0', "$name: sales = batch in plain SQL");
	is(sql($database, q{SELECT (SELECT sum(orders) FROM shop.sales)
			+ coalesce((SELECT sum(missed) FROM streamfuse.dirty_windows WHERE view = 'shop.sales'::regclass), 0)
			- (SELECT count(*) FROM shop.orders)}),
		'0', "$name: each row is in a result or listed as missed");
	return;
}

sub dirty
{
	my ($database) = @_;
	return sql($database, q{SELECT string_agg(to_char(window_start, 'HH24:MI') || '=' || missed, ' ' ORDER BY window_start)
		FROM streamfuse.dirty_windows WHERE view = 'shop.sales'::regclass});
}

create_source();
run_ok('pg_dump', 'pg_dump', '-f', "$dir/plain.sql", 'source');
run_ok('pg_dump -Fc', 'pg_dump', '-Fc', '-f', "$dir/custom", 'source');

# Nobody writes: what the source had missed is still listed, now as a difference between result and stored rows.
fresh('quiet');
psql_ok('restore', 'quiet', "$dir/plain.sql");
check('quiet', 'quiet');
is(dirty('quiet'), '00:30=2', 'quiet: rows missed before the dump are listed');
is(sql('quiet', 'SELECT stream, time_column, delay, max_ahead FROM streamfuse.streams'),
	'shop.orders|event_time|00:01:00|30 days', 'quiet: the settings of the stream');
is(sql('quiet', q{SELECT emit FROM streamfuse.views WHERE view = 'shop.final'::regclass}), 'final', 'quiet: options');

# Writers at each stage of a restore.  The stages are sections of the archive, so each write is exactly where it is said.
fresh('sections');
run_ok('tables', 'pg_restore', '--section=pre-data', '--exit-on-error', '-d', 'sections', "$dir/custom");
write_rows('sections');
run_ok('data', 'pg_restore', '--section=data', '--exit-on-error', '-d', 'sections', "$dir/custom");
write_rows('sections');
run_ok('the rest', 'pg_restore', '--section=post-data', '--exit-on-error', '-d', 'sections', "$dir/custom");
write_rows('sections');
check('sections', 'sections');
is(dirty('sections'), '00:00=3 00:30=2 01:05=3', 'sections: rows of three writers are missed');

# After the REFRESH and before the worker has come to the view: it waits in its tick, whose snapshot sees
# none of this.
SKIP:
{
	fresh('between');
	run_ok('tables and data', 'pg_restore', '--section=pre-data', '--section=data', '--exit-on-error', '-d', 'between', "$dir/custom");
	sql('between', q{CREATE FUNCTION fault_set(text, text) RETURNS void LANGUAGE C AS '$libdir/streamfuse', 'sf_fault_set';
		CREATE FUNCTION fault_wait_hit(text) RETURNS void LANGUAGE C AS '$libdir/streamfuse', 'sf_fault_wait_hit'});
	eval { sql('between', q{SELECT fault_set('tick-after-snapshot', 'wait')}); 1 } or skip 'needs a build with CHECK=1', 12;
	run_ok('the rest', 'pg_restore', '--section=post-data', '--exit-on-error', '-d', 'between', "$dir/custom");
	sql('between', q{SELECT fault_wait_hit('tick-after-snapshot')});
	write_rows('between');
	sql('between', q{SELECT fault_set('tick-after-snapshot', 'none')});
	check('between', 'between');
	is(dirty('between'), '00:00=1 00:30=2 01:05=1', 'between: rows that came while the worker took in history are missed');
}

# Writers that run all the time, from the moment the table is there until after the end; and the worker is killed.
sub restore_under_writers
{
	my ($database, @command) = @_;
	my $out = '';
	my $script = '';

	fresh($database);
	$script .= sprintf(
		"INSERT INTO shop.orders VALUES ('c%d', %d, timestamptz '2026-01-01 00:00+00' + %d * interval '1 min');\n",
		$_ % 3, $_, ($_ * 37) % 260) for (1 .. 600);
	my $restore = IPC::Run::start([ $command[0], '-p', $node->port, '-h', $node->host, @command[ 1 .. $#command ] ], '>', \$out, '2>', \$out);
	$node->poll_query_until($database, q{SELECT to_regclass('shop.orders') IS NOT NULL});
	sql($database, $script);
	ok($restore->finish, "$database: restore") or diag $out;
	sql($database, q{SELECT pg_terminate_backend(pid) FROM streamfuse.stat_workers WHERE datname = current_database()});
	check($database, $database);
	return;
}
restore_under_writers('busy_plain', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain.sql", '-d', 'busy_plain');
restore_under_writers('busy_custom', 'pg_restore', '--exit-on-error', '-d', 'busy_custom', "$dir/custom");
restore_under_writers('busy_parallel', 'pg_restore', '-j4', '--exit-on-error', '-d', 'busy_parallel', "$dir/custom");

# One transaction for all.
fresh('single');
run_ok('pg_restore -1', 'pg_restore', '-1', '-d', 'single', "$dir/custom");
write_rows('single');
check('single', 'single');
is(dirty('single'), '00:00=1 00:30=2 01:05=1', 'single: rows after it are missed');

# By INSERT, each row a transaction of its own.
run_ok('pg_dump --inserts', 'pg_dump', '--inserts', '-f', "$dir/inserts.sql", 'source');
fresh('inserts');
psql_ok('restore inserts', 'inserts', "$dir/inserts.sql");
check('inserts', 'inserts');
is(dirty('inserts'), '00:30=2', 'inserts: nothing else is missed');

# Over the database as it is: dropped first.
run_ok('pg_restore --clean', 'pg_restore', '--clean', '--if-exists', '--exit-on-error', '-d', 'sections', "$dir/custom");
write_rows('sections');
check('sections', 'cleaned');

# Single objects.  A view without its closed windows is derived from the stream: nothing of it is late.
run_ok('pg_dump -t', 'pg_dump', '-Fc', '-t', 'shop.orders', '-f', "$dir/stream", 'source');
run_ok('pg_dump -t', 'pg_dump', '-Fc', '-t', 'shop.sales', '-f', "$dir/view", 'source');
run_ok('pg_dump -t', 'pg_dump', '-Fc', '-t', 'shop.orders', '-t', 'shop.sales', '-t', 'shop.sales_closed', '-f', "$dir/three", 'source');
fresh('stream', 'CREATE EXTENSION streamfuse; CREATE SCHEMA shop');
run_ok('the stream alone', 'pg_restore', '--exit-on-error', '-d', 'stream', "$dir/stream");
write_rows('stream');
run_ok('then the view', 'pg_restore', '--exit-on-error', '-d', 'stream', "$dir/view");
write_rows('stream');
check('stream', 'one by one', 'sales');
is(sql('stream', q{SELECT adopted_until IS NULL FROM streamfuse.fragment}), 't', 'one by one: the view was derived anew');
fresh('three', 'CREATE EXTENSION streamfuse; CREATE SCHEMA shop');
run_ok('the view with its closed windows', 'pg_restore', '--exit-on-error', '-d', 'three', "$dir/three");
check('three', 'three', 'sales');
is(dirty('three'), '00:30=2', 'three: the closed windows were adopted');

# Definitions, then data: the user gives the REFRESH.
run_ok('pg_dump -s', 'pg_dump', '-s', '-f', "$dir/schema.sql", 'source');
run_ok('pg_dump -a', 'pg_dump', '-a', '-f', "$dir/data.sql", 'source');
fresh('apart');
psql_ok('restore definitions', 'apart', "$dir/schema.sql");
write_rows('apart');
psql_ok('restore data', 'apart', "$dir/data.sql");
write_rows('apart');
sql('apart', "REFRESH MATERIALIZED VIEW shop.$_") for ('sales', 'average', 'final', 'visits');
write_rows('apart');
check('apart', 'apart');
is(dirty('apart'), '00:00=3 00:30=2 01:05=3', 'apart: rows of three writers are missed');

# Data into a database where the views run: closed windows are theirs alone to write, and are derived from the stream.
fresh('running');
sql('running', qq{CREATE EXTENSION streamfuse; CREATE SCHEMA shop;
	CREATE TABLE shop.orders (category text, amount int, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('shop.orders', 'event_time', delay => '1 minute');
	CREATE MATERIALIZED VIEW shop.sales WITH (streamfuse.continuous) AS $query{sales}});
run_ok('pg_dump -a', 'pg_dump', '-a', '-t', 'shop.orders', '-t', 'shop.sales_closed', '-f', "$dir/rows.sql", 'source');
command_checks_all([ 'psql', '-Xq', '-p', $node->port, '-h', $node->host, '-f', "$dir/rows.sql", 'running' ],
	0, [qr//], [qr/cannot change or lock rows of "sales_closed"/], 'data into running views');
check('running', 'running', 'sales');
is(dirty('running'), '', 'running: rows of one transaction are never late');

# A dump taken while windows close, again and again.
for my $round (1 .. 3)
{
	my $script = join '', map { my $n = 100 * $round + $_;
		"INSERT INTO shop.orders SELECT 'c' || g % 3, g, timestamptz '2026-01-01 04:00+00' + $n * interval '2 min' FROM generate_series(1, 5) g;\n" } (1 .. 100);
	my $writer = IPC::Run::start([ 'psql', '-Xq', '-p', $node->port, '-h', $node->host, '-d', 'source' ], '<', \$script, '>', \my $out);
	run_ok('pg_dump of a source that moves', 'pg_dump', '-Fc', '-f', "$dir/moving", 'source');
	$writer->finish;
	fresh('moving');
	run_ok('its restore', 'pg_restore', '-j2', '--exit-on-error', '-d', 'moving', "$dir/moving");
	check('moving', "moving, $round");
	is(dirty('moving'), '00:30=2', "moving, $round: nothing else is missed");
}

# Rows that raise are set aside again, for windows of the dump too.
fresh('aside');
sql('aside', qq{CREATE EXTENSION streamfuse; CREATE SCHEMA shop;
	CREATE TABLE shop.orders (category text, amount int, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('shop.orders', 'event_time', delay => '1 minute');
	CREATE MATERIALIZED VIEW shop.sales WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
	SELECT window_start, sum(100 / amount) AS x, count(*) AS orders FROM shop.orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
	INSERT INTO shop.orders SELECT 'c', i % 7, '2026-01-01 00:00+00'::timestamptz + i * interval '1 minute' FROM generate_series(1, 60) i});
sql('aside', 'SELECT streamfuse.flush()');
run_ok('pg_dump with rows set aside', 'pg_dump', '-f', "$dir/aside.sql", 'aside');
fresh('aside_again');
psql_ok('restore', 'aside_again', "$dir/aside.sql");
sql('aside_again', 'SELECT streamfuse.flush()');
my $set_aside = q{SELECT count(*), min(event_time), max(event_time) FROM streamfuse.errors};
is(sql('aside_again', $set_aside), sql('aside', $set_aside), 'rows set aside: the same');
is(sql('aside_again', q{SELECT * FROM streamfuse.verify('shop.sales')}), '', 'rows set aside: stream = batch');
is(dirty('aside_again'), '', 'rows set aside: none is missed');

# A failed view and an inert one are dumped and restored like others; the first fails again, the second starts.
sql('inserts', q{CREATE MATERIALIZED VIEW shop.broken WITH (streamfuse.continuous) AS
	SELECT window_start, sum(1 / (amount - 150)) AS x FROM shop.orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end});
$node->poll_query_until('inserts', q{SELECT status = 'failed' FROM streamfuse.stat_views WHERE view = 'shop.broken'::regclass});
run_ok('pg_dump with a failed view', 'pg_dump', '-f', "$dir/failed.sql", 'inserts');
fresh('failed');
psql_ok('restore', 'failed', "$dir/failed.sql");
$node->poll_query_until('failed', q{SELECT status = 'failed' FROM streamfuse.stat_views WHERE view = 'shop.broken'::regclass});
for my $view ('sales', 'average', 'final')
{
	sql('failed', "SELECT streamfuse.flush('shop.$view')");
	is(sql('failed', "SELECT * FROM streamfuse.verify('shop.$view')"), '', "beside a failed view: $view");
}
fresh('inert');
psql_ok('restore definitions', 'inert', "$dir/schema.sql");
psql_ok('restore data', 'inert', "$dir/data.sql");
run_ok('pg_dump with inert views', 'pg_dump', '-f', "$dir/inert.sql", 'inert');
fresh('active');
psql_ok('restore', 'active', "$dir/inert.sql");
check('active', 'of inert views');
is(dirty('active'), '00:30=2', 'of inert views: their closed windows were adopted');

# An inert view that goes takes its table along, however it goes.
for my $command ('DROP TABLE shop.orders CASCADE', 'ALTER TABLE shop.orders DROP COLUMN category CASCADE', 'DROP SCHEMA shop CASCADE')
{
	fresh('inert');
	psql_ok('restore definitions', 'inert', "$dir/schema.sql");
	sql('inert', $command);
	is(sql('inert', q{SELECT count(*) FROM pg_class WHERE relname ~ '_closed$'}), '0', "no table is left: $command");
}
fresh('inert');
psql_ok('restore definitions', 'inert', "$dir/schema.sql");
sql('inert', 'DROP OWNED BY owner');
is(sql('inert', q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname ~ '_closed$'}),
	'final_closed sales_closed visits_closed', 'DROP OWNED takes what its owner had');

# The whole cluster, into another one where the launcher is running.
run_ok('pg_dumpall', 'pg_dumpall', '--clean', '--if-exists', '-f', "$dir/all.sql");
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->append_conf('postgresql.conf', $config);
$other->start;
$node->stop;
$node = $other;
$other->command_checks_all([ 'psql', '-Xq', '-p', $other->port, '-h', $other->host, '-f', "$dir/all.sql", 'postgres' ], 0, [qr//], [qr//], 'restore of the cluster');
for my $database ('source', 'sections', 'busy_parallel', 'apart', 'moving')
{
	check($database, "cluster: $database");
}

$other->stop;
done_testing();
