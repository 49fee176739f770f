# With on_error = 'skip' a view is its query over the rows that do not raise, and the error table is exactly the rows that
# do, each once: under concurrent transactions, and whatever is killed in the middle.  Other views miss nothing.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server qw(poll);

my $node = PostgreSQL::Test::Cluster->new('on_error');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
streamfuse.commit_interval = '10ms'
streamfuse.checkpoint_interval = '100ms'
restart_after_crash = on
timezone = 'UTC'
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION streamfuse;
	CREATE FUNCTION strict_sum(total int8, value int) RETURNS int8 LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		IF value = 666 THEN RAISE EXCEPTION 'no % here', value; END IF;
		RETURN total + value;
	END $$;
	CREATE AGGREGATE strict_sum(int) (SFUNC = strict_sum, STYPE = int8, INITCOND = '0');
	CREATE FUNCTION checked(kind text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		IF kind = 'key' THEN RAISE EXCEPTION 'bad key'; END IF;
		RETURN kind;
	END $$;
	CREATE TABLE events (id int8 GENERATED ALWAYS AS IDENTITY, kind text, value int, number text, event_time timestamptz NOT NULL)
		USING stream;
	SELECT streamfuse.set_watermark('events', 'event_time', delay => '10 minutes');
	CREATE MATERIALIZED VIEW good WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
	SELECT window_start, checked(kind) AS kind, sum(number::int) AS numbers, count(*) FILTER (WHERE 100 / (value - 7) > 0) AS big,
		   strict_sum(value) AS total, avg(value) AS mean
	FROM events, tumble(event_time, '5 minutes')
	WHERE 100 / (value - 3) IS NOT NULL
	GROUP BY window_start, window_end, checked(kind);
	CREATE MATERIALIZED VIEW everything WITH (streamfuse.continuous) AS
	SELECT window_start, kind, count(*) AS events FROM events, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, kind;
	SELECT streamfuse.flush()});

# One row in ten is bad: in the filter, a key, an argument, a FILTER, an aggregate.  `bad` says what makes a row one.
my $bad = q{(value IN (3, 7, 666) OR kind = 'key' OR number !~ '^[0-9]+$')};
$node->safe_psql('postgres', q{
	CREATE FUNCTION insert_events(rows int, seed float8) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE base int8 := (SELECT count(*) FROM events);
	BEGIN
		PERFORM setseed(seed);
		INSERT INTO events (kind, value, number, event_time)
		SELECT CASE WHEN r < 0.02 THEN 'key' ELSE (ARRAY['a', 'b', 'c', 'd'])[ceil(random() * 4)] END,
			   CASE WHEN r BETWEEN 0.02 AND 0.04 THEN 3 WHEN r BETWEEN 0.04 AND 0.06 THEN 7
					WHEN r BETWEEN 0.06 AND 0.08 THEN 666 ELSE 10 + (random() * 20)::int END,
			   CASE WHEN r BETWEEN 0.08 AND 0.1 THEN 'ten' ELSE (random() * 1000)::int::text END,
			   '2026-01-01'::timestamptz + (base + i) * interval '200 milliseconds'
		FROM (SELECT i, random() AS r FROM generate_series(1, rows) i) AS s;
	END $$});

my $query = q{SELECT window_start, checked(kind) AS kind, sum(number::int) AS numbers, count(*) FILTER (WHERE 100 / (value - 7) > 0) AS big,
	strict_sum(value) AS total, avg(value) AS mean FROM rows_without_errors, tumble(event_time, '5 minutes')
	WHERE 100 / (value - 3) IS NOT NULL GROUP BY window_start, window_end, checked(kind)};

sub settle
{
	poll($node, 'SELECT true') or die 'the server is not back';
	poll($node, q{SELECT streamfuse.flush() IS NOT NULL}) or die 'no flush';
	return;
}

sub check
{
	my $name = shift;
	my $good = "(WITH rows_without_errors AS MATERIALIZED (SELECT * FROM events WHERE NOT $bad) $query)";

	settle();
	is($node->safe_psql('postgres', "SELECT * FROM (TABLE good EXCEPT ALL $good) d UNION ALL SELECT * FROM ($good EXCEPT ALL TABLE good) d"),
		'', "$name: the view is the batch over the good rows");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM streamfuse.verify('good')}), '0', "$name: verify agrees");
	is($node->safe_psql('postgres', qq{
		SELECT count(*) FROM (SELECT tableoid::regclass AS stream, ctid AS tid FROM events WHERE $bad) b
		FULL JOIN (SELECT stream, tid FROM streamfuse.errors WHERE view = 'good'::regclass) e USING (stream, tid)
		WHERE b IS NULL OR e IS NULL}), '0', "$name: the error table is the bad rows");
	is($node->safe_psql('postgres', qq{
		SELECT s.rows_failed = (SELECT count(*) FROM events WHERE $bad) AND s.rows_in = (SELECT count(*) FROM events WHERE NOT $bad)
			   AND p.rows_failed = s.rows_failed AND s.rows_failed = (SELECT count(*) FROM streamfuse.errors WHERE view = 'good'::regclass)
		FROM streamfuse.stat_views s JOIN streamfuse.fragment f ON f.view = s.view JOIN streamfuse.progress p ON p.fragment = f.id
		WHERE s.view = 'good'::regclass}), 't', "$name: and so are the counters");
	is($node->safe_psql('postgres', q{SELECT sum(events) = (SELECT count(*) FROM events) FROM everything}), 't',
		"$name: the other view has all rows");
	return;
}

$node->safe_psql('postgres', 'SELECT insert_events(3000, 0.1)');
check('quiet');
cmp_ok($node->safe_psql('postgres', q{SELECT count(DISTINCT message) FROM streamfuse.errors}), '>=', 4, 'of several kinds');

