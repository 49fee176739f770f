# Faults, placed by count of commits, in the middle of clients that keep a journal of what the server has promised them.
# After each fault the server's answers are held against the journals: nothing that was acknowledged, and nothing that a
# reader had seen as closed, may be lost, doubled or altered.
#
# A round is one fault: clients start, the fault falls at a number of commits given by the seed, some more commits show
# that life goes on, the clients stop, and everything is compared.  Some rounds share a database, an epoch; then a new
# one is made, so that comparing stays cheap.
package Streamfuse::Torture;

use strict;
use warnings;

use Fcntl;
use File::Basename;
use IO::Select;
use List::Util qw(shuffle sum0);
use POSIX qw(mkfifo);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use Streamfuse::Client;

my $WRITERS = 4;
my $READERS = 2;
my $PATIENCE = 180;    # seconds, after which something hangs

my $FAR = 1 << 62;     # a mark that is not reached: somebody waits for what commits bring about
my $OWN_WORKER = 'SELECT pid FROM streamfuse.stat_workers WHERE datname = current_database()';

# Fields of the control file, as in torture.c.
my %FIELD = (commits => 0, mark => 8, clock => 16, stop_writers => 24, stop_readers => 32);
my $CONTROL_SIZE = 40 + 16 * 8;

# The views: Q without its GROUP BY for counting, what identifies a row, and the row; folds: groups a row of FROM is in.
my %VIEWS = (
	by_key => {
		columns => 'window_start, window_end, key, count(*) AS rows, sum(amount) AS total, min(id) AS first, max(key) AS top',
		from => q{events, tumble(event_time, '10 seconds')},
		group => 'window_start, window_end, key',
		identity => q{concat(window_start, ' ', key)},
		row => q{concat_ws('/', window_end, rows, total, first, top)},
	},
	per_minute => {
		columns => 'window_start, count(*) AS rows, avg(amount) AS mean, sum(id) AS ids',
		from => q{events, tumble(event_time, '1 minute') WHERE amount > 100},
		group => 'window_start, window_end',
		identity => q{window_start::text},
		row => q{concat_ws('/', rows, mean, ids)},
	},
	paid => {
		columns => 'window_start, id % 5 AS five, count(*) AS rows, sum(amount) AS total, max(event_time) AS last',
		from => q{payments, tumble(event_time, '15 seconds')},
		group => 'window_start, window_end, id % 5',
		identity => q{concat(window_start, ' ', five)},
		row => q{concat_ws('/', rows, total, last)},
	},
	paid_final => {
		options => q{, streamfuse.emit = 'final'},
		columns => 'window_start, key, count(*) AS rows, sum(id) AS ids',
		from => q{payments, tumble(event_time, '30 seconds')},
		group => 'window_start, window_end, key',
		identity => q{concat(window_start, ' ', key)},
		row => q{concat_ws('/', rows, ids)},
	},
	sliding => {
		columns => 'window_start, key, count(*) AS rows, max(amount) AS largest',
		from => q{events, hop(event_time, '20 seconds', '10 seconds')},
		group => 'window_start, window_end, key',
		identity => q{concat(window_start, ' ', key)},
		row => q{concat_ws('/', rows, largest)},
		overlaps => 1,
	},
	subtotals => {
		columns => 'window_start, key, grouping(key) AS all_keys, count(*) AS rows, count(DISTINCT amount) AS amounts',
		from => q{events, tumble(event_time, '30 seconds')},
		group => 'window_start, window_end, ROLLUP (key)',
		identity => q{concat(window_start, ' ', all_keys, key)},
		row => q{concat_ws('/', rows, amounts)},
		folds => 2,
	},
	both_streams => {
		columns => 'window_start, count(*) AS rows, sum(amount) AS total',
		from => q{(SELECT id, amount, event_time FROM events UNION ALL SELECT id, amount, event_time FROM payments) e,
		          tumble(event_time, '20 seconds')},
		group => 'window_start, window_end',
		identity => q{window_start::text},
		row => q{concat_ws('/', rows, total)},
	},
);

# Groups over all time; they go to disk, and come back (streamfuse.test_spill).
my $ALL_TIME = 'SELECT key, id % 20 AS part, count(*) AS rows, sum(amount) AS total, max(id) AS last FROM events GROUP BY key, id % 20';

