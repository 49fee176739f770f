# What must hold of views, and how a case asks: the part of Streamfuse::Case that looks.
#
# At every check:
#   - each view equals its query, run as a batch, by EXCEPT ALL both ways, but for the windows listed as dirty
#   - so does every question put to it: by key, by window, in joins and subqueries, through a prepared statement
#   - rows counted and rows missed are the rows of the stream; each dirty window lacks as many rows as it is said to miss
#   - groups over all time have all rows of the stream, and none of them is late
#   - sessions have each row once, or it is missed; those that overlap with a missed row's span are not compared
#   - without groups no row is late, and no window dirty
#   - where windows overlap: all rows that some window holds are counted or late, and what the windows lack is missed
#   - the watermark is the largest event time less the delay
#   - one statement sees two views at the same point of the stream; a cursor answers as of its opening; REPEATABLE READ
#     shows no window twice or not at all; read_consistency = 'latest' shows what is committed
#   - where each step is waited for, exactly the rows whose windows had closed before it are missed
package Streamfuse::Law;

use strict;
use warnings;

use Streamfuse::Grammar qw(view_query window_call);

# ---- what is said of the views ----

# Waits for all that is committed; then, by view: watermark, counters, dirty windows and the like.
sub settle
{
	my $self = shift;
	my @names = sort keys %{ $self->{views} };
	my $local = $self->{case}{time} eq 'timestamp' ? q{ AT TIME ZONE 'UTC'} : '';
	my %info;

	return {} unless @names;
	$self->resume;
	$self->sql('c', q{SELECT streamfuse.flush('s')});
	# Ticks that closed nothing need not be durable: after a crash their rows are taken in again, in fewer ticks perhaps.
	$self->sql('c', 'SELECT streamfuse.checkpoint()') if $self->{case}{lockstep};
	$self->{retried} = 0;
	my @keys = qw(view status watermark closed_until rows_in rows_late rows_missed rows_failed begins_at error dirty dirty_ends missed dirty_epochs dirty_end_epochs);
	my $rows = $self->ask('c', "SELECT v.view::text, v.status, v.watermark, v.closed_until$local, v.rows_in, v.rows_late, v.rows_missed, v.rows_failed, f.begins_at$local, v.error, "
		. "d.windows, d.ends, d.missed, d.epochs, d.end_epochs FROM streamfuse.stat_views v JOIN streamfuse.fragment f ON f.view = v.view, "
		. "LATERAL (SELECT array_agg(d.window_start$local ORDER BY d.window_start, d.window_end) AS windows, array_agg(d.window_end$local ORDER BY d.window_start, d.window_end) AS ends, sum(d.missed) AS missed, array_agg(extract(epoch FROM d.window_start)) AS epochs, array_agg(extract(epoch FROM d.window_end)) AS end_epochs "
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
	my ($self, $name, $info) = @_;
	my $type = $self->time_type;

	return '' unless $info->{dirty};
	return "NOT EXISTS (SELECT FROM unnest('$info->{dirty}'::${type}[], '$info->{dirty_ends}'::${type}[]) x (s, e) WHERE x.s < we AND ws < x.e)"
	  if $self->{views}{$name}{session};
	# Growing windows start together.
	return "(ws, we) NOT IN (SELECT * FROM unnest('$info->{dirty}'::${type}[], '$info->{dirty_ends}'::${type}[]))"
	  if ($self->{views}{$name}{function} // '') eq 'cumulate';
	return "ws <> ALL ('$info->{dirty}'::${type}[])";
}

# What of its query a view shows: closed windows only, those that began after it, those that are not dirty.
sub batch
{
	my ($self, $name, $info, $dirty_too) = @_;
	my $view = $self->{views}{$name};
	my @conditions = $dirty_too ? () : grep { length } $self->clean($name, $info);

	push @conditions, "ws >= '$info->{begins_at}'" if defined $info->{begins_at} && !$view->{session};
	my $end = $view->{function} || $view->{session} ? 'we' : '(SELECT window_end FROM ' . window_call($view, 'ws') . ')';
	push @conditions, "$end <= '$info->{closed_until}'" if $self->{final}{$name};
	return '(SELECT * FROM (' . view_query($view, 1, $view->{session} && $info->{begins_at}) . ') q' . (@conditions ? ' WHERE ' . join(' AND ', @conditions) : '') . ')';
}

sub stream
{
	my ($self, $name, $info) = @_;
	my $clean = $self->clean($name, $info);

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

	push @conditions, ($view->{stateless} || $view->{session} ? 'at' : 'window_start') . " >= '$info->{begins_at}'" if defined $info->{begins_at};
	my $where = @conditions ? ' WHERE ' . join(' AND ', @conditions) : '';
	my $watermark = $case->{time} eq 'timestamp' ? q{at AT TIME ZONE 'UTC'} : 'at';
	my $windows = $view->{session} ? '(SELECT) w' : window_call($view);
	my $row = $self->ask('c', "SELECT (SELECT count(*) FROM s, $windows$where), "
		. "(SELECT coalesce(max($watermark) - interval '$self->{delay} s', '-infinity') FROM s WHERE at < '2090-01-01'), "
		. "(SELECT greatest(coalesce(max($watermark) - interval '$self->{delay} s', '-infinity'), '$self->{floor}') FROM s WHERE at < '2090-01-01'), "
		. "(SELECT count(*) FROM s WHERE EXISTS (SELECT FROM $windows$where))")->[0];
	die "view $name: $info->{rows_late} rows late and $info->{rows_missed} missed without windows\n"
	  if $view->{stateless} && ($info->{rows_late} || $info->{rows_missed} || $info->{dirty});
	if ($view->{function})
	{
		my $counted = $info->{rows_in} + $info->{rows_failed};
		die "view $name: $info->{rows_in} rows counted, $info->{rows_late} late and $info->{rows_failed} failed of $row->[3] in windows\n"
		  if $counted > $row->[3] || $counted + $info->{rows_late} < $row->[3];
		if ($view->{counts} && !$view->{having} && !$view->{raises} && !$self->{final}{$name})
		{
			my $shown = $self->ask('c', "SELECT coalesce(sum(n), 0) FROM $name")->[0][0];
			die "view $name: $shown rows in windows and $info->{rows_missed} missed of $row->[0]\n" if $shown + $info->{rows_missed} != $row->[0];
		}
	}
	elsif ($info->{rows_in} + $info->{rows_missed} + $info->{rows_failed} != $row->[0])
	{
		die "view $name: $info->{rows_in} rows counted, $info->{rows_missed} missed and $info->{rows_failed} failed of $row->[0] in the stream\n";
	}
	die "view $name: $info->{rows_missed} rows missed, " . ($info->{missed} // 0) . " in its dirty windows\n"
	  if $info->{rows_missed} != ($info->{missed} // 0);
	die "view $name: the watermark is $info->{watermark} instead of $row->[1]\n"
	  if !$self->{watermark_set} && $info->{watermark} ne $row->[1] && $info->{watermark} ne $row->[2];
	if ($view->{session} && $view->{counts} && !$view->{having} && !$view->{raises} && !$self->{final}{$name})
	{
		my $shown = $self->ask('c', "SELECT coalesce(sum(n), 0) FROM $name")->[0][0];
		die "view $name: $shown rows in sessions and $info->{rows_missed} missed of $row->[0]\n" if $shown + $info->{rows_missed} != $row->[0];
	}
	elsif (!$view->{session} && $info->{dirty} && $view->{counts} && !$view->{having} && !$view->{raises})
	{
		my $local = $case->{time} eq 'timestamp' ? q{ AT TIME ZONE 'UTC'} : '';
		my ($columns, $same) = ('ws', "ws = (d.window_start$local)");
		($columns, $same) = ('ws, we', "ws = (d.window_start$local) AND %s.we = (d.window_end$local)") if $view->{function};
		my ($same_b, $same_v) = map { my $one = $same; $one =~ s/%s/$_/; "$_.$one" } 'b', 'v';
		# A dirty window that a reset has opened again is not shown by a view of final windows.
		my $shown = $self->{final}{$name} ? 'AND d.window_end <= (SELECT closed_until FROM streamfuse.stat_views WHERE view = d.view) ' : '';
		my $rows = $self->ask('c', "SELECT d.window_start, d.missed, coalesce(b.n, 0), coalesce(v.n, 0) FROM streamfuse.dirty_windows d "
			. "LEFT JOIN (SELECT $columns, sum(n) AS n FROM (" . view_query($view) . ") q GROUP BY $columns) b ON $same_b "
			. "LEFT JOIN (SELECT $columns, sum(n) AS n FROM $name GROUP BY $columns) v ON $same_v "
			. "WHERE d.view = '$name'::regclass AND coalesce(b.n, 0) - coalesce(v.n, 0) <> d.missed ${shown}LIMIT 5");
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

# All rows that a view counts, at any moment, if it can be told: not where a row is in several windows.
sub total
{
	my ($self, $view) = @_;

	return !$view->{function} && $view->{counts} && !$view->{having} && $view->{data} && !$self->{final}{ $view->{name} } && defined $self->{checked}{ $view->{name} };
}

# Views in one statement, without waiting: each shows what it showed before, and what is in one is in all.
sub peek
{
	my $self = shift;
	my @views = sort { $a->{name} cmp $b->{name} } grep { $self->total($_) } values %{ $self->{views} };

	# Views that are paused or tried again are behind.
	return if !@views || %{ $self->{paused} || {} } || $self->{retried};
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
			next if $info->{$name}{dirty} || $view->{raises};
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

# Of rows of a view or its query: window, hash, which is the same for equal rows, and of sessions the end.
sub hash_columns { my ($self, $name) = @_; return 'extract(epoch FROM ws), hash_record_extended(v, 0)' . ($self->{views}{$name}{session} ? ', extract(epoch FROM we)' : ''); }

sub hashes
{
	my ($self, $s, $from, $name) = @_;

	return $self->ask($s, 'SELECT ' . $self->hash_columns($name) . " FROM $from v");
}

sub same_rows
{
	my ($self, $what, $stream, $batch, $info) = @_;
	my @starts = split /,/, ($info->{dirty_epochs} // '') =~ tr/{}//dr;
	my @ends = split /,/, ($info->{dirty_end_epochs} // '') =~ tr/{}//dr;
	my %dirty = map { $_ => 1 } @starts;
	my $left_out = sub { my $row = shift; return @$row > 2 ? grep { $starts[$_] < $row->[2] && $row->[0] < $ends[$_] } 0 .. $#starts : $dirty{ $row->[0] }; };
	my ($a, $b) = map { join ' ', sort map { "$_->[0]:$_->[1]" } grep { !$left_out->($_) } @$_ } $stream, $batch;

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
	$self->sql($step->{s}, "DECLARE k NO SCROLL CURSOR FOR SELECT " . $self->hash_columns($name) . " FROM $name v");
	my $first = $step->{begun} ? $self->sql($step->{s}, 'FETCH 1 FROM k') : [];
	$self->{readers}{ $step->{s} } = { kind => 'cursor', first => $first, info => $info, name => $name,
		batch => $self->hashes('c', $self->batch($name, $info), $name) };
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
		batch => $self->{final}{$name} ? $self->hashes('c', $self->batch($name, $info), $name) : undef };
	return;
}

sub do_snapshot_check
{
	my ($self, $step) = @_;
	my $reader = $self->{readers}{ $step->{s} } // return;

	return unless $reader->{kind} eq 'snapshot';
	my $name = $reader->{name};
	my $info = $self->settle->{$name};
	my $stream = $self->hashes($step->{s}, $name, $name);
	$self->note($step->{s}, "SELECT * FROM $name");
	$self->same_rows("$name in REPEATABLE READ", $stream, $reader->{batch} // $self->hashes('c', $self->batch($name, $info), $name),
		{ map { my $of = $_; $of => join ',', map { (my $d = $_->{$of} // '') =~ tr/{}//d; length $d ? $d : () } $info, $reader->{info} } 'dirty_epochs', 'dirty_end_epochs' });
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
	$self->resume;
	$self->sql($step->{s}, q{SET streamfuse.read_consistency = 'latest'});
	my $stream = $self->hashes($step->{s}, $name, $name);
	$self->note($step->{s}, "SELECT * FROM $name");
	$self->sql($step->{s}, 'RESET streamfuse.read_consistency');
	my $info = $self->settle->{$name};
	$self->same_rows("latest of $name", $stream, $self->hashes('c', $self->batch($name, $info, 1), $name), $info);
	return;
}

# ---- which rows are missed ----

# After each step: of the rows that are new, those are missed whose window had closed before.  When a transaction with a reset
# has ended, windows that were passed over without a row were open for its rows: so many may be missed, but no more.
sub account
{
	my $self = shift;
	my $before = $self->{closed} || {};
	my $info = $self->settle;
	my @resets = grep { $self->idle($_) } keys %{ $self->{resets} };

	delete @{ $self->{resets} }{@resets};
	$self->{closed} = { map { $_ => $info->{$_}{closed_until} } keys %$info };
	for my $name (sort keys %$info)
	{
		my $view = $self->{views}{$name};
		# Which of the late rows would have raised is nobody's question.
		next if $view->{raises} || $view->{stateless};
		if ($view->{session})
		{
			$self->account_sessions($name, $info->{$name}, $before->{$name}, scalar @resets);
			next;
		}
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
			my $late = $self->ask('c', "SELECT count(*) FROM s, " . window_call($view)
				. ($where ? "$where AND" : ' WHERE') . " sid <> ALL ('$known') AND window_end <= '$before->{$name}' AND window_end <= '$self->{closed}{$name}'")->[0][0];
			my $more = $info->{$name}{rows_missed} - $self->{missed}{$name};

			$self->{missed}{$name} += @resets && $more >= 0 && $more < $late ? $more : $late;
		}
		die "view $name: $info->{$name}{rows_missed} rows missed, but $self->{missed}{$name} came too late\n"
		  if $info->{$name}{rows_missed} != $self->{missed}{$name};
	}
	return;
}

# The same for sessions, by the rule itself: a row older than the watermark is late if it touches a closed session; or would
# be closed alone and is in no open one, nor in touch with one and less than two gaps older than the watermark.  Sessions are
# those of the rows counted before the step.  Where rows of a step touch one another they may be late or not, as ticks have
# fallen; then, and after a reset, it is not known any more what has been counted.
sub account_sessions
{
	my ($self, $name, $info, $until, $reset) = @_;
	my $view = $self->{views}{$name};
	my $known = $self->{known}{$name};
	my ($sids) = map { $_->[0] } @{ $self->ask('c', 'SELECT array_agg(DISTINCT sid) FROM s') };
	my @keys = @{ $view->{session_keys} } ? @{ $view->{session_keys} } : @{ $view->{keys} };
	my $filter = join ' AND ', map { "($_)" } grep { length } $view->{filter}, defined $info->{begins_at} ? "at >= '$info->{begins_at}'" : 'true';
	my $gap = "interval $view->{session}";

	# A row of what has no type cannot be compared.
	@keys = ("'all'::text") if !@keys || $keys[0] eq "'all'";
	$self->{known}{$name} = $sids // '{}';
	if (!defined $known)
	{
		$self->{uncounted}{$name} = [];
		$self->{missed}{$name} = 0;
		return;
	}
	return unless $self->{uncounted}{$name};
	return $self->{uncounted}{$name} = undef if $reset;

	my $row = 'ROW(' . join(', ', @keys) . ')';
	my $uncounted = join ', ', '(NULL::bigint, NULL::int, NULL::int)', @{ $self->{uncounted}{$name} };
	my $counted = "sid = ANY ('$known') AND NOT EXISTS (SELECT FROM (VALUES $uncounted) u (a, b, c) WHERE (a, b, c) = (sid, rid, part))";
	my $sessions = sub { my $rows = shift; return "(SELECT window_start AS ws, window_end AS we, $row AS k FROM (SELECT * FROM s WHERE $filter AND ($rows)) s, session(" . join(', ', 'at', $view->{session}, @keys) . '))'; };
	my $touches = sub { my ($which, $condition) = @_; return "EXISTS (SELECT FROM $which c WHERE c.k IS NOT DISTINCT FROM n.k AND n.at < c.we AND c.ws < n.at + $gap AND $condition)"; };
	my $late = $self->ask('c', 'WITH before AS MATERIALIZED ' . $sessions->($counted) . ', n AS MATERIALIZED '
		. "(SELECT sid, rid, part, at, $row AS k FROM s WHERE $filter AND sid <> ALL ('$known')) "
		. 'SELECT n.sid, n.rid, n.part, ' . $touches->('before', "c.we <= '$until'") . ' '
		. "FROM n WHERE n.at < '$until' AND (" . $touches->('before', "c.we <= '$until'")
		. " OR n.at + $gap <= '$until' AND NOT " . $touches->('before', "c.we > '$until' AND (c.ws <= n.at OR n.at + 2 * $gap > '$until')") . ')');
	my $more = $info->{rows_missed} - $self->{missed}{$name};
	my $least = grep { $_->[3] eq 't' } @$late;

	die "view $name: $more rows missed, but $least to " . @$late . " came too late for their sessions\n" if $more < $least || $more > @$late;
	$self->{missed}{$name} += $more;
	return $self->{uncounted}{$name} = undef if $more < @$late;
	push @{ $self->{uncounted}{$name} }, map { "($_->[0], $_->[1], $_->[2])" } @$late;
	return;
}

1;
