# Sessions are held, fail and die where they insert, read, create, drop, wait and verify.  A reader that is held finds each
# window once, wherever the window has gone meanwhile, under every isolation level; an insert that is held keeps pages from
# being sealed, and one that fails does not.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Sales;
use Streamfuse::Server;

my $node = start_server('sessions',
	'restart_after_crash = on',
	"streamfuse.commit_interval = '10ms'",
	"streamfuse.checkpoint_interval = '1s'",
	'streamfuse.test_lag_pages = 2');
need_fault_points($node);
create_sales($node);
insert_rows($node);
insert_bulk($node);
check_sales($node, 'before');

sub sql { return $node->safe_psql('postgres', shift); }

# What a session answers to a statement that comes to a point: disturb() is called while it is held there.
sub held
{
	my ($session, $query, $point, $disturb) = @_;

	fault($node, $point, 'wait', 1);
	start_query($session, $query);
	fault_hit($node, $point);
	$disturb->();
	fault($node, $point, 'none');
	return finish_query($session);
}

# A statement that dies at a point: alone, or with the whole server.
sub dies_at
{
	my ($query, $point, $action) = @_;

	fault($node, $point, $action, 1);
	isnt($node->psql('postgres', $query, stderr => \my $ignored), 0, "$action at $point: the session dies");
	$action eq 'kill' ? fault_crash($node, $point) : fault($node, $point, 'none');
	return;
}

# ---- inserts ----

my $file = $node->basedir . '/rows';

sub open_pages { return sql(q{SELECT open_bytes / 8192 FROM streamfuse.stat_streams WHERE stream = 'orders'::regclass}); }

for my $point ('insert-in-section', 'insert-extended')
{
	my $insert = order_rows(40, 0.5);

	# Rows of several pages extend the table at once only where they come in batches.
	if ($point eq 'insert-extended')
	{
		(my $select = order_rows(400, 0.5)) =~ s/INSERT INTO orders //;
		unlink $file;
		sql("COPY ($select) TO '$file'");
		$insert = "COPY orders FROM '$file'";
	}

	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $pages;

	is(held($session, $insert, $point, sub {
		for (1 .. 3)
		{
			insert_bulk($node);
			check_sales($node, "wait at $point: the others' rows");
		}
		$pages = open_pages();
	}), '', "wait at $point: inserted");
	cmp_ok($pages, '>', 20, "wait at $point: pages stay open");
	insert_bulk($node);
	check_sales($node, "wait at $point: all rows");
	cmp_ok(open_pages(), '<', 10, "wait at $point: and are sealed afterwards");

	# An error ends the insert, and the next one of the transaction begins anew.
	fault($node, $point, 'error');
	like(finish_after($session, "DO \$\$ BEGIN $insert; EXCEPTION WHEN internal_error THEN PERFORM fault_set('$point', 'none'); $insert; END \$\$"),
		qr/^$/, "error at $point: inserted by the next try");
	fault($node, $point, 'none');
	$session->quit;
	insert_bulk($node);
	check_sales($node, "error at $point");
	cmp_ok(open_pages(), '<', 10, "error at $point: pages are sealed");

	for my $action ('exit', 'kill')
	{
		dies_at($insert, $point, $action);
		insert_bulk($node);
		check_sales($node, "$action at $point");
		cmp_ok(open_pages(), '<', 10, "$action at $point: pages are sealed");
	}
}

sub finish_after
{
	my ($session, $query) = @_;

	start_query($session, $query);
	return finish_query($session);
}

# A transaction that has committed but not woken the worker: who waits for its rows wakes it.
my $session = $node->background_psql('postgres', on_error_stop => 0);
held($session, order_rows(5, 0.5), 'insert-before-wake', sub { check_sales($node, 'wait at insert-before-wake') });
dies_at(order_rows(5, 0.5), 'insert-before-wake', 'kill');
check_sales($node, 'kill at insert-before-wake');
eval { $session->quit };

# ---- readers ----

# Windows close, and leave memory when the reader's pin does not keep them: twice, since they leave in the tick after.
sub close_windows
{
	for (1 .. 2)
	{
		jump($node);
		sql('SELECT streamfuse.flush()');
	}
	return;
}