# What a failed check means.
my %MEANING = (
	lost => 'lost', unexpected => 'doubled', doubled => 'doubled', altered => 'altered', torn => 'lost',
	differs => 'altered', uncounted => 'lost', statistics => 'lost', seen_lost => 'lost', seen_altered => 'altered',
	seen_doubled => 'doubled', seen_view => 'altered', counter => 'lost', status => 'lost',
);

sub new
{
	my ($class, %arguments) = @_;
	my $self = bless {
		seed => $arguments{seed},
		epoch_rounds => $arguments{epoch_rounds} // 10,
		client => build_client('torture'),
		directory => PostgreSQL::Test::Utils::tempdir(),
		nodes => 0, epoch => 0, round => 0,
		bug => $arguments{bug},
		faults => {}, found => { lost => 0, doubled => 0, altered => 0 },
		total => { rows => 0, in_doubt => 0, windows => 0, dirty => 0, seen => 0 }, commits => 0,
	}, $class;

	srand($self->{seed});
	$self->make_control;
	$self->start_server;
	$self->start_epoch;
	$self->{points} = [ split /\n/, $self->sql('SELECT unnest(fault_names(false)) ORDER BY 1') ];
	return $self;
}

# ---- the control file ----

sub make_control
{
	my $self = shift;

	$self->{control} = "$self->{directory}/control";
	append_to_file($self->{control}, "\0" x $CONTROL_SIZE);
	mkfifo("$self->{control}.reached", 0600) or die "mkfifo: $!";
	sysopen($self->{memory}, $self->{control}, O_RDWR) or die "open: $!";
	sysopen($self->{reached}, "$self->{control}.reached", O_RDWR | O_NONBLOCK) or die "open: $!";
	$self->set_field(clock => 1_000_000);
	return;
}

sub field
{
	my ($self, $name) = @_;

	sysseek($self->{memory}, $FIELD{$name}, 0);
	sysread($self->{memory}, my $value, 8) == 8 or die "read: $!";
	return unpack('Q', $value);
}

sub set_field
{
	my ($self, $name, $value) = @_;

	sysseek($self->{memory}, $FIELD{$name}, 0);
	syswrite($self->{memory}, pack('Q', $value)) == 8 or die "write: $!";
	return;
}

# Returns when the writers have committed so many transactions more.
sub await_commits
{
	my ($self, $n) = @_;

	$self->set_field(mark => $self->field('commits') + $n);
	IO::Select->new($self->{reached})->can_read($PATIENCE) or die "no commits for $PATIENCE seconds: $self->{doing}";
	sysread($self->{reached}, my $byte, 1);
	return;
}

# ---- the server ----

sub configuration
{
	return q{
shared_preload_libraries = 'streamfuse'
max_connections = 50
max_prepared_transactions = 40
restart_after_crash = on
log_statement = none
timezone = 'UTC'
bgwriter_lru_maxpages = 0
streamfuse.commit_interval = '20ms'
streamfuse.checkpoint_interval = '300ms'
streamfuse.test_lag_pages = 2
streamfuse.test_tick_pages = 5
streamfuse.test_spill = on
streamfuse.restart_delay = '100ms'
};
}

# Fault points and bugs that are armed from the start of the server on.
sub preset
{
	my ($self, @faults) = @_;

	unshift @faults, "$self->{bug}=bug" if $self->{bug};
	$self->{node}->append_conf('postgresql.conf', "streamfuse.test_faults = '" . join(',', @faults) . "'");
	return;
}

sub start_server
{
	my $self = shift;
	my $node = PostgreSQL::Test::Cluster->new('torture' . ++$self->{nodes});

	$node->init(allows_streaming => 1);
	$node->append_conf('postgresql.conf', configuration());
	$self->{node} = $node;
	$self->preset;
	$node->start;
	return;
}

sub sql
{
	my ($self, $sql) = @_;

	return $self->{node}->safe_psql($self->{database}, $sql);
}

# The text of a statement's answer, or undef when the server does not answer.
sub try_sql
{
	my ($self, $sql) = @_;
	my ($status, $out) = $self->{node}->psql($self->{database}, $sql);

	return defined $status && $status == 0 ? $out : undef;
}

sub pid_of
{
	my ($self, $type) = @_;

	my $processes = "FROM pg_stat_activity WHERE backend_type = '$type' AND pid <> pg_backend_pid()";

	# It may be about to come back from the fault before.
	$self->{node}->poll_query_until('postgres', "SELECT count(*) > 0 $processes") or die "there is no $type";
	return $self->sql("SELECT pid $processes ORDER BY random() LIMIT 1");
}

