# What the statistics views say while something is under way or in the way, and across crashes.  They wait for nobody.
use strict;
use warnings;

use PostgreSQL::Test::BackgroundPsql ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('stat');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
max_prepared_transactions = 5
fsync = off
autovacuum = off
timezone = 'UTC'
streamfuse.checkpoint_interval = '1h'
streamfuse.test_tick_pages = 10
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION streamfuse;
	CREATE FUNCTION fault_set(name text, action text) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_set';
	CREATE FUNCTION fault_wait_hit(name text) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_wait_hit';
	CREATE TABLE orders (event_time timestamptz NOT NULL, amount int, note text) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '1 minute');
	CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS
	SELECT window_start, sum(amount) AS amount, count(*) AS orders FROM orders, tumble(event_time, '5 minutes')
	GROUP BY window_start, window_end;
	INSERT INTO orders VALUES ('2026-01-01 00:01', 1, 'x');
});
# Not before the library's functions can be called.
eval { $node->safe_psql('postgres', q{SELECT fault_set('tick-after-publish', 'none')}); 1 }
  or plan skip_all => 'needs a build with CHECK=1';

sub sql { return $node->safe_psql('postgres', shift); }
sub flush { return sql('SELECT streamfuse.flush()'); }

sub background
{
	my $session = $node->background_psql('postgres', on_error_stop => 1);
	return $session;
}

# Rows of open transactions.
flush();
my $writer = background();
my $pid = $writer->query_safe('SELECT pg_backend_pid()');
$writer->query_safe(q{BEGIN; INSERT INTO orders VALUES ('2026-01-01 00:02', 2, 'x')});
sql(q{INSERT INTO orders VALUES ('2026-01-01 00:03', 3, 'x')});
flush();
my $pending = q{SELECT pending_transactions, oldest_pending_pid, oldest_pending_gid, oldest_pending_since IS NOT NULL FROM streamfuse.stat_streams};
is(sql($pending), "1|$pid||t", 'an open transaction that has inserted');
is(sql('SELECT rows_in FROM streamfuse.stat_views'), '2', 'its rows are not counted');
$writer->query_safe(q{PREPARE TRANSACTION 'later'});
is(sql($pending), '1||later|t', 'prepared, it is known by its name');
sql(q{COMMIT PREPARED 'later'});
flush();
is(sql($pending), '0|||f', 'nothing is pending');
is(sql('SELECT rows_in FROM streamfuse.stat_views'), '3', 'all are counted');

# A lock on the stream: who looks is told, and does not wait.
$writer->query_safe('BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE');
my $waiter = background();
$waiter->query_until(qr/asked/, "\\echo asked\nSELECT streamfuse.flush('sales');\n");
ok($node->poll_query_until('postgres', q{SELECT waits_for = 'a lock on the stream' FROM streamfuse.stat_views}), 'the view waits for a lock');
is(sql('SELECT locked FROM streamfuse.stat_streams'), 't', 'the stream is locked');
is(sql('SELECT lag > interval \'0\', lag_bytes IS NULL FROM streamfuse.stat_views'), 't|t', 'the view is behind, how far is not to be seen');
$writer->query_safe('ROLLBACK');
$writer->quit;
$waiter->quit;
flush();
is(sql('SELECT lag < interval \'1 min\', waits_for FROM streamfuse.stat_views'), 't|later rows', 'nothing is in the way');

# History.
sql(q{INSERT INTO orders SELECT timestamptz '2026-01-01 00:02' + g * interval '1 s', 1, repeat('x', 500) FROM generate_series(1, 2000) g});
flush();
sql(q{SELECT fault_set('tick-after-publish', 'wait')});
sql(q{CREATE MATERIALIZED VIEW averages WITH (streamfuse.continuous) AS
	SELECT window_start, avg(amount) FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end});
sql(q{SELECT fault_wait_hit('tick-after-publish')});
# It may have begun before the view was there; then the worker goes on by one tick.
while (sql(q{SELECT phase FROM streamfuse.stat_progress_backfill}) ne 'backfilling')
{
	for my $points ([ 'tick-before-publish', 'tick-after-publish' ], [ 'tick-after-publish', 'tick-before-publish' ])
	{
		sql("SELECT fault_set('$points->[0]', 'wait')");
		sql("SELECT fault_set('$points->[1]', 'none')");
		sql("SELECT fault_wait_hit('$points->[0]')");
	}
}
is(sql(q{SELECT view, stream, phase, rows_done > 0 AND rows_done < 2000, bytes_done > 0 AND bytes_done < bytes_total,
		percent > 0 AND percent < 100, since IS NOT NULL FROM streamfuse.stat_progress_backfill}),
	'averages|orders|backfilling|t|t|t|t', 'history is being worked in');