sql(q{CREATE MATERIALIZED VIEW wide WITH (streamfuse.continuous) AS
	SELECT window_start, id, count(*) AS orders FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, id});
my $all = q{SELECT window_start, category, orders, revenue FROM sales};

for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	for my $point ('read-after-plan', 'read-before-pin', 'read-after-pin', 'read-scan-start', 'read-windows-listed', 'read-before-batch')
	{
		my $reader = $node->background_psql('postgres');

		insert_rows($node);
		sql('SELECT streamfuse.flush()');
		my $until = sql('SELECT max(window_start) FROM sales');
		my $query = "SELECT md5(string_agg(s::text, ' ' ORDER BY s)) FROM ($all WHERE window_start <= '$until') s";
		my $expected = sql($query);

		# The snapshot is from before the close, except where each statement has its own.
		$reader->query_safe("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM streamfuse.views");
		is(held($reader, $query, $point, \&close_windows), $expected, "$level, wait at $point");
		is($reader->query_safe($query), $expected, "$level, wait at $point: and again");
		$reader->query_safe('COMMIT');
		is($reader->query_safe($query), $expected, "$level, wait at $point: and with a new snapshot");
		$reader->quit;
	}

	# A cursor that is half read, of more groups than are copied at once.
	my $reader = $node->background_psql('postgres');
	insert_bulk($node);
	sql('SELECT streamfuse.flush()');
	my $until = sql('SELECT max(window_start) FROM wide');
	my $expected = sql("SELECT count(*), sum(orders) FROM wide WHERE window_start <= '$until'");

	$reader->query_safe("BEGIN ISOLATION LEVEL $level; DECLARE c CURSOR FOR SELECT orders FROM wide WHERE window_start <= '$until'");
	my $rows = $reader->query_safe('FETCH 10 FROM c');
	close_windows();
	$rows .= "\n" . $reader->query_safe('FETCH 700 FROM c');
	close_windows();
	$rows .= "\n" . $reader->query_safe('FETCH ALL FROM c');
	my @rows = split /\n/, $rows;
	my $sum = 0;
	$sum += $_ for @rows;
	is(@rows . "|$sum", $expected, "$level, a cursor that is half read");
	$reader->query_safe('COMMIT');
	$reader->quit;
}

# A reader that fails or dies keeps nothing.
for my $point ('read-after-plan', 'read-before-pin', 'read-after-pin', 'read-scan-start', 'read-windows-listed', 'read-before-batch')
{
	for my $action ('error', 'exit')
	{
		dies_at('SELECT * FROM sales', $point, $action);
		close_windows();
		jump($node);
		check_sales($node, "$action at $point");
		cmp_ok(sql(q{SELECT groups FROM streamfuse.stat_views WHERE view = 'sales'::regclass}), '<', 9,
			"$action at $point: closed windows leave memory");
	}
}

# Reading what is committed now: also what closes before the statement goes on.
{
	my $reader = $node->background_psql('postgres', on_error_stop => 0);

	insert_rows($node);
	my $until = sql('SELECT max(window_start) FROM (' . $batch{sales} . ') b');
	my $rows = "count(*), sum(orders) FROM sales WHERE window_start <= '$until'";
	my $expected = sql("SELECT count(*), sum(orders) FROM ($batch{sales}) b WHERE window_start <= '$until'");

	$reader->query_safe("SET streamfuse.read_consistency = 'latest'");
	is(held($reader, "SELECT $rows", 'read-latest-waited', \&close_windows), $expected, 'wait at read-latest-waited');
	fault($node, 'read-latest-waited', 'error');
	like(finish_after($reader, "SELECT $rows"), qr/fault point/, 'error at read-latest-waited');
	fault($node, 'read-latest-waited', 'none');
	is(finish_after($reader, "SELECT $rows"), $expected, 'error at read-latest-waited: the next statement');
	$reader->quit;
}

# ---- verification ----