sub worker_pid
{
	my $self = shift;

	$self->{node}->poll_query_until($self->{database},
		"SELECT count(*) = 1 FROM ($OWN_WORKER) w")
	  or die 'there is no worker';
	return $self->sql($OWN_WORKER);
}

# kill -9 of the postmaster and all its children, none of which learns of another's death; returns when all have gone.
sub kill_server
{
	my $self = shift;
	my $node = $self->{node};
	my $postmaster = $node->{_pid};
	my @children;

	kill 'STOP', $postmaster;
	@children = children_of($postmaster);
	kill 'KILL', @children, $postmaster;
	for my $pid (@children, $postmaster)
	{
		usleep(10_000) while is_running($pid);
	}
	# Where nobody buries orphans the postmaster's process id stays taken, which its successor would respect.
	unlink $node->data_dir . '/postmaster.pid', $node->host . '/.s.PGSQL.' . $node->port . '.lock';
	$node->kill9;
	return;
}

sub children_of
{
	my $parent = shift;

	return grep { my @stat = process_stat($_); @stat && $stat[1] == $parent } map { basename($_) } glob('/proc/[0-9]*');
}

# State and parent of a process; empty when it has gone.
sub process_stat
{
	my $pid = shift;

	open(my $file, '<', "/proc/$pid/stat") or return ();
	my $line = <$file> // return ();
	return $line =~ /^\d+ \(.*\) (\S) (\d+)/;
}

sub is_running
{
	my ($state) = process_stat(shift);

	return defined $state && $state ne 'Z';
}

# After a blow that the postmaster answers by starting all its processes anew: until it does, it lets sessions in.
sub await_crash_restart
{
	my ($self, $launcher) = @_;

	$self->{node}->poll_query_until($self->{database},
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'streamfuse launcher' AND pid <> $launcher")
	  or $self->report('status', 'the server has not gone down, or not come back');
	return;
}

# ---- epochs ----

# A database with its streams and views, and empty journals.
sub start_epoch
{
	my $self = shift;
	my $old = $self->{database};

	$self->add_up;
	$self->{epoch}++;
	$self->{database} = "epoch$self->{epoch}";
	$self->{journals} = "$self->{directory}/$self->{database}";
	mkdir $self->{journals} or die "mkdir: $!";
	$self->{node}->safe_psql('postgres', "CREATE DATABASE $self->{database}");
	$self->{node}->safe_psql('postgres', "DROP DATABASE $old") if defined $old;
	$self->sql(q{
		CREATE EXTENSION streamfuse;
		CREATE FUNCTION fault_set(text, text) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_set';
		CREATE FUNCTION fault_wait_hit(text) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_wait_hit';
		CREATE FUNCTION fault_names(boolean) RETURNS text[] LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_names';
		CREATE TABLE events (id bigint, txn bigint, key text, amount numeric(12,2), event_time timestamptz NOT NULL)
		  USING stream;
		CREATE TABLE payments (LIKE events) PARTITION BY HASH (id);
		CREATE TABLE payments0 PARTITION OF payments FOR VALUES WITH (MODULUS 2, REMAINDER 0) USING stream;
		CREATE TABLE payments1 PARTITION OF payments FOR VALUES WITH (MODULUS 2, REMAINDER 1) USING stream;
		CREATE TABLE divisors (n int, event_time timestamptz NOT NULL) USING stream;
		SELECT streamfuse.set_watermark('events', 'event_time', delay => '1 minute');
		SELECT streamfuse.set_watermark('payments', 'event_time', delay => '1 minute');});
	for my $name (sort keys %VIEWS)
	{
		my $options = $VIEWS{$name}{options} // '';
		$self->sql("CREATE MATERIALIZED VIEW $name WITH (streamfuse.continuous$options) AS " . query_of($name));
	}
	$self->sql("CREATE MATERIALIZED VIEW all_time WITH (streamfuse.continuous) AS $ALL_TIME");
	$self->sql('SELECT streamfuse.flush()');
	return;
}

sub query_of
{
	my $view = $VIEWS{ $_[0] };

	return "SELECT $view->{columns} FROM $view->{from} GROUP BY $view->{group}";
}

# ---- clients ----

# Where the clients find the server; a standby that is to take over comes second.
sub conninfo
{
	my ($self, $standby) = @_;
	my @nodes = grep { defined } $self->{node}, $standby;

	return 'host=' . join(',', map { $_->host } @nodes) . ' port=' . join(',', map { $_->port } @nodes)
	  . " dbname=$self->{database} target_session_attrs=read-write connect_timeout=20";
}

sub start_client
{
	my ($self, $what, $number, @arguments) = @_;
	my $seed = $self->{seed} * 1000 + $self->{round};
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		exec($self->{client}, $what, $self->conninfo($self->{standby}), $self->{control}, "$self->{journals}/$what$number",
			$number, $seed, @arguments)
		  or POSIX::_exit(127);
	}
	push @{ $self->{"${what}s"} }, $pid;
	return;
}

