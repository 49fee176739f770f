# Batch = stream, for views nobody thought of: random definitions over random histories, with everything that happens to
# a server in between.  After some steps each view equals its query, run as a batch, but for the windows listed as dirty.
#
# STREAMFUSE_SEED repeats a run, STREAMFUSE_CASES makes it longer.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{STREAMFUSE_SEED} || time;
my $cases = $ENV{STREAMFUSE_CASES} || 60;
srand($seed);
note("seed $seed");

my $node = PostgreSQL::Test::Cluster->new('random');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
fsync = off
autovacuum = off
client_min_messages = error
streamfuse.commit_interval = '5ms'
streamfuse.checkpoint_interval = '50ms'
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamfuse');

my $psql = $node->background_psql('postgres', on_error_die => 1);

sub sql { return $psql->query_safe(shift); }

sub pick { return $_[ int rand @_ ]; }

# Some of a list, at least and at most so many, in any order.
sub some
{
	my ($least, $most, @from) = @_;
	my @chosen;

	my $n = $least + int rand($most - $least + 1);
	push @chosen, splice(@from, int rand @from, 1) for 1 .. $n;
	return @chosen;
}

my @keys = ('i', 'i % 3', 'b', 's', 't', 'upper(t)', 'n', 'f', 'd', 'j', 'a', 'coalesce(t, s::text)',
	'CASE WHEN i > 5 THEN t END', 'i::numeric / 4', 'extract(hour FROM at - window_start)');
my @aggregates = ('count(*)', 'count(t)', 'sum(i)', 'sum(b)', 'sum(s)', 'sum(n)', 'avg(n)', 'avg(i)', 'avg(s)', 'min(t)', 'max(t)',
	'min(n)', 'max(n)', 'min(f)', 'max(f)', 'sum(f)', 'avg(f)', 'min(at)', 'max(at)', 'max(d)', 'bool_or(i > 3)', 'bool_and(b > 0)',
	'sum(v)', 'avg(v)', 'min(v)', 'sum(i * s)', 'sum(n) + count(*)', 'max(i) - min(i)', 'coalesce(sum(i), 0)',
	'round(avg(n), 2)', 'count(*) FILTER (WHERE i > 4)', q{sum(n) FILTER (WHERE t = 'a')}, 'min(s) FILTER (WHERE b IS NULL)');
my @filters = ('', '', '', 'WHERE i > 2', 'WHERE t IS NOT NULL', 'WHERE n <> 0 AND i < 8', 'WHERE b IS NULL OR s > 1', 'WHERE false',
	'WHERE at > window_start', q{WHERE t IN ('a', 'b') OR f > 0});
my @havings = ('', '', '', 'HAVING count(*) > 2', 'HAVING max(i) > 4 OR min(t) IS NULL');
my @windows = map { "'$_'" } '1 second', '7 seconds', '1 minute', '15 minutes', '1 hour', '5 hours', '1 day', '1 week';
push @windows, q{'1 day', timezone => 'Europe/Berlin'}, q{'6 hours', timezone => 'America/St_Johns'},
	q{'1 hour', '25 minutes'}, q{'1 month', timezone => 'Asia/Kolkata'};
my @zones = ('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu');

sub query
{
	my $stream = shift;
	my @k = some(0, 3, @keys);
	my @a = some(1, 4, @aggregates);
	my $i = 0;
	my $columns = join ', ', map { "$_ AS c" . ++$i } @k, @a;
	my $groups = join ', ', 'window_start', 'window_end', @k;

	return "SELECT window_start, $columns FROM $stream, tumble(at, " . pick(@windows) . ') '
	  . pick(@filters) . " GROUP BY $groups " . pick(@havings);
}

# Event time goes on through a spring day with 23 hours.
my $clock = 0;

sub rows
{
	my ($stream, $n, $disorder) = @_;
	my $from = $clock;
	my $step = pick(0.01, 0.5, 3, 40);

	$clock += $n * $step;
	return qq{INSERT INTO $stream SELECT
		(random() * 10)::int, nullif((random() * 4)::int - 1, 0), (random() * 3)::int2,
		(ARRAY['a', 'b', 'B', '', repeat('long', 30), NULL])[1 + (random() * 5)::int],
		(ARRAY['1.0', '1.00', '-3.25', '0', 'NaN', NULL])[1 + (random() * 5)::int]::numeric,
		((random() * 8)::int - 4) * 0.5, DATE '2026-03-28' + (random() * 2)::int, (random() * 3)::int * interval '1 hour',
		jsonb_build_object('k', (random() * 2)::int), ARRAY[(random() * 2)::int, NULL],
		timestamptz '2026-03-28 20:00+00' + ($from + g * $step - random() * $disorder) * interval '1 second'
		FROM generate_series(1, $n) g;};
}

