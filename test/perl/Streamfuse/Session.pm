# A connection to a server over its Unix socket, in the wire protocol itself: statements can be sent to several sessions
# at once and their answers awaited later, and one costs a write and a read instead of a conversation with psql.
package Streamfuse::Session;

use strict;
use warnings;

use IO::Select;
use IO::Socket::UNIX;

# new(host => directory of the socket, port =>, user =>, database =>, timeout => seconds an answer may take)
sub new
{
	my ($class, %self) = @_;
	my $self = bless { port => 5432, user => 'postgres', database => 'postgres', timeout => 120, %self, buffer => '', waiting => 0 }, $class;

	$self->{socket} = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => "$self->{host}/.s.PGSQL.$self->{port}")
	  or die "could not connect to $self->{host}: $!\n";
	$self->{select} = IO::Select->new($self->{socket});
	my $parameters = join "\0", user => $self->{user}, database => $self->{database}, application_name => $self->{name} // '', '', '';
	$self->_write(pack('NN', 8 + length $parameters, 196608) . $parameters);
	$self->{waiting} = 1;
	my $answer = $self->receive;
	die "could not connect: $answer->{error}\n" if $answer->{error};
	return $self;
}

sub _write
{
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';

	while (length $bytes)
	{
		my $n = syswrite($self->{socket}, $bytes) // die "connection lost: $!\n";
		substr($bytes, 0, $n, '');
	}
	return;
}

# The next message: its type and body.
sub _message
{
	my $self = shift;

	while (1)
	{
		if (length $self->{buffer} >= 5)
		{
			my ($type, $length) = unpack('a N', $self->{buffer});
			if (length $self->{buffer} > $length)
			{
				my $body = substr($self->{buffer}, 5, $length - 4);
				substr($self->{buffer}, 0, 1 + $length, '');
				return ($type, $body);
			}
		}
		$self->{select}->can_read($self->{timeout}) or die "no answer in $self->{timeout} s\n";
		sysread($self->{socket}, $self->{buffer}, 65536, length $self->{buffer}) or die "connection lost\n";
	}
}

# Sends statements, each of which is a transaction of its own when none is open; receive() as often.
sub send
{
	my ($self, @statements) = @_;

	utf8::encode($_) for @statements;
	$self->_write(join '', map { 'Q' . pack('N', 5 + length) . "$_\0" } @statements);
	$self->{waiting} += @statements;
	return;
}

# The answer to the first statement without one: { rows => [[...], ...], error => message, sqlstate => }
sub receive
{
	my $self = shift;
	my $answer = { rows => [] };

	die "nothing was sent\n" unless $self->{waiting};
	while (1)
	{
		my ($type, $body) = $self->_message;
		if ($type eq 'D')
		{
			my ($n, $at, @row) = (unpack('n', $body), 2);
			for (1 .. $n)
			{
				my $length = unpack('l>', substr $body, $at, 4);
				push @row, $length < 0 ? undef : substr($body, $at + 4, $length);
				$at += 4 + ($length < 0 ? 0 : $length);
			}
			push @{ $answer->{rows} }, \@row;
		}
		elsif ($type eq 'E')
		{
			my %field = map { substr($_, 0, 1) => substr($_, 1) } grep { length } split /\0/, $body;
			$answer->{error} = join '; ', grep { defined } @field{qw(M D)};
			$answer->{sqlstate} = $field{C};
			die "connection lost: $answer->{error}\n" if $field{S} =~ /FATAL|PANIC/;
		}
		elsif ($type eq 'Z')
		{
			$self->{transaction} = $body;
			$self->{waiting}--;
			return $answer;
		}
	}
}

# One statement's rows; dies with its error.
sub query
{
	my ($self, $sql) = @_;

	$self->send($sql);
	my $answer = $self->receive;
	die "$answer->{error} ($answer->{sqlstate})\n" if $answer->{error};
	return $answer->{rows};
}

sub value
{
	my ($self, $sql) = @_;

	return $self->query($sql)->[0][0];
}

# Is a transaction open?
sub in_transaction { return $_[0]{transaction} ne 'I'; }

sub close
{
	my $self = shift;

	eval { $self->_write('X' . pack('N', 4)) };
	close $self->{socket};
	return;
}

1;