sub start_writers
{
	my $self = shift;

	$self->set_field(stop_writers => 0);
	$self->start_client('writer', $_) for 0 .. $WRITERS - 1;
	return;
}

sub start_readers
{
	my $self = shift;
	my @views = map { ($_, $VIEWS{$_}{identity}, $VIEWS{$_}{row}) } sort keys %VIEWS;

	$self->set_field(stop_readers => 0);
	$self->start_client('reader', $WRITERS + $_, @views) for 0 .. $READERS - 1;
	return;
}

# Tells clients to stop, and waits for them.
sub stop_clients
{
	my ($self, $what) = @_;

	$self->set_field("stop_$what" => 1);
	for my $pid (splice @{ $self->{$what} })
	{
		my $status = $self->wait_for_client($pid);

		$self->report('status', "a client ended with $status") if $status != 0;
	}
	return;
}

sub wait_for_client
{
	my ($self, $pid) = @_;
	local $SIG{ALRM} = sub { kill 'KILL', $pid; die "a client hangs: $self->{doing}" };

	alarm $PATIENCE;
	waitpid($pid, 0);
	alarm 0;
	return $?;
}

# Ends what is left over after an error of the driver itself.
sub abandon
{
	my $self = shift;

	kill 'KILL', map { splice @{ $self->{$_} // [] } } qw(writers readers);
	return;
}

# ---- faults ----

# All kinds of blows but those at fault points: name => what happens.
my %BLOW = (
	'server, kill -9' => sub { my $self = shift; $self->kill_server; $self->{node}->start; },
	'server, stop immediate' => sub { my $self = shift; $self->{node}->stop('immediate'); $self->{node}->start; },
	'server, restart fast' => sub { my $self = shift; $self->{node}->restart; },
	'worker, kill -9' => sub { my $self = shift; $self->kill_one($self->worker_pid); },
	'worker, terminate' => sub { my $self = shift; $self->signal_one('terminate', $self->worker_pid); },
	'worker, cancel' => sub { my $self = shift; $self->signal_one('cancel', $self->worker_pid); },
	'launcher, terminate' => sub { my $self = shift; $self->signal_one('terminate', $self->pid_of('streamfuse launcher')); },
	'launcher, cancel' => sub { my $self = shift; $self->signal_one('cancel', $self->pid_of('streamfuse launcher')); },
	'failover to a standby' => sub { my $self = shift; $self->fail_over; },
	map({
			my $type = $_;
			("$type, kill -9" => sub { my $self = shift; $self->kill_one($self->pid_of($type)); })
	} 'streamfuse launcher', 'client backend', 'checkpointer', 'walwriter', 'background writer'),
);

sub kill_one
{
	my ($self, $pid) = @_;
	my $launcher = $self->pid_of('streamfuse launcher');

	kill 'KILL', $pid;
	$self->await_crash_restart($launcher);
	return;
}

sub signal_one
{
	my ($self, $how, $pid) = @_;

	$self->sql("SELECT pg_${how}_backend($pid)");
	return;
}

# Commits wait for the standby, then the primary is killed and the standby takes over.  The worker's own commits do not
# wait for a standby, so what readers saw as closed in the meantime is not promised: they rest.
sub fail_over
{
	my $self = shift;
	my ($old, $new) = ($self->{node}, $self->{standby});

	$self->stop_clients('readers');
	$old->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = '*'});
	$old->reload;
	$old->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'})
	  or die 'the standby is not in step';
	$old->wait_for_catchup($new, 'replay', $old->lsn('write'));
	$self->await_commits(20 + int rand 60);
	$self->kill_server;
	$new->promote;
	$self->{node} = $new;
	$self->{standby} = undef;
	$old->clean_node;
	$self->start_readers;
	return;
}

sub make_standby
{
	my $self = shift;
	my $standby = PostgreSQL::Test::Cluster->new('torture' . ++$self->{nodes});

	$self->{node}->backup("base$self->{nodes}");
	$standby->init_from_backup($self->{node}, "base$self->{nodes}", has_streaming => 1);
	$standby->start;
	$self->{standby} = $standby;
	return;
}

