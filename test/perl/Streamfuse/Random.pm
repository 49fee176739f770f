# The random batch = stream test: cases by seed, on one server; a case that fails is cut down to the least that still does.
package Streamfuse::Random;

use strict;
use warnings;

use Streamfuse::Case;
use Streamfuse::Grammar qw(prelude make_case);
use Streamfuse::Session;
use Streamfuse::Shrink qw(shrink);

# new(host => directory of the socket, port =>, directory => where the server may write, database =>,
#     restart => sub ($mode) that restarts the server)
sub new
{
	my ($class, %self) = @_;
	my $self = bless { port => 5432, database => 'postgres', sessions => {}, settings => {}, bug => '', totals => {}, %self }, $class;

	$self->session('c')->query($_) for grep { /\S/ } split /;\s*\n/, prelude();
	return $self;
}

# On a server of its own, made by PostgreSQL's test library.
sub start
{
	my ($class, $name) = @_;

	require PostgreSQL::Test::Cluster;
	my $node = PostgreSQL::Test::Cluster->new($name);
	# Texts of the cases need it, whatever the environment says.
	$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
	$node->append_conf('postgresql.conf', join "\n", q{shared_preload_libraries = 'streamfuse'}, settings(), '');
	$node->start;
	return $class->new(node => $node, host => $node->host, port => $node->port, directory => $node->data_dir,
		restart => sub { $node->stop(shift); $node->start });
}

sub stop
{
	my $self = shift;

	$_->close for grep { defined } values %{ $self->{sessions} };
	$self->{node}->stop;
	return;
}

# Settings a server needs.
sub settings
{
	return ('fsync = off', 'autovacuum = off', 'max_prepared_transactions = 20', 'client_min_messages = error', 'restart_after_crash = on', 'log_statement = none',
		q{streamfuse.commit_interval = '5ms'}, q{streamfuse.checkpoint_interval = '50ms'},
		q{streamfuse.restart_attempts = 1000}, q{streamfuse.restart_delay = '10ms'});
}

sub session
{
	my ($self, $name) = @_;

	$self->{sessions}{$name} //= Streamfuse::Session->new(host => $self->{host}, port => $self->{port}, database => $self->{database}, name => $name);
	return $self->{sessions}{$name};
}

# Awaits all answers that are still to come.
sub drain
{
	my $self = shift;

	for my $session (values %{ $self->{sessions} })
	{
		$session->receive while $session->{waiting};
		$session->{select}->can_read(0) and die "connection lost\n";
	}
	return;
}

sub reconnect
{
	my $self = shift;

	$_->close for grep { defined } values %{ $self->{sessions} };
	$self->{sessions} = {};
	for (1 .. 600)
	{
		next unless eval { $self->session('c'); 1 };
		$self->arm if $self->{bug};
		return;
	}
	continue
	{
		select(undef, undef, undef, 0.05);
	}
	die "the server does not come back\n";
}

sub restart
{
	my ($self, $mode) = @_;

	$_->close for grep { defined } values %{ $self->{sessions} };
	$self->{sessions} = {};
	$self->{restart}->($mode);
	$self->arm if $self->{bug};
	return;
}

sub crash
{
	my ($self, $pid) = @_;

	kill 'KILL', $pid or return;
	# The server says goodbye to every session before it recovers.
	eval { $self->session('r1')->query('SELECT pg_sleep(30)') for 1 .. 2 };
	$self->reconnect;
	return;
}

# Settings of the whole server that a case wants.
sub configure
{
	my ($self, %settings) = @_;
	my $c = $self->session('c');
	my @changed = grep { $settings{$_} ne ($self->{settings}{$_} // 0) } sort keys %settings;

	return unless @changed;
	$c->query("ALTER SYSTEM SET streamfuse.$_ = $settings{$_}") for @changed;
	$c->query('SELECT pg_reload_conf()');
	$self->{settings} = \%settings;
	return;
}

# ---- cases ----

# What is wrong with a case, and the run that showed it.
sub try
{
	my ($self, $case) = @_;
	my $run = Streamfuse::Case->new($self, $case);
	my $found = $run->run;

	$self->{totals}{$_} += $run->{counts}{$_} for keys %{ $run->{counts} };
	return ($found, $run);
}

# What all cases together have compared.
sub totals { my $self = shift; return %{ $self->{totals} }; }

# Runs a seed's case.  undef, or a report: what was found, and the shortest script that shows it.
sub run_seed
{
	my ($self, $seed, $seconds) = @_;

	return $self->run_case(make_case($seed), $seconds // 90);
}

sub run_case
{
	my ($self, $case, $seconds) = @_;
	my ($found, $run) = $self->try($case);

	return unless defined $found;
	return { case => $case, found => $found, again => 0, run => $run } unless $seconds;
	my $shrunk = shrink($self, $case, $found, $seconds);
	return { case => $case, found => $found, again => 0, run => $run } unless $shrunk->{again};
	return $shrunk;
}

# A report for a person: a script whose statements each belong to a session, and what was found at its end.
sub describe
{
	my $report = shift;
	my $text = "seed $report->{case}{seed}: $report->{found}\n";

	$text .= $report->{again} ? "It came again in $report->{again} of 5 runs; this is the least that shows it:\n"
	  : "It did not come again; this is what was run:\n";
	return $text . prelude() . $report->{run}->script . "\n";
}

# ---- bugs seeded on purpose ----

sub arm
{
	my $self = shift;

	$self->session('c')->query("SELECT set_fault('$self->{bug}', 'bug')");
	return;
}

# What random views do not come by: t/058_state_ttl.pl, t/058_spill*.pl and t/059_union.pl find these.
my %elsewhere = map { $_ => 1 } qw(index-not-mended forgotten-group-read forgotten-group-goes-on forgotten-not-saved),
  qw(spilled-row-not-deleted spilled-key-not-in-filter twin-not-found resident-row-read-twice spilled-read-during-commit),
  qw(no-tick-without-rows watermark-of-first-stream position-of-first-stream);

# The names of all other bugs that can be switched on in this build.
sub bugs
{
	my $self = shift;
	my $c = $self->session('c');

	$c->query(q{CREATE OR REPLACE FUNCTION fault_names(bool) RETURNS text[] LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_names'});
	return grep { !$elsewhere{$_} } map { $_->[0] } @{ $c->query('SELECT unnest(fault_names(true)) AS name ORDER BY 1') };
}

# Switches a bug on and runs cases until one shows it: { cases => how many, seed =>, found => what }
sub find_bug
{
	my ($self, $bug, $seed, $most) = @_;
	my %result = (cases => 0);

	$self->{bug} = $bug;
	$self->arm;
	while ($result{cases} < $most)
	{
		my ($found) = $self->try(make_case($seed + $result{cases}++));
		next unless defined $found;
		@result{qw(seed found)} = ($seed + $result{cases} - 1, $found);
		last;
	}
	$self->{bug} = '';
	# Memory that the bug has spoilt goes with the server.
	$self->restart('immediate');
	return \%result;
}

1;
