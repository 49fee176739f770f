# Cuts a failing case down: takes out steps, views, columns, expressions and rows as long as it still fails.
package Streamfuse::Shrink;

use strict;
use warnings;

use JSON::PP;

use Exporter 'import';

our @EXPORT_OK = qw(shrink kind);

my $json = JSON::PP->new->canonical;

sub copy { return $json->decode($json->encode(shift)); }

# What a finding is about, without the figures in it.
sub kind
{
	my $found = shift;

	$found =~ s/\n.*//s;
	$found =~ s/\(.*//s;
	$found =~ s/[\d"']+/#/g;
	return substr($found, 0, 40);
}

# shrink($server, $case, $found, $seconds): the smaller case, what it finds, the run that shows it.
sub shrink
{
	my ($server, $case, $found, $seconds) = @_;
	my $self = bless { server => $server, case => $case, found => $found, kind => kind($found), until => time + $seconds, trials => 0 };
	my $again = 0;

	# What depends on the moment is tried more often.
	for (1 .. 5)
	{
		my ($what, $run) = $server->try($case);
		next unless $what && kind($what) eq $self->{kind};
		$again++;
		@$self{qw(found run)} = ($what, $run);
	}
	return { %$self, again => 0 } unless $again;
	$self->{attempts} = $again == 5 ? 1 : $again >= 3 ? 3 : 8;
	my $size;
	do
	{
		$size = length $json->encode($self->{case});
		$self->steps;
		$self->simplify;
	} while (time < $self->{until} && length $json->encode($self->{case}) < $size);
	return { %$self, again => $again };
}

# Does a changed case still fail?  Then it is the case from now on.
sub keep
{
	my ($self, $change) = @_;
	my $case = copy($self->{case});

	return 0 if time >= $self->{until} || !$change->($case);
	return 0 if $json->encode($case) eq $json->encode($self->{case});
	for (1 .. $self->{attempts})
	{
		my ($found, $run) = $self->{server}->try($case);
		$self->{trials}++;
		next unless $found && kind($found) eq $self->{kind};
		@$self{qw(case found run)} = ($case, $found, $run);
		return 1;
	}
	return 0;
}

# Delta debugging: leaves out steps, many at a time at first.
sub steps
{
	my $self = shift;
	my $size = int(@{ $self->{case}{steps} } / 2);

	while ($size >= 1)
	{
		my $at = @{ $self->{case}{steps} } - $size;
		while ($at > -$size)
		{
			my $from = $at < 0 ? 0 : $at;
			$self->keep(sub { splice @{ $_[0]{steps} }, $from, $size; return 1 });
			$at -= $size;
		}
		$size = int($size / 2);
	}
	return;
}

sub simplify
{
	my $self = shift;
	my $case = $self->{case};

	$self->keep(sub { $_[0]{reads} = []; return 1 }) or map {
		my $i = $_;
		$self->keep(sub { $_[0]{reads} = [ $_[0]{reads}[$i] ]; return 1 })
	} 0 .. $#{ $case->{reads} };
	for my $flag (qw(lockstep partitions wide constraint tick_pages lag_pages sweep spill generic disorder)) { $self->keep(sub { $_[0]{$flag} = 0; return 1 }); }
	$self->keep(sub { $_[0]{zone} = 'UTC'; return 1 });
	$self->keep(sub { $_[0]{time} = 'timestamptz'; return 1 });
	for my $v (0 .. $#{ $case->{views} })
	{
		my $view = $case->{views}[$v];
		for my $flag (qw(index shows_end final order)) { $self->keep(sub { $_[0]{views}[$v]{$flag} = 0; return 1 }); }
		for my $text (qw(filter having)) { $self->keep(sub { $_[0]{views}[$v]{$text} = ''; return 1 }); }
		$self->keep(sub { return delete $_[0]{views}[$v]{sets} ? 1 : 0 });
		for my $list (qw(keys aggregates))
		{
			for my $i (reverse 0 .. $#{ $view->{$list} })
			{
				$self->keep(sub { splice @{ $_[0]{views}[$v]{$list} }, $i, 1; return 1 });
			}
		}
		$self->keep(sub { $_[0]{views}[$v]{counts} = 0; return 1 });
	}
	for my $column (@{ $case->{columns} })
	{
		my $used = grep { /\b$column\b/ } map { @{ $_->{keys} }, @{ $_->{aggregates} }, $_->{filter}, $_->{having} } @{ $self->{case}{views} };
		$self->keep(sub { $_[0]{columns} = [ grep { $_ ne $column } @{ $_[0]{columns} } ]; return 1 }) unless $used;
	}
	for my $i (0 .. $#{ $self->{case}{steps} })
	{
		for my $n (1, 2, 5, 20)
		{
			last if $self->keep(sub { my $s = $_[0]{steps}[$i]; return 0 if ($s->{n} // 0) <= $n; $s->{n} = $n; return 1 });
		}
		$self->keep(sub { my $s = $_[0]{steps}[$i]; return 0 unless $s->{n}; $s->{back} = 0; return 1 });
		$self->keep(sub { my $s = $_[0]{steps}[$i]; return 0 unless $s->{verify}; $s->{verify} = 0; return 1 });
		$self->keep(sub { my $s = $_[0]{steps}[$i]; return 0 unless $s->{parts}; pop @{ $s->{parts} }; return 1 });
	}
	return;
}

1;