# What is done where a process waits at a fault point.  Where it is gone afterwards the point is no longer armed.
my %WHILE_HELD = (
	'held' => sub { },
	'held, server killed' => sub { my $self = shift; $self->kill_server; $self->{node}->start; },
	'held, worker terminated' => sub { my $self = shift; $self->signal_one('terminate', $self->{worker}); },
);

# Where an error cannot happen, it is not raised; where interrupts are held in the middle of a commit, nobody leaves.
my %NO_ERROR = map { $_ => 1 }
  qw(publish-stored tick-after-publish undo-before reclaim-unlinked commit-after insert-in-section insert-before-wake);
my %NO_EXIT = map { $_ => 1 } qw(insert-before-wake);

# What brings a process to a point to which commits and reads alone do not bring one: a script for psql, or a function.
my $TERMINATE_WORKER = sub { my $self = shift; $self->signal_one('terminate', $self->worker_pid); };
my $TERMINATE_LAUNCHER = sub { my $self = shift; $self->signal_one('terminate', $self->pid_of('streamfuse launcher')); };
my $NEW_VIEW = q{
	DROP MATERIALIZED VIEW IF EXISTS extra;
	CREATE MATERIALIZED VIEW extra WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) FROM events, tumble(event_time, '20 seconds') GROUP BY window_start, window_end;
	SELECT count(*) FROM extra;
	SELECT streamfuse.flush('extra');
	DROP MATERIALIZED VIEW extra;};
my $NEW_DATABASE = q{
	DROP DATABASE IF EXISTS other;
	CREATE DATABASE other;
	\c other
	CREATE EXTENSION streamfuse;
	CREATE TABLE s (event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('s', 'event_time');
	CREATE MATERIALIZED VIEW v WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) FROM s, tumble(event_time, '1 minute') GROUP BY window_start, window_end;
	SELECT streamfuse.flush();
	\c postgres
	DROP DATABASE other;};
my $BROKEN_VIEW = q{
	DROP MATERIALIZED VIEW IF EXISTS broken;
	CREATE MATERIALIZED VIEW broken WITH (streamfuse.continuous) AS
	SELECT window_start, sum(1 / n) FROM divisors, tumble(event_time, '1 minute') GROUP BY window_start, window_end;
	INSERT INTO divisors VALUES (0, '2026-01-01');};
my %PROVOCATION = (
	'recover-member' => $TERMINATE_WORKER, 'recover-taken-over' => $TERMINATE_WORKER,
	'recover-before-publish' => $TERMINATE_WORKER, 'worker-start' => $TERMINATE_WORKER,
	'launcher-launch' => $TERMINATE_WORKER, 'launcher-start' => $TERMINATE_LAUNCHER,
	'undo-before' => sub { my $self = shift; $self->set_fault('tick-before-close', 'passing error'); },
	'recover-loaded' => sub { my $self = shift; $self->restart_with_fault('recover-loaded'); },
	'source-leaves-read' => $NEW_VIEW, 'merge-before' => $NEW_VIEW, 'catch-up-look' => $NEW_VIEW,
	'view-before-fragment' => $NEW_VIEW, 'view-after-fragment' => $NEW_VIEW, 'view-drop' => $NEW_VIEW,
	'park-asked' => $NEW_DATABASE, 'park-leave' => $NEW_DATABASE,
	'stopped-before-release' => $BROKEN_VIEW,
	'flush-asked' => 'SELECT streamfuse.flush()',
	'read-spilled-pinned' => 'SELECT count(*) FROM all_time',
	'verify-before-snapshot' => q{SELECT * FROM streamfuse.verify('by_key')},
	'verify-after-snapshot' => q{SELECT * FROM streamfuse.verify('by_key')},
);

sub set_fault
{
	my ($self, $point, $action) = @_;
	my $arm = "SELECT fault_set('$point', '$action')";

	# Somebody may come to a point that kills before the session that armed it has its answer.
	$action eq 'kill' ? $self->try_sql($arm) : $self->sql($arm);
	return;
}

# A point that is met only by a server that has just started.
sub restart_with_fault
{
	my ($self, $point) = @_;
	my $node = $self->{node};

	$self->preset("$point=wait");
	$node->stop('immediate');
	$node->start;
	$self->preset;
	return;
}

