# Runs a case of Streamfuse::Grammar on a server and says what is wrong.  The session `c` makes and checks; w1, w2 and w3
# write; r1 and r2 read.  Steps that make no sense where they stand (COMMIT without a transaction) are passed over, so
# that any subset of a case's steps is a case.
#
# What must hold, at every check:
#   - each view equals its query, run as a batch, by EXCEPT ALL both ways, but for the windows listed as dirty
#   - so does every question put to it: by key, by window, in joins and subqueries, through a prepared statement
#   - rows counted and rows missed are the rows of the stream; each dirty window lacks as many rows as it is said to miss
#   - the watermark is the largest event time less the delay
#   - one statement sees two views at the same point of the stream; a cursor answers as of its opening; REPEATABLE READ
#     shows no window twice or not at all; read_consistency = 'latest' shows what is committed
#   - where each step is waited for, exactly the rows whose windows had closed before it are missed
package Streamfuse::Case;

use strict;
use warnings;

use JSON::PP;
use Time::HiRes qw(usleep);

use Streamfuse::Grammar qw(column view_query);
use Streamfuse::Session;

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

	return $self->{case}{time} eq 'timestamp' ? q{TIMESTAMP '2004-03-27 20:00'} : q{TIMESTAMPTZ '2004-03-27 20:00+00'};
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

	$self->{server}->configure(test_tick_pages => $case->{tick_pages}, test_lag_pages => $case->{lag_pages});
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

	$self->sql($step->{s}, 'BEGIN') if $self->idle($step->{s});
	$self->{savepoints}{ $step->{s} } = 0;
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

	return if $self->idle($step->{s}) || @{ $self->{prepared} } >= 5;
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
sub do_flush { my ($self) = @_; $self->sql('c', q{SELECT streamfuse.flush('s')}); return; }

my $terminate = 'SELECT pg_terminate_backend(pid) FROM streamfuse.stat_workers';

sub do_terminate { my ($self) = @_; $self->sql('c', $terminate); return; }