sub worker_terminate
{
	sql('SELECT count(pg_terminate_backend(pid)) FROM streamfuse.stat_workers');
	return;
}

sub restart
{
	$psql->quit;
	$node->stop(pick('fast', 'immediate'));
	$node->start;
	$psql = $node->background_psql('postgres', on_error_die => 1);
	return;
}

sub size { return pick(1, 1, 2, 10, 100, 700); }

sub step
{
	my ($stream, $disorder) = @_;
	my $what = rand;
	my $insert = sub { rows($stream, size(), $disorder) };

	if ($what < 0.45) { sql($insert->()); }
	elsif ($what < 0.55) { sql('BEGIN'); sql($insert->()) for 1 .. 3; sql('COMMIT'); }
	elsif ($what < 0.65) { sql('BEGIN'); sql($insert->()); sql('ROLLBACK'); }
	elsif ($what < 0.78)
	{
		sql('BEGIN');
		sql($insert->());
		sql('SAVEPOINT a');
		sql($insert->());
		sql(pick('ROLLBACK TO a', 'RELEASE a'));
		sql($insert->());
		sql(pick('COMMIT', 'COMMIT', 'ROLLBACK'));
	}
	elsif ($what < 0.84) { sql("VACUUM $stream"); }
	elsif ($what < 0.88) { sql("VACUUM FREEZE $stream"); }
	elsif ($what < 0.92) { sql('CHECKPOINT'); }
	elsif ($what < 0.98) { worker_terminate(); }
	else { restart(); }
	return;
}

# One case: a stream, some of its history, its view, more of its history.
sub run_case
{
	my $case = shift;
	my ($stream, $view) = ("s$case", "v$case");
	my $delay = pick(0, 1, 30, 3600);
	my $disorder = pick(0, $delay, $delay, $delay * 1.5);
	my $query = query($stream);
	my $zone = pick(@zones);

	$clock = 0;
	sql("SET TimeZone = '$zone';");
	sql("CREATE TABLE $stream (i int, b bigint, s smallint, t text, n numeric, f float8, d date, v interval, j jsonb, a int[], at timestamptz NOT NULL) USING stream;"
		. "SELECT streamfuse.set_watermark('$stream', 'at', delay => '$delay s');");
	step($stream, $disorder) for 1 .. int rand 3;
	sql("CREATE MATERIALIZED VIEW $view WITH (streamfuse.continuous) AS $query");
	for my $round (1 .. 2)
	{
		step($stream, $disorder) for 1 .. 1 + int rand 4;
		sql("SET TimeZone = '$zone'");
		my $result = eval {
			sql("SELECT streamfuse.flush('$view')");
			sql(qq{WITH dirty AS (SELECT window_start FROM streamfuse.dirty_windows WHERE view = '$view'::regclass),
				stream AS (SELECT * FROM $view WHERE window_start NOT IN (TABLE dirty)),
				batch AS (SELECT * FROM ($query) q WHERE window_start NOT IN (TABLE dirty))
				SELECT count(*) FROM ((TABLE stream EXCEPT ALL TABLE batch) UNION ALL (TABLE batch EXCEPT ALL TABLE stream)) d});
		} // "error: $@";
		next if $result eq '0';
		diag("case $case, seed $seed, delay $delay, disorder $disorder, zone $zone, round $round: $result\n$query");
		return 0;
	}
	sql("DROP TABLE $stream CASCADE") if rand() < 0.7;
	return 1;
}

ok(run_case($_), "case $_") for 1 .. $cases;

# The comparison has had something to compare.
is(sql('SELECT sum(rows_in) > 1000 FROM streamfuse.stat_views'), 't', 'rows were counted');
is(sql(q{SELECT sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %s', output), false, true, '')))[1]::text::int) > 0
	FROM streamfuse.views}), 't', 'windows were closed');

$psql->quit;
$node->stop;
done_testing();