sub provoke
{
	my ($self, $point) = @_;
	my $provocation = $PROVOCATION{$point} // return;

	return $provocation->($self) if ref $provocation;

	# It may end in an error, when the point says so or the server goes.
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		my $script = "$self->{journals}/provocation$self->{round}.sql";

		append_to_file($script, $provocation);
		open(STDOUT, '>', '/dev/null');
		open(STDERR, '>', '/dev/null');
		exec('psql', '-XAtq', '-f', $script, $self->conninfo) or POSIX::_exit(127);
	}
	$self->{provoked} = $pid;
	return;
}

# What provocations leave behind.
sub settle
{
	my $self = shift;

	$self->wait_for_client($self->{provoked}) if defined $self->{provoked};
	delete $self->{provoked};
	$self->sql("DROP MATERIALIZED VIEW IF EXISTS $_") for qw(extra broken);
	return;
}

sub actions_at
{
	my $point = shift;

	return sort keys %WHILE_HELD if $point eq 'recover-loaded';
	return (sort(keys %WHILE_HELD), 'kill', $NO_EXIT{$point} ? () : 'exit', $NO_ERROR{$point} ? () : 'passing error');
}

sub strike_at_point
{
	my ($self, $point, $action) = @_;
	my $launcher = $self->pid_of('streamfuse launcher');
	my $held = $WHILE_HELD{$action};

	$self->{worker} = $self->worker_pid;
	$self->set_fault($point, $held ? 'wait' : $action) if $point ne 'recover-loaded';
	$self->provoke($point);
	$self->set_field(mark => $FAR);
	if ($action eq 'kill')
	{
		$self->await_crash_restart($launcher);
		return;
	}
	defined $self->try_sql("SET statement_timeout = '60s'; SELECT fault_wait_hit('$point')")
	  or $self->report('status', "nobody has come to $point");
	# Others go on in the meantime, unless it is the writers that are held.
	$self->await_commits(1 + int rand 20) if $point !~ /^insert/;
	$self->{worker} = $self->try_sql($OWN_WORKER) || $self->{worker};
	$held->($self) if $held;
	$self->set_fault($_, 'none') for $point, $point eq 'undo-before' ? 'tick-before-close' : ();
	# What a server was started with it arms again after a crash.
	$self->{node}->restart if $point eq 'recover-loaded';
	return;
}

# All faults there are, in an order of chance: first each blow and each point once, then the points with their other
# actions, and blows again.
sub deck
{
	my $self = shift;
	my %actions = map { $_ => [ shuffle(actions_at($_)) ] } @{ $self->{points} };
	my @deck;

	while (my @points = grep { @{ $actions{$_} } } sort keys %actions)
	{
		push @deck, shuffle(map({ [$_] } sort keys %BLOW), map({ [ $_, shift @{ $actions{$_} } ] } @points));
	}
	return @deck;
}

# ---- a round ----