# The worker is terminated at a point of its work, if it comes there.
sub do_kill_at
{
	my ($self, $step) = @_;

	$self->at_point($step, 'wait', sub { $self->sql('c', $terminate) });
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
	$self->sql('c', "SELECT set_fault('$step->{point}', '$action')");
	$self->do_insert($step);
	for (1 .. 40)
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

# kill -9 of any process makes the server drop all of shared memory and recover.
sub do_kill
{
	my ($self, $step) = @_;
	my $pid = $self->ask('c', $step->{who} eq 'c' ? 'SELECT pg_backend_pid()' : 'SELECT pid FROM streamfuse.stat_workers')->[0] // return;

	$self->remark($step->{who} eq 'c' ? 'kill -9 of a session' : 'kill -9 of the worker');
	$self->{server}->crash($pid->[0]);
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
	$self->{final}{ $view->{name} } = $view->{final};
	$self->sql('c', "CREATE MATERIALIZED VIEW $view->{name} WITH (streamfuse.continuous"
		. ($view->{final} ? q{, streamfuse.emit = 'final'} : '') . ') AS ' . view_query($view) . ($view->{data} ? '' : ' WITH NO DATA'));
	$self->{views}{ $view->{name} } = $view;
	$self->{known}{ $view->{name} } = undef;
	$self->sql('c', "CREATE INDEX ON $view->{name} (ws)") if $view->{index};
	if ($step->{settle})
	{
		my $missed = $self->settle->{ $view->{name} }{rows_missed};
		die "view $view->{name} has missed $missed rows of the history before it\n" if $missed;
	}
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
	delete $_->{ $view->{name} } for @{ $self->{peeks} };
	return;
}

sub do_emit
{
	my ($self, $step) = @_;
	my $view = $self->view($step->{view}) // return;

	return unless $self->{views}{ $view->{name} } && $self->idle('r1', 'r2');
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

	$self->{watermark_set} = 1;
	$self->sql($step->{s}, "SELECT streamfuse.advance_watermark('s', " . $self->instant($step->{to}) . ')');
	return;
}

sub do_reset
{
	my ($self, $step) = @_;

	$self->{watermark_set} = 1;
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

# ---- what is said of the views ----

# Waits for all that is committed; then, by view: watermark, counters, dirty windows and the like.
sub settle
{
	my $self = shift;
	my @names = sort keys %{ $self->{views} };
	my $local = $self->{case}{time} eq 'timestamp' ? q{ AT TIME ZONE 'UTC'} : '';
	my %info;

	$self->sql('c', q{SELECT streamfuse.flush('s')}) if @names;
	return {} unless @names;
	my @keys = qw(view status watermark closed_until rows_in rows_missed begins_at error dirty missed dirty_epochs);
	my $rows = $self->ask('c', "SELECT v.view::text, v.status, v.watermark, v.closed_until$local, v.rows_in, v.rows_missed, f.begins_at$local, v.error, "
		. "d.windows, d.missed, d.epochs FROM streamfuse.stat_views v JOIN streamfuse.fragment f ON f.view = v.view, "
		. "LATERAL (SELECT array_agg(d.window_start$local) AS windows, sum(d.missed) AS missed, array_agg(extract(epoch FROM d.window_start)) AS epochs "
		. 'FROM streamfuse.dirty_window d WHERE d.fragment = f.id) d WHERE v.view = ANY (\'{' . join(',', @names) . "}'::regclass[])");
	for my $row (@$rows)
	{
		my %view;
		@view{@keys} = @$row;
		$info{ $view{view} } = \%view;
		$self->{reached} = $view{watermark} if $view{view} eq $names[0];
		die "view $view{view} is $view{status}: " . ($view{error} // '') . "\n" if $view{status} ne 'running';
	}
	for my $name (@names) { die "view $name is not in stat_views\n" unless $info{$name}; }
	return \%info;
}

sub time_type { my $self = shift; return $self->{case}{time}; }

sub clean
{
	my ($self, $info) = @_;

	return $info->{dirty} ? "ws <> ALL ('$info->{dirty}'::" . $self->time_type . '[])' : '';
}

# What of its query a view shows: closed windows only, those that began after it, those that are not dirty.
sub batch
{
	my ($self, $name, $info, $dirty_too) = @_;
	my $view = $self->{views}{$name};
	my @conditions = $dirty_too ? () : grep { length } $self->clean($info);

	push @conditions, "ws >= '$info->{begins_at}'" if defined $info->{begins_at};
	push @conditions, "(SELECT window_end FROM tumble(ws, $view->{window})) <= '$info->{closed_until}'" if $self->{final}{$name};
	return '(SELECT * FROM (' . view_query($view) . ') q' . (@conditions ? ' WHERE ' . join(' AND ', @conditions) : '') . ')';
}

sub stream
{
	my ($self, $name, $info) = @_;
	my $clean = $self->clean($info);

	return $clean ? "(SELECT * FROM $name WHERE $clean)" : $name;
}

# Two questions, whose answers must be the same.
sub compare
{
	my ($self, $what, $stream, $batch, $prepare) = @_;
	my $sql = "WITH stream AS MATERIALIZED ($stream), batch AS MATERIALIZED ($batch) "
	  . q{SELECT 'stream', d::text FROM (TABLE stream EXCEPT ALL TABLE batch) d UNION ALL }
	  . q{SELECT 'batch', d::text FROM (TABLE batch EXCEPT ALL TABLE stream) d LIMIT 8};
	my $rows;

	if ($prepare)
	{
		my $key = "$prepare $sql";
		my $name = $self->{prepared_names}{$key};
		if (!$name)
		{
			$name = $self->{prepared_names}{$key} = 'compare_' . ++$self->{counts}{prepared};
			$self->sql('c', "PREPARE $name AS $sql");
		}
		$rows = $self->sql('c', "EXECUTE $name");
	}
	else
	{
		$rows = $self->sql('c', $sql);
	}
	$self->{counts}{comparisons}++;
	die "$what: stream and batch differ\n" . join('', map { "  $_->[0]: $_->[1]\n" } @$rows) if @$rows;
	return;
}

sub do_check
{
	my ($self, $step) = @_;
	my $info = $self->settle;

	for my $name (sort keys %$info)
	{
		$self->compare("view $name", 'SELECT * FROM ' . $self->stream($name, $info->{$name}) . ' v',
			'SELECT * FROM ' . $self->batch($name, $info->{$name}) . ' b', $step->{verify} ? 'p' : '');
		$self->check_counters($name, $info->{$name});
	}
	$self->check_reads($info);
	$self->check_peeks($info);
	$self->count($info) if $step->{last};
	if ($step->{verify})
	{
		for my $name (sort keys %$info)
		{
			my $rows = $self->sql('c', "SELECT * FROM streamfuse.verify('$name') LIMIT 8");
			die "verify('$name') found\n" . join('', map { "  $_->[0]: $_->[1] ($_->[2])\n" } @$rows) if @$rows;
		}
	}
	return;
}

# For the totals: has there been something to compare?
sub count
{
	my ($self, $info) = @_;

	for my $name (sort keys %$info)
	{
		my $row = $self->ask('c', "SELECT (SELECT count(*) FROM $name), (SELECT count(DISTINCT ws) FROM ${name}_closed)")->[0];
		$self->{counts}{groups} += $row->[0];
		$self->{counts}{closed} += $row->[1];
		$self->{counts}{rows} += $info->{$name}{rows_in};
		$self->{counts}{dirty} += 1 + ($info->{$name}{dirty} =~ tr/,//) if $info->{$name}{dirty};
	}
	return;
}

sub check_counters
{
	my ($self, $name, $info) = @_;
	my $view = $self->{views}{$name};
	my $case = $self->{case};
	my @conditions = grep { length } $view->{filter} ? "($view->{filter})" : '';

	push @conditions, "window_start >= '$info->{begins_at}'" if defined $info->{begins_at};
	my $where = @conditions ? ' WHERE ' . join(' AND ', @conditions) : '';
	my $watermark = $case->{time} eq 'timestamp' ? q{at AT TIME ZONE 'UTC'} : 'at';
	my $row = $self->ask('c', "SELECT (SELECT count(*) FROM s, tumble(at, $view->{window})$where), "
		. "(SELECT coalesce(max($watermark) - interval '$self->{delay} s', '-infinity') FROM s WHERE at < '2090-01-01'), "
		. "(SELECT greatest(coalesce(max($watermark) - interval '$self->{delay} s', '-infinity'), '$self->{floor}') FROM s WHERE at < '2090-01-01')")->[0];
	die "view $name: $info->{rows_in} rows counted and $info->{rows_missed} missed of $row->[0] in the stream\n"
	  if $info->{rows_in} + $info->{rows_missed} != $row->[0];
	die "view $name: $info->{rows_missed} rows missed, " . ($info->{missed} // 0) . " in its dirty windows\n"
	  if $info->{rows_missed} != ($info->{missed} // 0);
	die "view $name: the watermark is $info->{watermark} instead of $row->[1]\n"
	  if !$self->{watermark_set} && $info->{watermark} ne $row->[1] && $info->{watermark} ne $row->[2];
	if ($info->{dirty} && $view->{counts} && !$view->{having})
	{
		my $window = $case->{time} eq 'timestamp' ? q{(d.window_start AT TIME ZONE 'UTC')} : 'd.window_start';
		my $rows = $self->ask('c', "SELECT d.window_start, d.missed, coalesce(b.n, 0), coalesce(v.n, 0) FROM streamfuse.dirty_windows d "
			. "LEFT JOIN (SELECT ws, sum(n) AS n FROM (" . view_query($view) . ") q GROUP BY ws) b ON b.ws = $window "
			. "LEFT JOIN (SELECT ws, sum(n) AS n FROM $name GROUP BY ws) v ON v.ws = $window "
			. "WHERE d.view = '$name'::regclass AND coalesce(b.n, 0) - coalesce(v.n, 0) <> d.missed LIMIT 5");
		die "view $name: dirty windows (start, missed, rows of the batch, rows of the stream)\n" . join('', map { '  ' . join(', ', @$_) . "\n" } @$rows) if @$rows;
	}
	return;
}

sub check_reads
{
	my ($self, $info) = @_;

	for my $read (@{ $self->{case}{reads} })
	{
		next if grep { !$info->{$_} } $read->{view}, $read->{other};
		my %of = (1 => $read->{view}, 2 => $read->{other});
		my ($stream, $batch) = ($read->{sql}) x 2;
		s/moment\(([-\d.]+)\)/$self->moment($1)/ge for $stream, $batch;
		$stream =~ s/\{(\d)\}/$self->stream($of{$1}, $info->{$of{$1}})/ge;
		$batch =~ s/\{(\d)\}/$self->batch($of{$1}, $info->{$of{$1}})/ge;
		$self->compare('a read', $stream, $batch, $self->{case}{generic} ? 'r' : '');
	}
	return;
}

# ---- one point of the stream ----

# All rows that a view counts, at any moment, if it can be told.
sub total
{
	my ($self, $view) = @_;

	return $view->{counts} && !$view->{having} && $view->{data} && !$self->{final}{ $view->{name} } && defined $self->{checked}{ $view->{name} };
}

# Views in one statement, without waiting: each shows what it showed before, and what is in one is in all.
sub peek
{
	my $self = shift;
	my @views = sort { $a->{name} cmp $b->{name} } grep { $self->total($_) } values %{ $self->{views} };

	return unless @views;
	my $row = $self->sql('r2', 'SELECT ' . join ', ', map { "(SELECT coalesce(sum(n), 0) FROM $_->{name})" } @views)->[0];
	push @{ $self->{peeks} }, { map { $views[$_]{name} => $row->[$_] } 0 .. $#views };
	return;
}

sub do_peek
{
	my $self = shift;

	$self->peek;
	return;
}

sub check_peeks
{
	my ($self, $info) = @_;

	for my $peek (@{ $self->{peeks} })
	{
		my $first;
		for my $name (sort keys %$peek)
		{
			my ($n, $view) = ($peek->{$name}, $self->{views}{$name});
			die "a statement counted $n rows in $name, where $self->{checked}{$name} had been\n" if $n < $self->{checked}{$name};
			die "a statement counted $n rows in $name, where $info->{$name}{rows_in} are now\n" if $n > $info->{$name}{rows_in};
			next if $info->{$name}{dirty};
			$first //= $name;
			die "one statement counted $peek->{$first} rows in $first and $n in $name\n"
			  if $n != $peek->{$first} && $view->{filter} eq $self->{views}{$first}{filter};
			$self->{checked}{$name} = $n;
		}
	}
	$self->{peeks} = [];
	$self->{checked}{$_} = $info->{$_}{rows_in} for keys %$info;
	return;
}

# ---- readers that stay ----

# Rows of a view or its query, as pairs of window and hash, which is the same for equal rows.
sub hashes
{
	my ($self, $s, $from) = @_;

	return $self->ask($s, "SELECT extract(epoch FROM ws), hash_record_extended(v, 0) FROM $from v");
}

sub same_rows
{
	my ($self, $what, $stream, $batch, $info) = @_;
	my %dirty = map { $_ => 1 } split /,/, ($info->{dirty_epochs} // '') =~ tr/{}//dr;
	my ($a, $b) = map { join ' ', sort map { "$_->[0]:$_->[1]" } grep { !$dirty{ $_->[0] } } @$_ } $stream, $batch;

	return if $a eq $b;
	my (%a, %b);
	$a{$_}++ for split / /, $a;
	$b{$_}++ for split / /, $b;
	my @more = grep { ($a{$_} // 0) > ($b{$_} // 0) } sort keys %a;
	my @less = grep { ($b{$_} // 0) > ($a{$_} // 0) } sort keys %b;
	die "$what: stream and batch differ (window:hash of row)\n  stream: @more[0 .. ($#more > 3 ? 3 : $#more)]\n  batch: @less[0 .. ($#less > 3 ? 3 : $#less)]\n";
}

# A cursor opened now answers as of now, whenever it is fetched.
sub do_cursor
{
	my ($self, $step) = @_;
	my $name = $self->view($step->{view})->{name};

	return unless $self->{views}{$name} && $self->idle($step->{s});
	my $info = $self->settle->{$name};
	$self->sql($step->{s}, 'BEGIN');
	$self->sql($step->{s}, "DECLARE k NO SCROLL CURSOR FOR SELECT extract(epoch FROM ws), hash_record_extended(v, 0) FROM $name v");
	my $first = $step->{begun} ? $self->sql($step->{s}, 'FETCH 1 FROM k') : [];
	$self->{readers}{ $step->{s} } = { kind => 'cursor', first => $first, info => $info, name => $name,
		batch => $self->hashes('c', $self->batch($name, $info)) };
	return;
}

sub do_cursor_check
{
	my ($self, $step) = @_;
	my $reader = $self->{readers}{ $step->{s} } // return;

	return unless $reader->{kind} eq 'cursor';
	delete $self->{readers}{ $step->{s} };
	my $rest = $self->sql($step->{s}, 'FETCH ALL FROM k');
	$self->sql($step->{s}, 'COMMIT');
	$self->same_rows("cursor over $reader->{name}", [ @{ $reader->{first} }, @$rest ], $reader->{batch}, $reader->{info});
	return;
}

# A REPEATABLE READ transaction: a window is never missing or doubled, however long ago its snapshot was taken.
sub do_snapshot
{
	my ($self, $step) = @_;
	my $name = $self->view($step->{view})->{name};

	return unless $self->{views}{$name} && $self->idle($step->{s});
	my $info = $self->settle->{$name};
	$self->sqls($step->{s}, 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT count(*) FROM ' . ($step->{begun} ? $name : 'pg_am'));
	$self->{readers}{ $step->{s} } = { kind => 'snapshot', name => $name, info => $info,
		batch => $self->{final}{$name} ? $self->hashes('c', $self->batch($name, $info)) : undef };
	return;
}

sub do_snapshot_check
{
	my ($self, $step) = @_;
	my $reader = $self->{readers}{ $step->{s} } // return;

	return unless $reader->{kind} eq 'snapshot';
	my $name = $reader->{name};
	my $info = $self->settle->{$name};
	my $stream = $self->hashes($step->{s}, $name);
	$self->note($step->{s}, "SELECT * FROM $name");
	$self->same_rows("$name in REPEATABLE READ", $stream, $reader->{batch} // $self->hashes('c', $self->batch($name, $info)),
		{ dirty_epochs => join ',', map { (my $d = $_ // '') =~ tr/{}//d; length $d ? $d : () } $info->{dirty_epochs}, $reader->{info}{dirty_epochs} });
	delete $self->{readers}{ $step->{s} };
	$self->sql($step->{s}, 'COMMIT');
	return;
}

# What is committed is seen, without a flush.
sub do_latest
{
	my ($self, $step) = @_;
	my $name = $self->view($step->{view})->{name};

	return unless $self->{views}{$name} && $self->idle($step->{s});
	$self->sql($step->{s}, q{SET streamfuse.read_consistency = 'latest'});
	my $stream = $self->hashes($step->{s}, $name);
	$self->note($step->{s}, "SELECT * FROM $name");
	$self->sql($step->{s}, 'RESET streamfuse.read_consistency');
	my $info = $self->settle->{$name};
	$self->same_rows("latest of $name", $stream, $self->hashes('c', $self->batch($name, $info, 1)), $info);
	return;
}

# ---- which rows are missed ----

# After each step: of the rows that are new, those are missed whose window had closed before.
sub account
{
	my $self = shift;
	my $before = $self->{closed} || {};
	my $info = $self->settle;

	$self->{closed} = { map { $_ => $info->{$_}{closed_until} } keys %$info };
	for my $name (sort keys %$info)
	{
		my $view = $self->{views}{$name};
		my @conditions = grep { length } $view->{filter} ? "($view->{filter})" : '';
		push @conditions, "window_start >= '$info->{$name}{begins_at}'" if defined $info->{$name}{begins_at};
		my $where = @conditions ? ' WHERE ' . join(' AND ', @conditions) : '';
		my $known = $self->{known}{$name};
		my ($sids) = map { $_->[0] } @{ $self->ask('c', 'SELECT array_agg(DISTINCT sid) FROM s') };

		$self->{known}{$name} = $sids // '{}';
		if (!defined $known)
		{
			$self->{missed}{$name} = 0;
		}
		else
		{
			$self->{missed}{$name} += $self->ask('c', "SELECT count(*) FROM s, tumble(at, $view->{window})"
				. ($where ? "$where AND" : ' WHERE') . " sid <> ALL ('$known') AND window_end <= '$before->{$name}'")->[0][0];
		}
		die "view $name: $info->{$name}{rows_missed} rows missed, but $self->{missed}{$name} came too late\n"
		  if $info->{$name}{rows_missed} != $self->{missed}{$name};
	}
	return;
}

1;
