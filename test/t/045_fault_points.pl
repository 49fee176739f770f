# At every point of a tick and of a commit the worker is held while others write and read, fails for a moment, leaves, or
# dies and takes the server down.  Each time its next try, its successor or the restarted server finds every committed row
# once: view and batch agree.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Sales;
use Streamfuse::Server;

# Few pages to a tick and few open ones: so the worker works in slices, and seals pages while transactions run.
my $node = start_server('fault',
	'restart_after_crash = on',
	"streamfuse.commit_interval = '10ms'",
	"streamfuse.checkpoint_interval = '1s'",
	'streamfuse.test_tick_pages = 5',
	'streamfuse.test_lag_pages = 2');
need_fault_points($node);

create_sales($node);

# ---- what makes the worker come to a point ----

# A transaction whose rows are on pages that are sealed while it runs.
my $open;

sub open_transaction
{
	$open = $node->background_psql('postgres', on_error_stop => 0);
	$open->query_safe('BEGIN; ' . order_rows(20, 0.5));
	insert_bulk($node);
	$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
	return;
}

sub end_transaction
{
	$open->query('COMMIT');
	return;
}

# A second view is made, and has history to work in.
sub create_view
{
	$node->safe_psql('postgres', qq{CREATE MATERIALIZED VIEW again WITH (streamfuse.continuous) AS $batch{sales}});
	return;
}

sub drop_view
{
	same_rows($node, 'again', $batch{sales}, 'the new view, too');
	$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW again');
	return;
}

# A tick fails, and is undone.
sub fail_tick
{
	fault($node, 'tick-before-close', 'passing error');
	insert_rows($node);
	return;
}

sub stop_failing
{
	fault($node, 'tick-before-close', 'none');
	return;
}

# Before, at, and after the moment that brings the worker to the point.
my %rows = (at => sub { insert_rows($node) });
my %bulk = (at => sub { insert_bulk($node) });
my %pending = (before => \&open_transaction, at => \&end_transaction, after => sub { $open->quit });
my %view = (at => \&create_view, after => \&drop_view);
my %failing = (at => \&fail_tick, after => \&stop_failing);

# An error that passes is tried again where it undoes the tick or the commit; where it cannot happen, it is not raised.
my @points = (
	[ 'source-leaves-read', \%view ],
	[ 'seal-before', \%rows ],
	[ 'tick-before-snapshot', \%rows ],
	[ 'tick-after-snapshot', \%rows ],
	[ 'catch-up-look', \%bulk ],
	[ 'capture-in-page', \%rows ],
	[ 'capture-pending', \%pending ],
	[ 'apply-evaluated', \%rows ],
	[ 'apply-touched', \%rows ],
	[ 'tick-in-apply', \%rows ],
	[ 'merge-before', \%view ],
	[ 'tick-before-close', \%rows ],
	[ 'close-marked', \%rows ],
	[ 'progress-put', \%rows ],
	[ 'tick-before-publish', \%rows ],
	[ 'publish-stored', \%rows, qw(wait kill) ],
	[ 'tick-after-publish', \%rows, qw(wait exit kill) ],
	[ 'undo-before', \%failing, qw(wait exit kill) ],
	[ 'reclaim-unlinked', \%rows, qw(wait exit kill) ],
	[ 'commit-begun', \%rows ],
	[ 'commit-tagged', \%rows ],
	[ 'commit-after-output', \%rows ],
	[ 'commit-after-state', \%rows ],
	[ 'commit-before', \%rows ],
	[ 'commit-after', \%rows ]);

# ---- the test ----

# The worker may have to come by more than once: rows go on coming until it is there.
sub until_met
{
	my ($point, $steps) = @_;

	$steps->{at}->();
	if ($steps == \%rows)
	{
		insert_rows($node) while $node->safe_psql('postgres', "SELECT fault_met('$point')") eq 'f';
	}
	fault_hit($node, $point);
	return;
}

sub run_point
{
	my ($point, $steps, $action) = @_;
	my $name = "$action at $point";

	$steps->{before}->() if $steps->{before};
	fault($node, $point, $action);
	if ($action eq 'kill')
	{
		# The statement that brings the worker there may see the crash.
		eval {
			$steps->{at}->();
			insert_rows($node) while $steps == \%rows && $node->safe_psql('postgres', "SELECT fault_action('$point')") eq $action;
		};
		fault_crash($node, $point);
	}
	else
	{
		until_met($point, $steps);
		if ($action eq 'wait')
		{
			insert_rows($node);
			$node->safe_psql('postgres', 'BEGIN; ' . order_rows(10, 6.0) . '; ROLLBACK');
			check_not_ahead($node, $name);
		}
		fault($node, $point, 'none');
	}
	$steps->{after}->() if $steps->{after} && $steps != \%view;
	check_sales($node, $name);
	$steps->{after}->() if $steps == \%view;
	return;
}

insert_rows($node);
check_sales($node, 'before');
for (@points)
{
	my ($point, $steps, @actions) = @$_;

	@actions = ('wait', 'passing error', 'exit', 'kill') unless @actions;
	run_point($point, $steps, $_) for @actions;
}

# A worker that waits is terminated, too.
for my $point ('tick-in-apply', 'commit-before')
{
	fault($node, $point, 'wait');
	insert_rows($node);
	fault_hit($node, $point);
	terminate_worker($node);
	fault($node, $point, 'none');
	check_sales($node, "worker terminated at $point");
}
$node->stop;
done_testing();