sub round
{
	my $self = shift;

	$self->start_epoch if $self->{round} > 0 && $self->{round} % $self->{epoch_rounds} == 0;
	$self->{deck} = [ $self->deck ] if !@{ $self->{deck} // [] };
	my ($what, $action) = @{ shift @{ $self->{deck} } };
	my $name = defined $action ? "$what: $action" : $what;

	$self->{round}++;
	$self->{doing} = "round $self->{round}, $name";
	print "### $self->{doing}\n";
	$self->make_standby if $what =~ /^failover/;
	$self->start_writers;
	$self->start_readers;
	$self->await_commits(20 + int rand 150);
	if (defined $action) { $self->strike_at_point($what, $action); }
	else { $BLOW{$what}->($self); }
	$self->await_commits(20 + int rand 60);
	$self->stop_clients($_) for qw(writers readers);
	$self->settle;
	$self->{faults}{$name}++;

	my @failed = $self->check;
	ok(!@failed, $self->{doing}) or diag(join "\n", @failed);
	return !@failed;
}

# ---- checking ----

sub report
{
	my ($self, $check, $detail) = @_;

	$self->{found}{ $MEANING{$check} // 'altered' }++;
	push @{ $self->{failed} }, "$check: $detail";
	return;
}

# All journals of the epoch of a kind.
sub journals
{
	my ($self, $suffix) = @_;

	return grep { -s $_ } glob("$self->{journals}/*.$suffix");
}

sub copy_in
{
	my ($self, $table, $suffix) = @_;

	return join '', map { "COPY $table FROM '$_';\n" } $self->journals($suffix);
}

# Each query gives the number of whatever should not be.
sub checks
{
	my $self = shift;
	my $sql = q{
		SELECT 'lost', count(*) FROM journal j JOIN fate USING (txn)
		WHERE fate = 'c' AND NOT EXISTS (SELECT FROM stored s WHERE s.stream = j.stream AND s.id = j.id);
		SELECT 'altered', count(*) FROM journal j JOIN stored s USING (stream, id)
		WHERE (j.txn, j.key, j.amount, j.event_time) IS DISTINCT FROM (s.txn, s.key, s.amount, s.event_time);
		SELECT 'doubled', count(*) FROM (SELECT FROM stored GROUP BY stream, id HAVING count(*) > 1) s;
		SELECT 'unexpected', count(*) FROM stored s LEFT JOIN journal j USING (stream, id) LEFT JOIN fate f ON f.txn = s.txn
		WHERE j.id IS NULL OR f.fate = 'a';
		SELECT 'torn', count(*) FROM (SELECT FROM journal j LEFT JOIN stored s USING (stream, id) GROUP BY j.txn
		                              HAVING count(s.id) NOT IN (0, count(*))) t;
		SELECT 'status', count(*) FROM streamfuse.stat_views WHERE status <> 'running';
		SELECT concat('counter ', name, ' was ', c.value, ', is ', n.value), 1
		FROM (SELECT name, max(value) AS value FROM counter GROUP BY name) c
		LEFT JOIN (SELECT 'dirty|' || view || '|' || window_start AS name, missed AS value FROM streamfuse.dirty_windows
		           UNION ALL SELECT name || '|' || view, value FROM streamfuse.stat_views, LATERAL (VALUES
		           ('missed', committed_rows_missed), ('in', committed_rows_in), ('late', committed_rows_late),
		           ('watermark', extract(epoch FROM committed_watermark)::bigint)) v (name, value)) n
		USING (name) WHERE n.value IS NULL OR n.value < c.value;};

	$sql .= qq{
		SELECT 'differs all_time', count(*) FROM (
			(TABLE all_time EXCEPT ALL ($ALL_TIME)) UNION ALL (($ALL_TIME) EXCEPT ALL TABLE all_time)) d;};
	for my $name (sort keys %VIEWS)
	{
		my $view = $VIEWS{$name};
		my $folds = $view->{folds} // 1;
		my $batch = $view->{options} # closed windows only
		  ? '(' . query_of($name) . qq{ HAVING window_end <= (SELECT closed_until FROM streamfuse.stat_views WHERE view = '$name'::regclass))}
		  : '(' . query_of($name) . ')';
		my $clean = "WHERE window_start NOT IN (SELECT window_start FROM streamfuse.dirty_windows WHERE view = '$name'::regclass)";
		my $missed = "SELECT window_start, missed AS n FROM streamfuse.dirty_windows WHERE view = '$name'::regclass";
		$sql .= qq{
			SELECT 'differs $name', count(*) FROM (
				(SELECT * FROM $name $clean EXCEPT ALL SELECT * FROM $batch q $clean)
				UNION ALL (SELECT * FROM $batch q $clean EXCEPT ALL SELECT * FROM $name $clean)) d;
			SELECT 'uncounted $name', count(*) FROM (
				SELECT window_start FROM (
					SELECT window_start, rows AS n FROM $name UNION ALL SELECT window_start, n * $folds FROM ($missed) m
					UNION ALL SELECT window_start, -rows FROM $batch q) w
				GROUP BY 1 HAVING sum(n) <> 0) u;
			CREATE TEMP TABLE now AS SELECT $view->{identity} AS identity, $view->{row} AS row FROM ${name}_closed;
			CREATE TEMP TABLE shown AS SELECT $view->{identity} AS identity, $view->{row} AS row FROM $name;
			CREATE TEMP TABLE told AS SELECT DISTINCT identity, row FROM seen WHERE view = '$name';
			SELECT 'seen_lost $name', count(*) FROM told LEFT JOIN now USING (identity) WHERE now.identity IS NULL;
			SELECT 'seen_altered $name', count(*) FROM told JOIN now USING (identity) WHERE told.row <> now.row;
			SELECT 'seen_doubled $name', count(*) FROM (SELECT FROM now GROUP BY identity HAVING count(*) > 1) d;
			SELECT 'seen_view $name', count(*) FROM (TABLE now EXCEPT ALL TABLE shown) d;
			DROP TABLE now, shown, told;};
		# A row is counted once, whatever number of windows it is in, and missed in some of them.
		$sql .= qq{
			SELECT 'statistics $name', count(*) FROM streamfuse.stat_views
			WHERE view = '$name'::regclass AND (rows_in + rows_missed <> (SELECT count(*) FROM $view->{from})
			  OR rows_missed <> (SELECT coalesce(sum(n), 0) FROM ($missed) m));} if !$view->{overlaps};
	}
	return $sql;
}

# Holds the journals against the server.  Returns what is wrong, a line each.
sub check
{
	my $self = shift;
	my (%result, $out, $err);

	$self->sql(q{SELECT streamfuse.flush(timeout => '120 s')});
	$self->{node}->psql($self->{database}, q{
		SET client_min_messages = error;
		CREATE TEMP TABLE journal (stream text, id bigint, txn bigint, key text, amount numeric(12,2), event_time timestamptz);
		CREATE TEMP TABLE fate (txn bigint, fate "char");
		CREATE TEMP TABLE seen (view text, identity text, row text);
		CREATE TEMP TABLE counter (name text, value bigint);
		CREATE TEMP TABLE stored AS
		SELECT 'events' AS stream, * FROM events UNION ALL SELECT 'payments', * FROM payments;}
		. $self->copy_in('journal', 'rows') . $self->copy_in('fate', 'fates')
		. $self->copy_in('seen', 'seen') . $self->copy_in('counter', 'counters')
		. 'ANALYZE journal; ANALYZE fate; ANALYZE stored; ANALYZE seen;'
		. $self->checks . q{
		SELECT 'prepared', count(*) FROM pg_prepared_xacts;
		SELECT '=rows', count(*) FROM stored;
		SELECT '=in_doubt', count(DISTINCT txn) FROM journal WHERE txn NOT IN (SELECT txn FROM fate);
		SELECT '=seen', count(*) FROM seen;
		SELECT '=windows', count(DISTINCT window_start) FROM by_key_closed;
		SELECT '=dirty', count(*) FROM streamfuse.dirty_windows WHERE view = 'by_key'::regclass;},
		stdout => \$out, stderr => \$err);
	$self->report('status', $err) if $err ne '';

	for my $line (split /\n/, $out)
	{
		my ($check, $n) = $line =~ /^(.*)\|(\d+)$/ or next;
		if ($check =~ s/^=//) { $result{$check} = $n; }
		elsif ($n > 0) { $self->report((split / /, $check)[0], "$check $n"); }
	}
	$self->{last} = \%result;
	$self->{commits} = $self->field('commits');
	for my $file ($self->journals('found'), $self->journals('errors'))
	{
		for my $line (split /\n/, slurp_file($file))
		{
			my ($kind) = split /\t/, $line;
			next if $file =~ /errors$/ && is_expected($line);
			$self->report($file =~ /errors$/ ? 'status' : "seen_$kind", basename($file) . " $line");
		}
		unlink $file;
	}
	my $failed = delete $self->{failed} // [];
	return @$failed;
}

# Errors that clients see while a server goes, or because a fault point raised them.
sub is_expected
{
	my ($state, $message) = split /\t/, shift;

	return $state =~ /^(57P0[1-5]|08...)$/ || $message =~ /^fault point/;
}

# ---- the end ----

# What the epoch that ends had to compare.
sub add_up
{
	my $self = shift;
	my $last = delete $self->{last} // return;

	$self->{total}{$_} += $last->{$_} for keys %{ $self->{total} };
	return;
}

sub tally
{
	my ($self) = @_;
	my $faults = sum0(values %{ $self->{faults} });
	my @lines = map { sprintf('%-50s %4d', $_, $self->{faults}{$_}) } sort keys %{ $self->{faults} };

	$self->add_up;
	push @lines, "$self->{commits} commits acknowledged, $self->{total}{in_doubt} in doubt; $self->{total}{rows} rows; "
	  . "$self->{total}{windows} windows of by_key closed, $self->{total}{dirty} of them dirty; "
	  . "$self->{total}{seen} times a reader kept a closed row in mind";
	push @lines, "seed $self->{seed}: $faults faults, "
	  . "$self->{found}{lost} lost, $self->{found}{doubled} doubled, $self->{found}{altered} altered";
	return join "\n", @lines;
}

# Fault points that no fault has fallen at.
sub uncovered
{
	my $self = shift;

	return grep {
		my $point = $_;
		!grep { /^\Q$point\E: / } keys %{ $self->{faults} }
	} @{ $self->{points} };
}

1;