# Transactions side by side, some rolled back, and blows in between: the worker ended, killed, the server at once shut down.
sub worker_pid
{
	return $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'streamfuse worker'});
}

my $seed = 0.11;

for my $blow ('terminate', 'kill', 'immediate', 'terminate', 'kill')
{
	my @writers;

	for my $i (1 .. 3)
	{
		my $session = $node->background_psql('postgres', on_error_stop => 0);
		$session->query_safe('BEGIN');
		push @writers, $session;
	}
	for my $round (1 .. 4)
	{
		for my $session (@writers)
		{
			$seed += 0.001;
			$session->query_safe("SELECT insert_events(150, $seed)");
			if ($round < 4)
			{
				$session->query_safe(($round + int($seed * 1000)) % 4 == 0 ? 'ROLLBACK' : 'COMMIT');
				$session->query_safe('BEGIN');
			}
		}
	}
	my $pid = worker_pid();
	# The last round is under way; what it commits before the blow, the worker may or may not have seen.
	$_->query_safe('COMMIT') for @writers[0, 1];
	if ($blow eq 'terminate') { $node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)") }
	elsif ($blow eq 'kill') { kill 'KILL', $pid }
	else { $node->stop('immediate'); $node->start }
	for my $session (@writers) { eval { $session->quit }; }
	check($blow);
}

cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM good_closed'), '>', 0, 'windows have closed');

# Rows that have failed and are not in the table yet: a worker's successor writes them, a server's finds them again.
$node->append_conf('postgresql.conf', q{streamfuse.checkpoint_interval = '1h'});
$node->restart;
settle();
for my $blow ('terminate', 'immediate')
{
	my $before = $node->safe_psql('postgres', q{SELECT count(*) FROM streamfuse.error_row});
	$node->safe_psql('postgres', q{INSERT INTO events (kind, value, number, event_time)
		SELECT 'key', 1, '1', (SELECT max(event_time) - interval '1 minute' FROM events) FROM generate_series(1, 50)});
	poll($node, q{
		SELECT rows_failed = committed_rows_failed + 50 FROM streamfuse.stat_views WHERE view = 'good'::regclass}) or die 'no rows failed';
	is($node->safe_psql('postgres', q{SELECT count(*) FROM streamfuse.verify('good')}), '0', "$blow: verify knows of rows that are not in the table yet");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM streamfuse.error_row}), $before, "$blow: they are not");
	if ($blow eq 'terminate') { $node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . worker_pid() . ')') }
	else { $node->stop('immediate'); $node->start }
	check("$blow, before the commit");
}

# Half of very many rows fail, more than a tick may hold: the view takes small ticks, and forgets none.
$node->safe_psql('postgres', q{
	CREATE TABLE numbers (value int, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('numbers', 'event_time', delay => '1 hour');
	CREATE MATERIALIZED VIEW inverse WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
	SELECT window_start, count(*) AS n, sum(100 / value) AS s FROM numbers, tumble(event_time, '1 minute') GROUP BY window_start, window_end;
	CREATE MATERIALIZED VIEW counted WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) AS n FROM numbers, tumble(event_time, '1 minute') GROUP BY window_start, window_end;
	SELECT streamfuse.flush();
	INSERT INTO numbers SELECT i % 2, '2026-01-01'::timestamptz + i * interval '1 millisecond' FROM generate_series(1, 300000) i});
settle();
is($node->safe_psql('postgres', q{SELECT sum(n), sum(s) FROM inverse}), '150000|15000000', 'many failed rows: the others are counted');
is($node->safe_psql('postgres', q{
	SELECT count(*), count(DISTINCT e.tid) FROM streamfuse.errors e WHERE view = 'inverse'::regclass}), '150000|150000',
	'many failed rows: each is there once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM streamfuse.verify('inverse')}), '0', 'many failed rows: verify agrees');
is($node->safe_psql('postgres', q{SELECT sum(n) FROM counted}), '300000', 'many failed rows: the other view has all');
cmp_ok($node->safe_psql('postgres', q{
	SELECT count(DISTINCT e.at) FROM streamfuse.errors e WHERE view = 'inverse'::regclass}), '>', 1, 'many failed rows: in more than one tick');

# While they cannot be committed, the view takes in no more; but it keeps no other view waiting, as fast as it has caught up.
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('BEGIN; LOCK TABLE inverse_closed IN SHARE MODE');
$node->safe_psql('postgres', q{
	INSERT INTO numbers SELECT 0, '2026-01-01'::timestamptz + i * interval '1 millisecond' FROM generate_series(1, 70000) i});
poll($node, q{SELECT rows_failed = 220000 FROM streamfuse.stat_views WHERE view = 'inverse'::regclass}) or die 'no rows failed';
$node->safe_psql('postgres', q{
	INSERT INTO numbers VALUES (1, '2026-01-01'); SELECT streamfuse.flush('counted', timeout => '60 s')});
is($node->safe_psql('postgres', q{SELECT sum(n) FROM counted}), '370001', 'failed rows wait for a lock: the other view goes on');
is($node->safe_psql('postgres', q{SELECT sum(n) FROM inverse}), '150000', 'failed rows wait for a lock: their view waits');
$session->query_safe('ROLLBACK');
$session->quit;
settle();
is($node->safe_psql('postgres', q{SELECT sum(n) FROM inverse}), '150001', 'failed rows are committed: their view goes on');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT e.at) > 1 FROM streamfuse.error_row e JOIN streamfuse.fragment f ON f.id = e.fragment
	WHERE f.view = 'inverse'::regclass}), '220000|t', 'failed rows are committed: each is there once');
unlike(slurp_file($node->logfile), qr/TRAP|terminated by signal (?!9)/, 'nothing crashed');
$node->stop;
done_testing();
