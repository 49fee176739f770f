# A view that raises an error is left out and tried again, and nobody else is disturbed: not by its expressions, not by
# what its output table's triggers do or wait for, not by a worker that is cancelled or terminated in the middle of it.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server;

# So long a delay that a view which waits to be tried again waits for resume().
my $node = start_server('retry',
	'fsync = off',
	"streamfuse.commit_interval = '1ms'",
	"streamfuse.restart_delay = '1h'",
	'streamfuse.restart_attempts = 2');
need_fault_points($node);

sub sql { return $node->safe_psql('postgres', shift); }

sub status
{
	my $view = shift;
	return sql("SELECT status, sqlstate, attempts, next_attempt > now() + interval '50 minutes'
		FROM streamfuse.stat_views WHERE view = '$view'::regclass");
}

sub wait_for_status
{
	my ($view, $status) = @_;
	$node->poll_query_until('postgres', "SELECT status FROM streamfuse.views WHERE view = '$view'::regclass", $status)
		or die "$view is not $status";
	return;
}

my %batch = (
	counts => 'SELECT window_start, count(*) AS n FROM orders, tumble(event_time, \'5 minutes\') GROUP BY window_start, window_end',
	shares => 'SELECT window_start, sum(share(amount)) AS s FROM orders, tumble(event_time, \'5 minutes\') GROUP BY window_start, window_end');

# As many minutes of rows; the last one is the only one that closes no window.
my $minute = 0;

sub insert_minutes
{
	my ($n, $amount) = @_;
	sql("INSERT INTO orders SELECT g, $amount, '2026-01-01'::timestamptz + g * interval '1 min'
		FROM generate_series($minute, $minute + $n - 1) g");
	$minute += $n;
	return;
}

sub others_go_on
{
	my $name = shift;
	insert_minutes(6, 1);
	sql(q{SELECT streamfuse.flush('counts')});
	same_rows($node, 'counts', $batch{counts}, "$name: the other view goes on");
	is(sql(q{SELECT max(window_start) < (SELECT max(event_time) - interval '5 min' FROM orders) FROM counts}), 'f', "$name: with all rows");
	return;
}

sub all_is_well
{
	my $name = shift;
	sql('SELECT streamfuse.flush()');
	same_rows($node, $_, $batch{$_}, "$name: $_") for sort keys %batch;
	is(sql(q{SELECT count(*) FROM streamfuse.stat_views
		WHERE status <> 'running' OR error IS NOT NULL OR attempts <> 0 OR next_attempt IS NOT NULL}), '0', "$name: all views run");
	is(sql('SELECT count(*) FROM streamfuse.dirty_windows'), '0', "$name: nothing was late");
	return;
}

sql(q{
	CREATE TABLE orders (id int, amount int, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
	CREATE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / amount; END'});
sql("CREATE MATERIALIZED VIEW $_ WITH (streamfuse.continuous) AS $batch{$_}") for sort keys %batch;
insert_minutes(7, 1);
sql('SELECT streamfuse.flush()');

# ---- an expression ----

my $before = sql('SELECT * FROM shares ORDER BY 1');
insert_minutes(1, 0);
wait_for_status('shares', 'retrying');
is(status('shares'), 'retrying|22012|1|t', 'expression: it waits to be tried again');
is(sql('SELECT * FROM shares ORDER BY 1'), $before, 'it is read as it was published last');
others_go_on('expression');
my ($out, $error);
$node->psql('postgres', q{SELECT streamfuse.flush('shares', timeout => '1 ms')}, stderr => \$error);
like($error, qr/has not caught up in time\nDETAIL:  It is tried again after an error: division by zero, in row/, 'flush waits for it');
is(sql(q{SELECT waits_for FROM streamfuse.stat_views WHERE view = 'shares'::regclass}), 'another attempt', 'and says what it waits for');

# resume() tries at once, and begins to count anew.
for my $try (1 .. 3)
{
	my $until = sql(q{SELECT next_attempt FROM streamfuse.stat_views WHERE view = 'shares'::regclass});
	sql(q{SELECT streamfuse.resume('shares')});
	$node->poll_query_until('postgres', qq{SELECT next_attempt > '$until' FROM streamfuse.stat_views WHERE view = 'shares'::regclass})
		or die 'it is not tried again';
	is(status('shares'), 'retrying|22012|1|t', "resumed, try $try");
}
terminate_worker($node);
wait_for_status('shares', 'retrying');
is(sql('SELECT * FROM shares ORDER BY 1'), $before, 'the next worker does the same');
others_go_on('expression, the next worker');
sql(q{CREATE OR REPLACE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / nullif(amount, 0); END';
	SELECT streamfuse.resume('shares')});
all_is_well('expression, repaired');

# ---- the attempts are counted, and over when it succeeds ----

sub attempts_in_log
{
	my $from = shift;
	my $log = substr(slurp_file($node->logfile), $from);
	my @tries = $log =~ /LOG:  continuous view "shares" has raised an error/g;
	my @failures = $log =~ /LOG:  continuous view "shares" has failed/g;
	return @tries . ' tries, ' . @failures . ' failures';
}

$node->append_conf('postgresql.conf', 'streamfuse.restart_delay = 0');
$node->restart;
sql(q{CREATE OR REPLACE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / amount; END'});
my $log_at = -s $node->logfile;
insert_minutes(1, 0);
$node->psql('postgres', q{SELECT streamfuse.flush('shares')}, stderr => \$error);
like($error, qr/has failed\nDETAIL:  division by zero, in row .*\nHINT:  Call streamfuse\.resume/, 'flush waits while it is tried again');
is(attempts_in_log($log_at), '2 tries, 1 failures', 'that happens restart_attempts times');
is(status('shares'), 'failed|22012|0|', 'then it has failed');
others_go_on('failed');
$node->restart;
is(status('shares'), 'failed|22012|0|', 'which outlasts a restart');
others_go_on('failed, after a restart');
$log_at = -s $node->logfile;
sql(q{SELECT streamfuse.resume('shares')});
$node->psql('postgres', q{SELECT streamfuse.flush('shares')}, stderr => \$error);
is(attempts_in_log($log_at), '2 tries, 1 failures', 'resumed, it gets as many attempts again');
sql(q{CREATE OR REPLACE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / nullif(amount, 0); END';
	SELECT streamfuse.resume('shares')});
all_is_well('attempts');

# Or on_error says that such rows are to be skipped.
sql(q{CREATE OR REPLACE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / amount; END'});
insert_minutes(1, 0);
$node->psql('postgres', q{SELECT streamfuse.flush('shares')});
sql(q{ALTER MATERIALIZED VIEW shares SET (streamfuse.on_error = 'skip'); SELECT streamfuse.resume('shares'); SELECT streamfuse.flush('shares')});
is(sql(q{SELECT count(*) FROM streamfuse.errors WHERE view = 'shares'::regclass}), '1', 'skip: the row is set aside');
others_go_on('skip');
sql(q{CREATE OR REPLACE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / nullif(amount, 0); END'});
all_is_well('skip: the others are counted');
sql(q{DROP MATERIALIZED VIEW shares});
sql("CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous) AS $batch{shares}");
all_is_well('made again');

# ---- a trigger on the output table ----

$node->append_conf('postgresql.conf', "streamfuse.restart_delay = '1h'");
$node->restart;
sql(q{SELECT streamfuse.flush();
	CREATE TABLE audit (n int);
	INSERT INTO audit VALUES (0);
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE audit SET n = n + 1; RETURN NULL; END $$;
	CREATE TRIGGER refuse AFTER INSERT ON shares_closed FOR EACH ROW EXECUTE FUNCTION refuse()});
my $closed = sql('SELECT count(*) FROM shares_closed');
others_go_on('trigger');
wait_for_status('shares', 'retrying');
is(status('shares'), 'retrying|P0001|1|t', 'trigger: it waits to be tried again');
others_go_on('trigger, later');
is(sql('SELECT count(*) FROM shares_closed'), $closed, 'trigger: nothing of it is committed');
same_rows($node, 'shares', $batch{shares}, 'trigger: but it takes in rows, and is read with all of them');
sql(q{DROP TRIGGER refuse ON shares_closed; SELECT streamfuse.resume('shares')});
all_is_well('trigger, dropped');
is(sql('SELECT count(*) FROM shares_closed'), sql('SELECT count(*) FROM counts_closed'), 'trigger, dropped: what was refused is committed');

# Of a view that has failed, its last windows may be refused as well: it still says why it has failed.
$node->append_conf('postgresql.conf', 'streamfuse.restart_attempts = 0');
$node->restart;
my $locker = $node->background_psql('postgres', on_error_stop => 0);
$locker->query_safe(q{CREATE OR REPLACE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / amount; END';
	CREATE TRIGGER refuse AFTER INSERT ON shares_closed FOR EACH ROW EXECUTE FUNCTION refuse();
	SELECT streamfuse.flush();
	BEGIN; LOCK TABLE shares_closed IN SHARE MODE});
others_go_on('output locked');
insert_minutes(1, 0);
wait_for_status('shares', 'failed');
is(status('shares'), 'failed|22012|0|', 'output locked: it has failed');
$locker->query_safe('ROLLBACK');
$locker->quit;
$node->poll_query_until('postgres', q{
	SELECT failed AND sqlstate = '22012' FROM streamfuse.progress p JOIN streamfuse.fragment f ON f.id = p.fragment
	WHERE view = 'shares'::regclass}) or die 'the failure is not durable';
is(status('shares'), 'failed|22012|0|', 'output refused: it says still why it has failed');
$node->append_conf('postgresql.conf', 'streamfuse.restart_attempts = 2');
$node->restart;
is(status('shares'), 'failed|22012|0|', 'after a restart, too');
sql(q{CREATE OR REPLACE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / nullif(amount, 0); END';
	DROP TRIGGER refuse ON shares_closed; SELECT streamfuse.resume('shares')});
all_is_well('failed and refused');

# One that waits for a lock is not waited for, and gets there by itself.
$closed = sql('SELECT count(*) FROM shares_closed');
sql('CREATE TRIGGER note AFTER INSERT ON shares_closed FOR EACH ROW EXECUTE FUNCTION note()');
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN');
$locker->query_safe('UPDATE audit SET n = n');
others_go_on('row lock');
$node->poll_query_until('postgres', q{SELECT attempts >= 2 FROM streamfuse.stat_views WHERE view = 'shares'::regclass}) or die;
is(sql(q{SELECT status, sqlstate FROM streamfuse.stat_views WHERE view = 'shares'::regclass}), 'retrying|55P03', 'row lock: it is tried again soon');
others_go_on('row lock, later');
$locker->query_safe('COMMIT');
all_is_well('row lock, released');
is(sql('SELECT n FROM audit'), sql("SELECT count(*) - $closed FROM shares_closed"), 'row lock, released: the trigger has seen each row once');
sql('DROP TRIGGER note ON shares_closed');

# Nor is a lock on the output table.
$locker->query_safe('BEGIN');
$locker->query_safe('LOCK TABLE shares_closed IN SHARE MODE');
others_go_on('table lock');
is(sql('SELECT count(*) FROM shares_closed'), sql('SELECT count(*) - 1 FROM counts_closed'), 'table lock: nothing of it is committed');
$locker->query_safe('COMMIT');
all_is_well('table lock, released');
$locker->quit;

# ---- trying again costs no memory ----

# What the worker's memory contexts hold together, as it says in the log; in the middle of a tick up to 100 kB more than else.
sub memory_in_use
{
	my $pid = sql('SELECT pid FROM streamfuse.stat_workers');
	my $at = -s $node->logfile;

	sql("SELECT pg_log_backend_memory_contexts($pid); INSERT INTO orders SELECT 0, 1, max(event_time) FROM orders");
	$node->wait_for_log(qr/Grand total: /, $at);
	my ($found) = substr(slurp_file($node->logfile), $at) =~ /Grand total: .*; (\d+) used/;
	return $found // die 'the worker has not told its memory';
}

sub wait_for_attempts
{
	my ($view, $attempts) = @_;
	$node->poll_query_until('postgres', "SELECT attempts > $attempts FROM streamfuse.stat_views WHERE view = '$view'::regclass") or die;
	return;
}

$node->append_conf('postgresql.conf', "streamfuse.restart_delay = 0\nstreamfuse.restart_attempts = 1000000");
$node->restart;
sql(q{SELECT streamfuse.flush();
	CREATE OR REPLACE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / amount; END'});
insert_minutes(1, 0);
wait_for_attempts('shares', 300);
my $used = memory_in_use();
wait_for_attempts('shares', 2500);
cmp_ok(memory_in_use(), '<', $used + 160 * 1024, 'memory: an expression is tried again without leaving anything behind');
sql(q{CREATE OR REPLACE FUNCTION share(amount int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 100 / nullif(amount, 0); END';
	SELECT streamfuse.resume('shares')});
all_is_well('memory');
sql(q{CREATE TRIGGER refuse AFTER INSERT ON shares_closed FOR EACH ROW EXECUTE FUNCTION refuse()});
others_go_on('memory, commit');
wait_for_attempts('shares', 300);
$used = memory_in_use();
wait_for_attempts('shares', 2500);
cmp_ok(memory_in_use(), '<', $used + 160 * 1024, 'memory: nor does a commit');
sql(q{DROP TRIGGER refuse ON shares_closed; SELECT streamfuse.resume('shares')});
all_is_well('memory, commit');
my $files = -s $node->logfile;
cmp_ok($files, '<', 100_000_000, 'the log is not flooded') or diag($files);

# ---- workers that are cancelled and terminated ----

sub worker_pid { return sql('SELECT pid FROM streamfuse.stat_workers'); }

for my $point (qw(tick-before-snapshot apply-touched tick-in-apply tick-before-close progress-put tick-before-publish
	commit-begun commit-tagged commit-after-output commit-after-state))
{
	my $pid = worker_pid();
	fault($node, $point, 'wait');
	insert_minutes(6, 1);
	fault_hit($node, $point);
	sql("SELECT pg_cancel_backend($pid)");
	$node->poll_query_until('postgres', "SELECT fault_hits('$point') >= 2") or die "the step is not tried again at $point";
	fault($node, $point, 'none');
	all_is_well("cancelled at $point");
	is(worker_pid(), $pid, "cancelled at $point: by the same worker");

	fault($node, $point, 'wait');
	insert_minutes(6, 1);
	fault_hit($node, $point);
	terminate_worker($node);
	fault($node, $point, 'none');
	all_is_well("terminated at $point");
}
my $pid = worker_pid();
sql("SELECT pg_cancel_backend($pid)");
others_go_on('cancelled while idle');
is(worker_pid(), $pid, 'cancelled while idle: by the same worker');

my $launcher = sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'streamfuse launcher'});
sql("SELECT pg_cancel_backend($launcher)");
terminate_worker($node);
all_is_well('launcher cancelled');
is(sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'streamfuse launcher'}), $launcher, 'launcher cancelled: it goes on');
sql("SELECT pg_terminate_backend($launcher, 60000)");
others_go_on('launcher terminated');
terminate_worker($node);
all_is_well('launcher and worker terminated');

# A worker that dies at every start is started again after 200, 400, 800 and 1600 ms, counted from start to start.
fault($node, 'recover-before-publish', 'wait');
terminate_worker($node);
my @starts = ('-infinity');
for (1 .. 5)
{
	my $started = "SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'streamfuse worker' AND backend_start > '$starts[-1]'";
	$node->poll_query_until('postgres', "SELECT EXISTS ($started)") or die 'no worker is started';
	push @starts, sql($started);
	terminate_worker($node);
}
cmp_ok(sql("SELECT extract(epoch FROM '$starts[5]'::timestamptz - '$starts[1]')"), '>', 2.5, 'workers that die at start are started with growing delay');
fault($node, 'recover-before-publish', 'none');
all_is_well('workers that die at start');

unlike(slurp_file($node->logfile), qr/TRAP|terminated by signal|reference leak/, 'nothing crashed, and nothing was left open');
$node->stop;
done_testing();