is(sql(q{SELECT waits_for, lag_rows > 0 AND lag_rows < 4000 FROM streamfuse.stat_views WHERE view = 'averages'::regclass}),
	'rows to catch up with|t', 'what waits is estimated');
like(sql(q{SELECT query FROM pg_stat_activity WHERE backend_type = 'streamfuse worker'}),
	qr/^(catching up stream orders, \d+ %|tick of \d+ rows)$/, 'pg_stat_activity says so');
is(sql(q{SELECT state FROM streamfuse.stat_workers}), 'tick', 'the worker is in a tick');
sql(q{SELECT fault_set('tick-after-publish', 'none')});
flush();
is(sql('SELECT count(*) FROM streamfuse.stat_progress_backfill'), '0', 'nothing is left to work in');
is(sql(q{SELECT status, rows_read, rows_in FROM streamfuse.stat_views ORDER BY view::text}), "running|2003|2003\nrunning|2003|2003", 'each row was read once');
ok($node->poll_query_until('postgres', q{SELECT state = 'idle' FROM pg_stat_activity WHERE backend_type = 'streamfuse worker'}), 'the worker is idle');

# Counters across crashes: late rows, rows ahead of the clock, rows of open windows, committed and not.
my $facts = 'rows_read, rows_in, rows_late, rows_missed, rows_ahead';
my $counters = "SELECT view, $facts FROM streamfuse.stat_views ORDER BY view::text";
my $committed = 'SELECT view, ' . join(', ', map { "committed_$_" } split /, /, $facts) . ' FROM streamfuse.stat_views ORDER BY view::text';
sql(q{INSERT INTO orders VALUES ('2026-01-01 00:01', 1, 'late'), ('2099-01-01 00:00', 1, 'ahead'), ('2026-01-01 00:36', 1, 'in')});
sql('SELECT streamfuse.checkpoint()');
is(sql($committed), sql($counters), 'a checkpoint makes all counters durable');
sql(q{INSERT INTO orders VALUES ('2026-01-01 00:36:10', 1, 'in'), ('2026-01-01 00:36:20', 1, 'in')});
flush();
my $before = sql($counters);
my $durable = sql($committed);
isnt($durable, $before, 'what open windows have counted since is in memory');
sql('SELECT pg_terminate_backend(pid) FROM streamfuse.stat_workers');
flush();
is(sql($counters), $before, 'after the worker was terminated');
$node->stop('immediate');
$node->start;
flush();
is(sql($counters), $before, 'after the server was killed each row is counted once');
like($before, qr/^averages\|2008\|2007\|1\|1\|1$/m, 'they are what was inserted');
$node->stop('fast');
$node->start;
flush();
is(sql($counters), $before, 'after a restart');

# DROP frees what the statistics views look at; they are read all the while.
my $script = join '', map { "SELECT count(*) FROM streamfuse.stat_views;\nSELECT count(*) FROM streamfuse.stat_streams;\nSELECT count(*) FROM streamfuse.stat_workers;\nSELECT count(*) FROM streamfuse.views;\n" } (1 .. 300);
my $out = '';
my $reader = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-p', $node->port, '-h', $node->host, '-d', 'postgres' ], '<', \$script, '>', \$out, '2>', \$out);
for my $i (1 .. 15)
{
	sql("CREATE MATERIALIZED VIEW passing WITH (streamfuse.continuous) AS SELECT window_start, count(*) FROM orders, tumble(event_time, '$i minutes') GROUP BY window_start, window_end");
	sql('SELECT streamfuse.flush()');
	sql('DROP MATERIALIZED VIEW passing');
}
ok($reader->finish, 'statistics are read while views come and go') or diag $out;

# The server log: what happens to views, and nothing of ticks unless it is asked for.
my $log = slurp_file($node->logfile);
like($log, qr/maintaining 1 continuous view of database "postgres"/, 'log: start');
like($log, qr/continuous view "averages" is being filled from stream "orders"/, 'log: filling');
like($log, qr/continuous view "averages" is filled from stream "orders"/, 'log: filled');
unlike($log, qr/streamfuse tick/, 'log: no ticks');
$node->append_conf('postgresql.conf', 'log_min_messages = debug1');
$node->reload;
sql(q{INSERT INTO orders VALUES ('2026-01-01 00:36:30', 1, 'in')});
flush();
sql(q{INSERT INTO orders VALUES ('2026-01-01 00:36:30', 1, 'in')});
flush();
like(slurp_file($node->logfile), qr/DEBUG: .*streamfuse tick \d+ took in 1 rows/, 'log: ticks at debug1');

$node->stop;
done_testing();
