# Thirty times, in the middle of concurrent writers, a process is killed: the worker (which a signal 9 takes the whole
# server down with), the worker by pg_terminate_backend, or the server with all its processes.  Each time, view and batch
# agree in every row, and each committed row is either counted or listed as missed.
#
# When to kill is a matter of commits, not of time: a session of the test commits a number of rows, then the blow falls.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server qw(poll);

my $seed = $ENV{STREAMFUSE_SEED} // 20;
srand($seed);
note("seed $seed");

my $node = PostgreSQL::Test::Cluster->new('kill');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
max_prepared_transactions = 20
restart_after_crash = on
synchronous_commit = off
streamfuse.commit_interval = '20ms'
streamfuse.checkpoint_interval = '300ms'
log_min_messages = log
});
$node->start;

$node->safe_psql('postgres', q{
	CREATE EXTENSION streamfuse;
	CREATE SEQUENCE clock;
	-- Event time goes by with every row, a hundred times as fast as the clock, up to half a second out of order.
	CREATE FUNCTION event_time() RETURNS timestamptz LANGUAGE sql VOLATILE AS
	$$ SELECT timestamptz '2026-01-01' + (nextval('clock') - (random() * 50)::int) * interval '10 ms' $$;
	CREATE TABLE orders (id bigint, category text, amount numeric(12,2), weight float8,
						 event_time timestamptz NOT NULL DEFAULT event_time()) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '5 minutes');
	CREATE MATERIALIZED VIEW by_category WITH (streamfuse.continuous) AS
	SELECT window_start, window_end, category, count(*) AS orders, sum(amount) AS revenue, min(id), max(category) AS last
	FROM orders, tumble(event_time, '10 seconds') GROUP BY window_start, window_end, category;
	CREATE MATERIALIZED VIEW total WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) AS orders, avg(amount) AS mean
	FROM orders, tumble(event_time, '1 minute') WHERE amount > 2 GROUP BY window_start, window_end;
	SELECT streamfuse.flush();
});

my $copy = $node->basedir . '/rows';
$node->safe_psql('postgres', "COPY (SELECT g, 'c' || g % 17, g % 100 FROM generate_series(1, 2000) g) TO '$copy'");

my %writers = (
	'single@30' => q{
		\set id random(1, 100000)
		INSERT INTO orders VALUES (:id, 'c' || :id % 17, :id % 100);},
	'many@8' => q{
		\set n random(10, 400)
		INSERT INTO orders SELECT g, 'c' || g % 17, g % 100 FROM generate_series(1, :n) g;},
	'copy@2' => "COPY orders (id, category, amount) FROM '$copy';",
	'savepoints@8' => q{
		\set id random(1, 100000)
		BEGIN;
		INSERT INTO orders VALUES (:id, 'kept', 3);
		SAVEPOINT a;
		INSERT INTO orders SELECT g, 'never', g FROM generate_series(1, 40) g;
		ROLLBACK TO a;
		INSERT INTO orders VALUES (:id, 'kept', 4);
		COMMIT;},
	'rollback@5' => q{
		BEGIN;
		INSERT INTO orders SELECT g, 'never', g FROM generate_series(1, 100) g;
		ROLLBACK;},
	'prepared@5' => q{
		\set id random(1, 1000000000)
		BEGIN;
		INSERT INTO orders SELECT :id, 'prepared', 5 FROM generate_series(1, 10);
		PREPARE TRANSACTION 'p_:id';
		COMMIT PREPARED 'p_:id';},
	'prepared_rollback@2' => q{
		\set id random(1, 1000000000)
		BEGIN;
		INSERT INTO orders SELECT :id, 'never', 5 FROM generate_series(1, 10);
		PREPARE TRANSACTION 'r_:id';
		ROLLBACK PREPARED 'r_:id';},
);

my @files;
my @arguments;
for my $name (sort keys %writers)
{
	my $file = $node->basedir . "/$name";
	$file =~ s/\@/_/;
	append_to_file($file, $writers{$name});
	my ($weight) = $name =~ /@(\d+)/;
	push @arguments, "--file=$file\@$weight";
}

