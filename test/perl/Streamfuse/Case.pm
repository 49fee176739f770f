# Runs a case of Streamfuse::Grammar on a server and says what is wrong.  The session `c` makes and checks; w1, w2 and w3
# write; r1 and r2 read.  Steps that make no sense where they stand (COMMIT without a transaction) are passed over, so
# that any subset of a case's steps is a case.
package Streamfuse::Case;

use strict;
use warnings;

use Time::HiRes qw(usleep);

use Streamfuse::Grammar qw(column view_query);
use Streamfuse::Session;

use parent 'Streamfuse::Law';

my @sessions = qw(c w1 w2 w3 r1 r2);

# new($server, $case): $server is a Streamfuse::Random server.
sub new
{
	my ($class, $server, $case) = @_;

	return bless { server => $server, case => $case, log => [], missed => {}, known => {}, prepared => [], prepared_names => {},
		views => {}, readers => {}, peeks => [], parts => 2, savepoints => {}, step => 0, counts => {}, delay => $case->{delay}, floor => '-infinity' }, $class;
}

# undef when all is well, or what was found.
sub run
{
	my $self = shift;
	my $found;

	eval {
		$self->setup;
		for my $step (@{ $self->{case}{steps} })
		{
			my $method = "do_$step->{op}";
			$self->{step}++;
			$self->$method($step);
			$self->account if $self->{case}{lockstep} && $step->{op} ne 'check';
		}
		1;
	} or $found = $@;
	eval { $self->state } if $found;
	eval { $self->cleanup; 1 } or $found //= "while the case was cleaned up: $@";
	if ($found)
	{
		chomp $found;
		$found =~ s/ at \S+ line \d+\.?$//;
	}
	return $found;
}

# Where the views stand when something was found.
sub state
{
	my $self = shift;
	my $rows = $self->ask('c', "SELECT format('%s is %s: watermark %s, closed until %s, %s rows in, %s missed; dirty: %s', v.view, v.status, v.watermark, "
		. "v.closed_until, v.rows_in, v.rows_missed, (SELECT string_agg(format('%s (%s)', d.window_start, d.missed), ', ') FROM streamfuse.dirty_windows d WHERE d.view = v.view)) "
		. "FROM streamfuse.stat_views v WHERE v.view::text ~ '^v[0-9]\$' ORDER BY 1");

	$self->remark($_->[0]) for @$rows;
	return;
}

# All statements so far, each with its session: what to give to a person.
sub script
{
	my $self = shift;

	return join "\n", @{ $self->{log} };
}

# ---- statements ----

