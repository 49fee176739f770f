# A server with streamfuse, the fault points of its library, and the comparison that most tests end with: a view equals
# its query, run as a batch.
package Streamfuse::Server;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use Test::More;

our @EXPORT = qw(start_server start_standby poll need_fault_points fault fault_hit fault_crash strike %AROUND_CLOSE terminate_worker terminate_launcher same_rows start_query finish_query);

# A running server with the extension in database postgres; lines go to its postgresql.conf.
sub start_server
{
	my ($name, @lines) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', join("\n",
		"shared_preload_libraries = 'streamfuse'",
		"timezone = 'UTC'",
		'streamfuse.restart_delay = 0',
		'client_min_messages = warning',
		@lines, ''));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION streamfuse');
	return $node;
}

# Makes the fault points' functions callable; without them there is nothing to test.
sub need_fault_points
{
	my ($node) = @_;
	my $found = $node->psql('postgres', q{
		CREATE FUNCTION fault_set(name text, action text, after bigint DEFAULT 0, times bigint DEFAULT 0) RETURNS void LANGUAGE c STRICT
			AS '$libdir/streamfuse', 'sf_fault_set';
		CREATE FUNCTION fault_action(name text) RETURNS text LANGUAGE c STRICT AS '$libdir/streamfuse', 'sf_fault_action';
		CREATE FUNCTION fault_hits(name text) RETURNS bigint LANGUAGE c STRICT AS '$libdir/streamfuse', 'sf_fault_hits';
		CREATE FUNCTION fault_met(name text) RETURNS boolean LANGUAGE c STRICT AS '$libdir/streamfuse', 'sf_fault_met';
		CREATE FUNCTION fault_wait_hit(name text) RETURNS void LANGUAGE c STRICT
			AS '$libdir/streamfuse', 'sf_fault_wait_hit';
		CREATE FUNCTION fault_names(bugs boolean) RETURNS text[] LANGUAGE c STRICT
			AS '$libdir/streamfuse', 'sf_fault_names';
	}, on_error_stop => 1, stderr => \my $ignored);

	return if $found == 0;
	$node->stop;
	plan skip_all => 'needs a build with CHECK=1';
}

# Sets a fault point or a seeded bug; with times, it takes effect so often only.
sub fault
{
	my ($node, $point, $action, $times) = @_;

	$node->safe_psql('postgres', sprintf("SELECT fault_set('%s', '%s', times => %d)", $point, $action, $times // 0));
	return;
}

# Returns once the armed point has taken effect.
sub fault_hit
{
	my ($node, $point) = @_;

	$node->safe_psql('postgres', "SELECT fault_wait_hit('$point')");
	return;
}

# A standby of the server, streaming from it.
sub start_standby
{
	my $node = shift;
	my $name = $node->name . '_standby';
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$node->backup($name);
	$standby->init_from_backup($node, $name, has_streaming => 1);
	$standby->start;
	return $standby;
}

# As poll_query_until, through a crash: there psql may be gone before it has been told the query.
sub poll
{
	my ($node, $query, $expected) = @_;

	while (1)
	{
		my $done = eval { $node->poll_query_until('postgres', $query, $expected) ? 1 : 0 };

		return $done if defined $done;
		die $@ unless $@ =~ /Broken pipe/;
	}
}

# Returns once the point, armed with 'kill', has taken the server down and it is up again: then nothing is armed.
sub fault_crash
{
	my ($node, $point) = @_;

	poll($node, "SELECT fault_action('$point')", 'none')
	  or die "the server did not come back after $point";
	return;
}

# What can happen where windows close: points, and the actions at each.
our %AROUND_CLOSE = (
	'close-assembled' => [qw(error exit kill)], 'close-marked' => [qw(error exit kill)], 'tick-before-publish' => [qw(error kill)],
	'publish-stored' => [qw(exit kill)], 'commit-tagged' => [qw(error exit kill)], 'commit-before' => [qw(error kill)],
	'commit-after' => [qw(exit kill)]);

# Arms the point to take effect once, and returns when it has; nothing is armed then.  What is done meanwhile meets a server
# that may be gone.
sub strike
{
	my ($node, $point, $action, $meanwhile) = @_;

	fault($node, $point, $action, 1);
	$meanwhile->();
	return fault_crash($node, $point) if $action eq 'kill';
	fault_hit($node, $point);
	fault($node, $point, 'none');
	return;
}

# Ends the worker and returns when it is gone.
sub terminate_worker
{
	my ($node, $database) = @_;

	$node->safe_psql($database // 'postgres', q{
		SELECT pg_terminate_backend(pid, 180000) FROM pg_stat_activity
		WHERE backend_type = 'streamfuse worker' AND datname = current_database()});
	return;
}

# Ends the launcher; PostgreSQL starts another one.
sub terminate_launcher
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{
		SELECT pg_terminate_backend(pid, 180000) FROM pg_stat_activity WHERE backend_type = 'streamfuse launcher'});
	return;
}

# One test: the view has exactly the rows of the query.
sub same_rows
{
	my ($node, $view, $query, $name, $database) = @_;

	return is($node->safe_psql($database // 'postgres', qq{
		SELECT d.* FROM (SELECT 'view' AS side, v.* FROM (TABLE $view EXCEPT ALL ($query)) v
			UNION ALL SELECT 'batch', b.* FROM (($query) EXCEPT ALL TABLE $view) b) d ORDER BY d}), '', $name);
}

# Begins a statement that may wait for long, in a session (background_psql).
sub start_query
{
	my ($session, $query) = @_;

	my $output = $session->query_until(qr/begun\n/, "\\echo begun\n$query;\n");

	# Its rows may be there already.
	$output =~ s/^.*?begun\n//s;
	$session->{stdout} = $output . $session->{stdout};
	return;
}

# Waits for it; returns its rows, or its error message.
sub finish_query
{
	my ($session) = @_;
	my $rows = $session->query('');
	my $error = $session->{stderr};

	$session->{stderr} = '';
	return $error =~ /ERROR: +(.*)/ ? "ERROR: $1" : $rows;
}

1;