sub start_writers
{
	my ($in, $out, $err) = ('', '', '');
	my $writers = IPC::Run::start(
		[ 'pgbench', '--no-vacuum', '--client=6', '--time=600', @arguments, $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>', \$err);
	return $writers;
}

# Commits so many rows one by one; the server is alive when it returns.
sub commit_some
{
	my $n = shift;
	my $script = join '', map { "INSERT INTO orders VALUES ($_, 'paced', $_);\n" } 1 .. $n;
	$node->safe_psql('postgres', $script);
	return;
}

sub worker_pid
{
	poll($node, 'SELECT count(*) = 1 FROM streamfuse.stat_workers')
	  or die 'no worker';
	return $node->safe_psql('postgres', 'SELECT pid FROM streamfuse.stat_workers');
}

# The server has come back with another worker: until it notices the old one's death it still lets sessions in.
sub wait_for_another_worker
{
	my $old = shift;
	poll($node, "SELECT count(*) = 1 FROM streamfuse.stat_workers WHERE pid <> $old")
	  or die 'server has not come back';
	return;
}

my %blow = (
	'worker, signal 9' => sub {
		my $pid = worker_pid();
		kill 'KILL', $pid;
		wait_for_another_worker($pid);
	},
	'worker, terminated' => sub {
		$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . worker_pid() . ')');
	},
	'server' => sub {
		$node->stop('immediate');
		$node->start;
	},
);

my %query = (
	by_category => q{SELECT window_start, window_end, category, count(*) AS orders, sum(amount) AS revenue, min(id),
					 max(category) AS last FROM orders, tumble(event_time, '10 seconds')
					 GROUP BY window_start, window_end, category},
	total => q{SELECT window_start, count(*) AS orders, avg(amount) AS mean FROM orders, tumble(event_time, '1 minute')
			   WHERE amount > 2 GROUP BY window_start, window_end},
);

sub differences
{
	my $view = shift;
	my $clean = "WHERE window_start NOT IN (SELECT window_start FROM streamfuse.dirty_windows WHERE view = '$view'::regclass)";
	return $node->safe_psql('postgres', qq{
		SELECT count(*) FROM (
			(SELECT * FROM $view $clean EXCEPT ALL SELECT * FROM ($query{$view}) q $clean)
			UNION ALL
			(SELECT * FROM ($query{$view}) q $clean EXCEPT ALL SELECT * FROM $view $clean)) d});
}

sub finish_prepared
{
	my $ids = $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts');
	for my $id (split /\n/, $ids)
	{
		my $how = $id =~ /^p/ ? 'COMMIT' : 'ROLLBACK';
		$node->safe_psql('postgres', "$how PREPARED '$id'");
	}
	return;
}

my @kinds = sort keys %blow;
for my $round (1 .. 30)
{
	my $kind = $kinds[ $round % @kinds ];
	my $writers = start_writers();

	commit_some(20 + int rand 200);
	$blow{$kind}->();
	commit_some(5) if $kind eq 'worker, terminated';
	$writers->signal('TERM');
	eval { $writers->finish; };

	finish_prepared();
	$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
	is(differences('by_category') . ' ' . differences('total'), '0 0', "round $round: $kind");
	is( $node->safe_psql('postgres', q{
			SELECT (SELECT count(*) FROM orders) - rows_in - rows_missed FROM streamfuse.stat_views
			WHERE view = 'by_category'::regclass}),
		'0', 'each row is counted or missed');
}

is($node->safe_psql('postgres', q{SELECT count(*) FROM orders WHERE category = 'never'}), '0', 'rolled-back rows');
cmp_ok($node->safe_psql('postgres', 'SELECT count(DISTINCT window_start) FROM by_category_closed'), '>=', 10, 'windows were closed');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) * 5 FROM streamfuse.dirty_windows WHERE view = 'by_category'::regclass}), '<',
	$node->safe_psql('postgres', 'SELECT count(DISTINCT window_start) FROM by_category_closed'), 'few windows were left out of the comparison');
is($node->safe_psql('postgres', 'SELECT count(*) FROM streamfuse.state WHERE fragment NOT IN (SELECT id FROM streamfuse.fragment)'), '0', 'no state is left over');
note($node->safe_psql('postgres', q{SELECT 'rows ' || rows_in || ', missed ' || rows_missed || ', windows ' ||
	(SELECT count(DISTINCT window_start) FROM by_category_closed) || ', dirty ' || (SELECT count(*) FROM streamfuse.dirty_windows)
	FROM streamfuse.stat_views WHERE view = 'by_category'::regclass}));
$node->stop;
done_testing();