sub note
{
	my ($self, $s, $sql) = @_;

	$sql =~ s/\s+$//;
	push @{ $self->{log} }, ($s eq ($self->{last} // '') ? () : "-- session $s"), "$sql;";
	$self->{last} = $s;
	return;
}

sub remark
{
	my ($self, $text) = @_;

	push @{ $self->{log} }, "-- $text";
	$self->{last} = '';
	return;
}

sub session { my ($self, $s) = @_; return $self->{server}->session($s); }

# A statement of the history: part of the script.
sub sql
{
	my ($self, $s, $sql) = @_;

	$self->note($s, $sql);
	return $self->ask($s, $sql);
}

# A statement that only looks.
sub ask
{
	my ($self, $s, $sql) = @_;
	my $session = $self->session($s);

	$session->send($sql);
	my $answer = $session->receive;
	die "session $s: $answer->{error} ($answer->{sqlstate}): " . substr($sql, 0, 300) . "\n" if $answer->{error};
	return $answer->{rows};
}

# The same for several statements, in one go.
sub sqls
{
	my ($self, $s, @sql) = @_;
	my $session = $self->session($s);
	my $error;

	$self->note($s, $_) for @sql;
	$session->send(@sql);
	for my $sql (@sql)
	{
		my $answer = $session->receive;
		$error //= "session $s: $answer->{error} ($answer->{sqlstate}): " . substr($sql, 0, 300) . "\n" if $answer->{error};
	}
	die $error if $error;
	return;
}

sub idle
{
	my ($self, @s) = @_;

	return !grep { $self->session($_)->in_transaction } @s;
}

# Does nobody hold a lock on the stream or its views?
sub alone
{
	my $self = shift;

	return !@{ $self->{prepared} } && $self->idle(@sessions);
}

# ---- the beginning and the end ----

sub base
{
	my $self = shift;

	return $self->{case}{time} eq 'timestamp' ? "TIMESTAMP '$self->{case}{from}'" : "TIMESTAMPTZ '$self->{case}{from}+00'";
}

# A moment of event time, so many seconds after the beginning.
sub moment
{
	my ($self, $seconds) = @_;

	return '(' . $self->base . ' + ' . sprintf('%.6f', $seconds) . q{ * interval '1 s')};
}

# A column's value in row g; H(n) is a number that row, salt and place give.
sub value
{
	my ($expression, $place) = @_;

	$expression =~ s/H\((\d+)\)/'h(g, salt * 1000 + ' . $place++ . ", $1)"/ge;
	return $expression;
}

sub setup
{
	my $self = shift;
	my $case = $self->{case};
	my $place = 10;
	my @columns = @{ $case->{columns} };
	my (@types, @values);

	$self->{server}->configure(test_tick_pages => $case->{tick_pages}, test_lag_pages => $case->{lag_pages}, test_sweep => $case->{sweep} ? 'on' : 'off',
		test_spill => $case->{spill} ? 'on' : 'off');
	for my $name (@columns)
	{
		push @types, column($name)->{type};
		push @values, value(column($name)->{value}, $place += 10);
	}
	my @names = ('sid', 'rid', 'part', @columns, 'at');
	my @all_types = ('bigint', 'int', 'int', @types, $case->{time});
	my @all_values = ('salt', 'g', 'h(g, salt * 1000, parts)', @values,
		$self->base . q{ + (start + g * step - h(g, salt * 1000 + 1, 1001) / 1000.0 * back) * interval '1 s'});
	if ($case->{wide})
	{
		push @names, 'pad';
		push @all_types, 'text';
		push @all_values, "repeat('x', $case->{wide})";
	}
	$self->{names} = \@names;
	my $definitions = join ', ', map { "$names[$_] $all_types[$_]" . ($names[$_] eq 'at' ? ' NOT NULL' : '') } 0 .. $#names;
	my $returns = join ', ', map { (my $type = $all_types[$_]) =~ s/ COLLATE .*//; "$names[$_] $type" } 0 .. $#names;
	my $schema = $self->{schema} = "case_$case->{seed}";
	my @settings = ('SET lock_timeout = 20000', "SET search_path = $schema, public, streamfuse", "SET TimeZone = '$case->{zone}'",
		'SET plan_cache_mode = ' . ($case->{generic} ? 'force_generic_plan' : 'auto'));

	$self->note('c', "CREATE SCHEMA $schema");
	my @make = ("CREATE SCHEMA $schema", @settings);
	my @tables;
	if ($case->{partitions})
	{
		push @tables, "CREATE TABLE s ($definitions) PARTITION BY LIST (part)",
		  map { "CREATE TABLE s_$_ PARTITION OF s FOR VALUES IN ($_) USING stream" } 0, 1;
	}
	else
	{
		push @tables, "CREATE TABLE s ($definitions) USING stream";
	}
	push @tables, 'ALTER TABLE s ADD UNIQUE (sid, rid, part)' if $case->{constraint};
	push @tables, 'ALTER TABLE s ALTER pad SET STORAGE PLAIN' if $case->{wide};
	push @tables, "SELECT streamfuse.set_watermark('s', 'at', delay => '$case->{delay} s')";
	push @tables, "CREATE FUNCTION gen(salt bigint, n int, start float8, step float8, back float8, parts int) RETURNS TABLE ($returns)"
	  . " STABLE LANGUAGE sql AS \$\$ SELECT " . join(', ', @all_values) . ' FROM generate_series(1, n) g $$';
	$self->note('c', $_) for @settings;
	shift @make;
	my $c = $self->session('c');
	$c->query("DROP SCHEMA IF EXISTS $schema CASCADE");
	$c->query("CREATE SCHEMA $schema");
	$_->send(@settings) for map { $self->session($_) } @sessions;
	for my $s (@sessions) { $self->session($s)->receive for @settings; }
	$self->sqls('c', @tables);
	$self->{settings} = \@settings;
	return;
}

sub cleanup
{
	my $self = shift;
	my $c;

	if (!eval { $self->{server}->drain; 1 })
	{
		# Let a crashed server come back.
		$self->{server}->reconnect;
	}
	for my $s (@sessions)
	{
		my $session = $self->session($s);
		$session->query('ROLLBACK') if $session->in_transaction;
	}
	$c = $self->session('c');
	$c->query('DEALLOCATE ALL');
	$c->query("SELECT set_fault(point, 'none') FROM unnest('{$_}'::text[]) point") for grep { length } join ',', keys %{ $self->{faults} || {} };
	$c->query("ROLLBACK PREPARED '$_'") for map { $_->[0] } @{ $c->query('SELECT gid FROM pg_prepared_xacts') };
	$c->query("DROP SCHEMA IF EXISTS $self->{schema} CASCADE") if $self->{schema};
	return;
}

# ---- rows ----

sub gen
{
	my ($self, $step) = @_;

	return sprintf("gen(%d, %d, %.6f, %.8f, %.6f, %d)", $step->{salt}, $step->{n}, $step->{from}, $step->{step}, $step->{back}, $self->{parts});
}

sub insert_sql
{
	my ($self, $step) = @_;
	my $columns = join ', ', @{ $self->{names} };

	return "INSERT INTO s ($columns, extra) SELECT r.*, h(r.rid, $step->{salt}, 4) FROM " . $self->gen($step) . ' r'
	  if $self->{extra} && $step->{salt} % 2;
	return "INSERT INTO s ($columns) SELECT * FROM " . $self->gen($step);
}

sub do_insert
{
	my ($self, $step) = @_;

	$self->sql($step->{s}, $self->insert_sql($step));
	return;
}

sub do_copy
{
	my ($self, $step) = @_;
	my $file = $self->{server}{directory} . "/rows_$step->{s}";
	my $columns = join ', ', @{ $self->{names} };

	$self->sql($step->{s}, 'COPY (SELECT * FROM ' . $self->gen($step) . ") TO '$file'");
	$self->sql($step->{s}, "COPY s ($columns) FROM '$file'");
	return;
}

# Each row in a subtransaction, of which a third are rolled back.
sub do_subtransactions
{
	my ($self, $step) = @_;
	my $n = $step->{n} > 90 ? 90 : $step->{n};
	my $columns = join ', ', @{ $self->{names} };
	my $gen = $self->gen({ %$step, n => $n });

	$self->sql($step->{s}, "DO \$\$ BEGIN FOR one IN 1..$n LOOP BEGIN INSERT INTO s ($columns) SELECT * FROM $gen WHERE rid = one; "
		. "IF one % 3 = 1 THEN RAISE division_by_zero; END IF; EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END \$\$");
	return;
}

# Several sessions insert at the same time, while one reads.
sub do_together
{
	my ($self, $step) = @_;
	my (%busy, $error);

	return if $self->{case}{lockstep};
	for my $part (@{ $step->{parts} })
	{
		my $sql = $self->insert_sql($part);
		$self->remark("at the same time as what follows:");
		$self->note($part->{s}, $sql);
		$self->session($part->{s})->send($sql);
		$busy{ $part->{s} } = $sql;
	}
	$self->peek for 1 .. 2;
	for my $s (sort keys %busy)
	{
		my $answer = $self->session($s)->receive;
		$error //= "session $s: $answer->{error} ($answer->{sqlstate}): $busy{$s}\n" if $answer->{error};
	}
	die $error if $error;
	return;
}

# A row far ahead of the clock: counted, but the watermark stays.
sub do_ahead
{
	my ($self, $step) = @_;
	my $columns = join ', ', @{ $self->{names} };

	$self->sql($step->{s}, "INSERT INTO s ($columns) SELECT " . join(', ', map { $_ eq 'at' ? q{'2099-01-01'} : "r.$_" } @{ $self->{names} })
		. " FROM gen($step->{salt}, 1, 0, 0, 0, $self->{parts}) r");
	return;
}

# ---- transactions ----

sub do_begin
{
	my ($self, $step) = @_;

	return unless $self->idle($step->{s});
	$self->sql($step->{s}, 'BEGIN');
	$self->{savepoints}{ $step->{s} } = 0;
	$self->{punctuates}{ $step->{s} } = 0;
	return;
}

sub do_end
{
	my ($self, $step) = @_;

	$self->sql($step->{s}, $step->{commit} ? 'COMMIT' : 'ROLLBACK') unless $self->idle($step->{s});
	return;
}

sub do_savepoint
{
	my ($self, $step) = @_;

	return if $self->idle($step->{s});
	$self->sql($step->{s}, 'SAVEPOINT p' . ++$self->{savepoints}{ $step->{s} });
	return;
}

sub do_back_to_savepoint
{
	my ($self, $step) = @_;

	return if $self->idle($step->{s}) || !$self->{savepoints}{ $step->{s} };
	$self->sql($step->{s}, "ROLLBACK TO p$self->{savepoints}{$step->{s}}");
	return;
}

sub do_prepare
{
	my ($self, $step) = @_;

	return if $self->idle($step->{s}) || @{ $self->{prepared} } >= 5 || $self->{punctuates}{ $step->{s} };
	my $gid = 'p' . ++$self->{gids};
	$self->sql($step->{s}, "PREPARE TRANSACTION '$gid'");
	push @{ $self->{prepared} }, $gid;
	return;
}

sub do_finish_prepared
{
	my ($self, $step) = @_;
	my $gid = shift @{ $self->{prepared} } // return;

	$self->sql('c', ($step->{commit} ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'");
	return;
}

# ---- what happens to tables and servers ----

sub do_vacuum { my ($self, $step) = @_; $self->sql('c', "$step->{how} s"); return; }
sub do_checkpoint { my ($self) = @_; $self->sql('c', 'CHECKPOINT'); return; }
sub do_flush { my ($self) = @_; $self->resume; $self->sql('c', q{SELECT streamfuse.flush('s')}); return; }

my $terminate = 'SELECT pg_terminate_backend(pid) FROM streamfuse.stat_workers';

sub do_terminate { my ($self) = @_; $self->sql('c', $terminate); return; }

# The worker is terminated at a point of its work, if it comes there.
sub do_kill_at
{
	my ($self, $step) = @_;

	$self->at_point($step, 'exit', sub { }) if $step->{exit};
	$self->at_point($step, 'wait', sub { $self->sql('c', $terminate) }) unless $step->{exit};
	return;
}

# The server crashes while its worker is there, if it comes there.
sub do_crash_at
{
	my ($self, $step) = @_;

	$self->at_point($step, 'wait', sub { $self->do_kill });
	return;
}

# A paused view stands still, and goes on from there.
sub do_pause
{
	my ($self, $step) = @_;
	my $name = $self->view($step->{view})->{name};

	return unless $self->{views}{$name} && $self->idle('r1', 'r2');
	if ($self->{paused}{$name})
	{
		$self->sql('c', "SELECT streamfuse.resume('$name')");
		delete $self->{paused}{$name};
		return;
	}
	$self->sql('c', "SELECT streamfuse.pause('$name')");
	$self->{paused}{$name} = 1;
	return;
}

# Before anything is asked of it.
sub resume
{
	my $self = shift;

	for my $name (sort keys %{ $self->{paused} || {} })
	{
		$self->sql('c', "SELECT streamfuse.resume('$name')") if $self->{views}{$name};
	}
	$self->{paused} = {};
	return;
}

sub do_fault
{
	my ($self, $step) = @_;

	$self->at_point($step, 'error', sub { });
	return;
}

sub at_point
{
	my ($self, $step, $action, $then) = @_;

	$self->{faults}{ $step->{point} } = 1;
	$self->{retried} = 1;
	$self->sql('c', "SELECT set_fault('$step->{point}', '$action')");
	$self->do_insert($step);
	for (1 .. 100)
	{
		last if $self->ask('c', "SELECT fault_hits('$step->{point}')")->[0][0] > 0;
		usleep(500);
	}
	$then->();
	$self->sql('c', "SELECT set_fault('$step->{point}', 'none')");
	return;
}

sub do_restart
{
	my ($self, $step) = @_;

	$self->remark("pg_ctl restart -m $step->{how}");
	$self->{server}->restart($step->{how});
	$self->forget_sessions;
	return;
}

# kill -9 of any process makes the server drop all of shared memory and recover.  A session is there for sure.
sub do_kill
{
	my ($self) = @_;

	$self->remark('kill -9 of a session');
	$self->{server}->crash($self->ask('c', 'SELECT pg_backend_pid()')->[0][0]);
	$self->forget_sessions;
	return;
}

sub forget_sessions
{
	my ($self) = @_;

	$self->{readers} = {};
	$self->{prepared_names} = {};
	$self->{peeks} = [];
	for my $s (@sessions)
	{
		my $session = $self->session($s);
		$session->send(@{ $self->{settings} });
		$session->receive for @{ $self->{settings} };
	}
	return;
}

sub do_attach
{
	my ($self, $step) = @_;

	return unless $self->{case}{partitions} && $self->{parts} < 5;
	my $part = $self->{parts};
	my $columns = join ', ', @{ $self->{names} };
	my @rest = grep { $_ ne 'part' } @{ $self->{names} };
	$self->sqls('c', "CREATE TABLE s_$part (LIKE s) USING stream",
		"INSERT INTO s_$part ($columns) SELECT " . join(', ', map { $_ eq 'part' ? $part : "r.$_" } @{ $self->{names} })
		  . sprintf(' FROM gen(%d, %d, %.6f, %.8f, 0, 1) r', 900000 + $part, 20, 0, $self->{case}{unit} * 0.3),
		"ALTER TABLE s ATTACH PARTITION s_$part FOR VALUES IN ($part)");
	$self->{parts}++;
	return;
}

sub do_add_column
{
	my ($self) = @_;

	return if $self->{extra} || !$self->alone;
	$self->sql('c', 'ALTER TABLE s ADD COLUMN extra ' . column('extra')->{type});
	$self->{extra} = 1;
	return;
}

sub do_create_index
{
	my ($self) = @_;

	return if $self->{index}++ || !$self->alone;
	$self->sql('c', 'CREATE INDEX ON s (at)');
	return;
}

# ---- views ----

sub view
{
	my ($self, $number) = @_;

	return $self->{case}{views}[ $number - 1 ];
}

sub uses_extra
{
	my $view = shift;

	return grep { defined && /\bextra\b/ } @{ $view->{keys} }, @{ $view->{aggregates} }, $view->{filter}, $view->{having};
}

sub do_create_view
{
	my ($self, $step) = @_;
	my $view = $self->view($step->{view}) // return;

	return if $self->{views}{ $view->{name} } || (uses_extra($view) && !$self->{extra});
	# Rows without windows are all final.
	$self->{final}{ $view->{name} } = $view->{final} && !$view->{stateless};
	$self->sql('c', "CREATE MATERIALIZED VIEW $view->{name} WITH (streamfuse.continuous"
		. ($view->{final} ? q{, streamfuse.emit = 'final'} : '') . ($view->{raises} ? ', streamfuse.on_error = skip' : '') . ') AS ' . view_query($view) . ($view->{data} ? '' : ' WITH NO DATA'));
	$self->{views}{ $view->{name} } = $view;
	$self->explain($view->{name});
	$self->{known}{ $view->{name} } = undef;
	$self->sql('c', "CREATE INDEX ON $view->{name} (ws)") if $view->{index};
	# Until the history is worked in, a read runs the query itself, and raises.
	if ($step->{settle} || $view->{raises})
	{
		my $missed = $self->settle->{ $view->{name} }{rows_missed};
		die "view $view->{name} has missed $missed rows of the history before it\n" if $missed;
	}
	return;
}

# Any view can be explained, in each form.
sub explain
{
	my ($self, $name) = @_;
	my $rows = $self->ask('c', "SELECT d->>'node', d->>'name', (SELECT count(*) > 3 FROM streamfuse.explain('$name')), starts_with(dot, 'digraph') "
		. "FROM (SELECT explain::jsonb FROM streamfuse.explain('$name', 'json')) j (d), streamfuse.explain('$name', 'dot') dot");

	die "view $name is explained as @{ $rows->[0] }\n" unless "@{ $rows->[0] }" eq "view $name t t";
	return;
}

sub do_drop_view
{
	my ($self, $step) = @_;
	my $view = $self->view($step->{view}) // return;

	return unless $self->{views}{ $view->{name} } && $self->idle('r1', 'r2');
	$self->sql('c', "DROP MATERIALIZED VIEW $view->{name}");
	delete $self->{views}{ $view->{name} };
	delete $self->{checked}{ $view->{name} };
	delete $self->{paused}{ $view->{name} };
	delete $_->{ $view->{name} } for @{ $self->{peeks} };
	return;
}

sub do_emit
{
	my ($self, $step) = @_;
	my $view = $self->view($step->{view}) // return;

	return if !$self->{views}{ $view->{name} } || $view->{stateless} || $view->{all_time} || !$self->idle('r1', 'r2');
	my $final = !$self->{final}{ $view->{name} };
	$self->sql('c', "ALTER MATERIALIZED VIEW $view->{name} SET (streamfuse.emit = '" . ($final ? 'final' : 'live') . "')");
	$self->{final}{ $view->{name} } = $final;
	return;
}

# Another delay: the watermark follows with the next tick, if that does not take it back.
sub do_delay
{
	my ($self, $step) = @_;

	$self->settle;
	$self->sql('c', "SELECT streamfuse.set_watermark('s', 'at', delay => '$step->{delay} s')");
	$self->{delay} = $step->{delay};
	$self->{floor} = $self->{reached} // '-infinity';
	return;
}

sub do_advance
{
	my ($self, $step) = @_;

	$self->{watermark_set} = $self->{punctuates}{ $step->{s} } = 1;
	$self->sql($step->{s}, "SELECT streamfuse.advance_watermark('s', " . $self->instant($step->{to}) . ')');
	return;
}

sub do_reset
{
	my ($self, $step) = @_;

	$self->{watermark_set} = $self->{punctuates}{ $step->{s} } = $self->{resets}{ $step->{s} } = 1;
	$self->sql($step->{s}, "SELECT streamfuse.reset_watermark('s', " . $self->instant($step->{to}) . ')');
	return;
}

# A moment as a time with a zone, which watermarks are.
sub instant
{
	my ($self, $seconds) = @_;
	my $moment = $self->moment($seconds);

	return $self->{case}{time} eq 'timestamp' ? "$moment AT TIME ZONE 'UTC'" : $moment;
}

1;