for my $point ('verify-before-snapshot', 'verify-after-snapshot')
{
	my $verifier = $node->background_psql('postgres', on_error_stop => 0);
	my $verify = q{SELECT count(*) FROM streamfuse.verify('sales')};

	insert_rows($node);
	is(held($verifier, $verify, $point, \&close_windows), '0', "wait at $point");
	fault($node, $point, 'error');
	like(finish_after($verifier, $verify), qr/fault point/, "error at $point");
	fault($node, $point, 'none');
	is(finish_after($verifier, $verify), '0', "error at $point: the next time");
	$verifier->quit;
}

# ---- flush ----

# A waiter that goes away is not waited for.
for my $action ('wait', 'error', 'exit')
{
	my $waiter = $node->background_psql('postgres', on_error_stop => 0);

	insert_rows($node);
	if ($action eq 'wait')
	{
		isnt(held($waiter, 'SELECT streamfuse.flush()', 'flush-asked', sub { insert_rows($node) }), '', 'wait at flush-asked');
	}
	else
	{
		dies_at('SELECT streamfuse.flush()', 'flush-asked', $action);
	}
	check_sales($node, "$action at flush-asked");
	$waiter->quit;
}

# ---- CREATE and DROP ----

for my $point ('view-before-fragment', 'view-after-fragment')
{
	my $create = "CREATE MATERIALIZED VIEW again WITH (streamfuse.continuous) AS $batch{sales}";
	my $owner = $node->background_psql('postgres', on_error_stop => 0);

	is(held($owner, $create, $point, sub { insert_rows($node); check_sales($node, "wait at $point: the other views") }),
		'', "wait at $point");
	check_sales($node, "wait at $point");
	same_rows($node, 'again', $batch{sales}, "wait at $point: the new view");
	$owner->quit;
	sql('DROP MATERIALIZED VIEW again');

	for my $action ('error', 'exit', 'kill')
	{
		dies_at($create, $point, $action);
		is(sql(q{SELECT to_regclass('again') IS NULL AND count(*) = 4 FROM streamfuse.fragment}), 't',
			"$action at $point: nothing is left");
		insert_rows($node);
		check_sales($node, "$action at $point");
	}
}

# A view is dropped while its windows close: the command waits for the close, and what waits to be closed does not matter
# any more.  When the worker goes away instead, the command goes on as well.
for my $action ('the close goes on', 'its worker goes away')
{
	my $owner = $node->background_psql('postgres', on_error_stop => 0);

	sql("CREATE MATERIALIZED VIEW again WITH (streamfuse.continuous) AS $batch{sales}");
	sql(q{SELECT streamfuse.flush('again')});
	fault($node, 'commit-before', 'wait');
	jump($node);
	fault_hit($node, 'commit-before');
	start_query($owner, 'DROP MATERIALIZED VIEW again');
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ '^DROP'})
	  or die 'the command does not wait';
	terminate_worker($node) if $action eq 'its worker goes away';
	fault($node, 'commit-before', 'none');
	is(finish_query($owner), '', "a view is dropped while it closes ($action)");
	$owner->quit;
	check_sales($node, "a view was dropped while it closed ($action)");
}

for my $action ('wait', 'error', 'exit', 'kill')
{
	my $create = "CREATE MATERIALIZED VIEW again WITH (streamfuse.continuous) AS $batch{sales}";

	sql($create) if sql(q{SELECT to_regclass('again') IS NULL}) eq 't';
	insert_rows($node);
	if ($action eq 'wait')
	{
		my $owner = $node->background_psql('postgres', on_error_stop => 0);

		# The other views go on while somebody drops one.
		held($owner, 'DROP MATERIALIZED VIEW again', 'view-drop', sub {
			insert_rows($node);
			sql("SELECT streamfuse.flush('sales')");
			same_rows($node, 'sales', $batch{sales}, 'wait at view-drop: another view');
		});
		$owner->quit;
		is(sql(q{SELECT to_regclass('again') IS NULL AND count(*) = 4 FROM streamfuse.fragment}), 't', 'wait at view-drop: it is gone');
	}
	else
	{
		dies_at('DROP MATERIALIZED VIEW again', 'view-drop', $action);
		check_sales($node, "$action at view-drop");
		same_rows($node, 'again', $batch{sales}, "$action at view-drop: it is as it was");
	}
}

$node->stop;
done_testing();
