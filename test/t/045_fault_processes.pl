# Launcher, worker and recovery are held at each of their points, leave there, and die there; commands that need a database
# for themselves come in between, and a view fails.  Whatever happens, each view has every committed row once in the end.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Sales;
use Streamfuse::Server;

my $node = start_server('processes',
	'restart_after_crash = on',
	"streamfuse.commit_interval = '10ms'",
	"streamfuse.checkpoint_interval = '1s'");
need_fault_points($node);
create_sales($node);
insert_rows($node);
check_sales($node, 'before');

# ---- a worker that starts, and takes over what its predecessor left in memory ----

sub restart_worker
{
	insert_rows($node);
	terminate_worker($node);
	return;
}

for (
	[ 'launcher-launch', qw(wait error exit kill) ],
	[ 'worker-start', qw(wait error exit kill) ],
	[ 'recover-member', 'wait', 'passing error', 'exit', 'kill' ],
	[ 'recover-taken-over', 'wait', 'passing error', 'exit', 'kill' ],
	[ 'recover-before-publish', qw(wait exit kill) ])
{
	my ($point, @actions) = @$_;

	for my $action (@actions)
	{
		fault($node, $point, $action);
		if ($action eq 'kill')
		{
			eval { restart_worker() };
			fault_crash($node, $point);
			check_sales($node, "$action at $point");
			next;
		}
		restart_worker();
		fault_hit($node, $point);
		if ($action eq 'wait')
		{
			# A reader waits for the worker, and rows are accepted.
			my $reader = $node->background_psql('postgres');

			insert_rows($node);
			start_query($reader, 'SELECT count(*) FROM (SELECT FROM sales GROUP BY window_start, category HAVING count(*) > 1) d');
			fault($node, $point, 'none');
			is(finish_query($reader), '0', "$action at $point: nothing twice");
			$reader->quit;
		}
		fault($node, $point, 'none');
		check_sales($node, "$action at $point");
	}
}

# ---- a worker that starts after the server, and reads its state from the tables ----

# Restarts the server with a point armed from its start on.
sub restart_with
{
	my ($point, $action) = @_;

	insert_rows($node);
	$node->stop('immediate');
	$node->append_conf('postgresql.conf', "streamfuse.test_faults = '$point=$action'");
	$node->start;
	return;
}

for my $action ('wait', 'passing error', 'exit')
{
	restart_with('recover-loaded', $action);
	fault_hit($node, 'recover-loaded');
	insert_rows($node);
	fault($node, 'recover-loaded', 'none');
	check_sales($node, "$action at recover-loaded");
}

# Its worker dies while it holds still, and the whole server with it; the next one comes to the same point.
restart_with('recover-loaded', 'wait');
fault_hit($node, 'recover-loaded');
my $worker = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'streamfuse worker'});
kill 'KILL', $worker;
poll($node, qq{
	SELECT pid <> $worker AND fault_met('recover-loaded') FROM pg_stat_activity WHERE backend_type = 'streamfuse worker'})
  or die 'no other worker came';
fault($node, 'recover-loaded', 'none');
check_sales($node, 'worker killed at recover-loaded');
$node->append_conf('postgresql.conf', "streamfuse.test_faults = ''");
$node->restart;

# ---- the launcher ----

for my $action (qw(wait error exit kill))
{
	fault($node, 'launcher-start', $action);
	if ($action eq 'kill')
	{
		eval { terminate_launcher($node) };
		fault_crash($node, 'launcher-start');
		check_sales($node, "$action at launcher-start");
		next;
	}
	terminate_launcher($node);
	fault_hit($node, 'launcher-start');

	# The worker needs no launcher, its successor does.
	insert_rows($node);
	check_sales($node, "$action at launcher-start, with a worker");
	restart_worker();
	fault($node, 'launcher-start', 'none');
	check_sales($node, "$action at launcher-start");
}

# ---- a command that is alone in a database ----

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION streamfuse');
create_sales($node, 'other');
insert_rows($node, 'other');

for my $point ('park-asked', 'park-leave')
{
	for my $action (qw(wait error exit kill))
	{
		my $name = "$action at $point";
		my $session = $node->background_psql('postgres', on_error_stop => 0);
		my $answer;

		insert_rows($node, 'other');
		$node->safe_psql('other', 'SELECT streamfuse.flush()');
		insert_rows($node, 'other');
		fault($node, $point, $action);
		start_query($session, 'CREATE DATABASE copy TEMPLATE other');
		if ($action eq 'kill')
		{
			fault_crash($node, $point);
		}
		else
		{
			fault_hit($node, $point);
			fault($node, $point, 'none');
			$answer = eval { finish_query($session) };
		}
		eval { $session->quit };

		# In the worker it does not matter to the command how it goes.
		if ($action eq 'wait' || ($point eq 'park-leave' && $action ne 'kill'))
		{
			is($answer, '', "$name: database copied");
			check_sales($node, "$name, the copy", 'copy');
			$node->safe_psql('postgres', 'DROP DATABASE copy');
		}
		check_sales($node, $name, 'other');
	}
}

# ---- a view that fails ----

# What it shows, while its memory is given back and for ever after, is its last commit.
for my $action (qw(wait exit kill))
{
	my $point = 'stopped-before-release';
	my $name = "$action at $point";

	$node->safe_psql('postgres', q{
		CREATE TABLE readings (x int, event_time timestamptz NOT NULL) USING stream;
		CREATE MATERIALIZED VIEW inverse WITH (streamfuse.continuous) AS
		SELECT window_start, sum(10 / x) AS s, count(*) AS n FROM readings, tumble(event_time, '5 minutes')
		GROUP BY window_start, window_end;
		INSERT INTO readings SELECT g, '2026-01-01'::timestamptz + g * interval '1 min' FROM generate_series(1, 30) g;
		SELECT streamfuse.flush('inverse')});
	my $before = $node->safe_psql('postgres', 'SELECT * FROM inverse ORDER BY 1');

	fault($node, $point, $action);
	eval { $node->safe_psql('postgres', q{INSERT INTO readings VALUES (0, '2026-01-01 00:10')}) };
	if ($action eq 'kill')
	{
		fault_crash($node, $point);
	}
	else
	{
		fault_hit($node, $point);
		is($node->safe_psql('postgres', 'SELECT * FROM inverse ORDER BY 1'), $before, "$name: what was committed")
		  if $action eq 'wait';
		fault($node, $point, 'none');
	}
	poll($node, q{SELECT status FROM streamfuse.stat_views WHERE view = 'inverse'::regclass}, 'failed')
	  or die 'the view has not failed';
	is($node->safe_psql('postgres', 'SELECT * FROM inverse ORDER BY 1'), $before, "$name: and ever after");
	$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW inverse; DROP TABLE readings');
	insert_rows($node);
	check_sales($node, "$name: other views");
}

$node->stop;
done_testing();
