# What test/random runs once there is a server: PGHOST and PGDATA say where.
use strict;
use warnings;

use Getopt::Long;
use File::Basename;
use JSON::PP;

use Streamfuse::Random;

my %option = (shrink => 1);
my $cases;
GetOptions(\%option, 'seed=i', 'stop', 'shrink!', 'replay=s', 'bugs', 'cases=i') or die "test/random begins by saying what it takes\n";
my $given = defined $option{seed};
$option{seed} //= time;
$option{cases} //= $given ? 1 : 100;

my ($data, $failed, $run) = ($ENV{PGDATA}, 0, 0);
open my $conf, '>>', "$data/postgresql.conf" or die $!;
print $conf "$_\n" for Streamfuse::Random::settings();
close $conf;
control('fast');
my $random = Streamfuse::Random->new(host => $ENV{PGHOST}, directory => $data, restart => \&control);
$| = 1;

sub control
{
	my $mode = shift;

	system("pg_ctl -D '$data' -l '$data.log' -w -m $mode restart >/dev/null 2>&1") == 0 or die "the server does not start again\n";
	return;
}

sub report
{
	my $report = shift;

	$failed++;
	print Streamfuse::Random::describe($report);
	print 'saved: ', JSON::PP->new->canonical->encode($report->{case}), "\n";
	return;
}

sub replay
{
	my $saved = "$ENV{SF_WORK}/data/" . basename($option{replay});
	open my $file, '<', $saved or die "$option{replay}: $!\n";
	my $report = $random->run_case(decode_json(join '', <$file>), 0);

	$run = 1;
	report($report) if $report;
	return;
}

sub seeds
{
	my $last = $option{seed} + $option{cases} - 1;

	print "Seeds $option{seed} to $last\n";
	for my $seed ($option{seed} .. $last)
	{
		my $report = $random->run_seed($seed, $option{shrink} ? 90 : 0);
		$run++;
		report($report) if $report;
		last if $report && $option{stop};
		print "seeds $option{seed} to $seed are done, $failed differences\n" if $run % 100 == 0;
	}
	return;
}

sub bugs
{
	for my $bug (@ARGV ? @ARGV : $random->bugs)
	{
		my $found = $random->find_bug($bug, $option{seed}, 300);
		$run += $found->{cases};
		$failed++ unless $found->{seed};
		print $found->{seed} ? "$bug: found by case $found->{cases}, seed $found->{seed}: " . Streamfuse::Shrink::kind($found->{found}) . "\n"
		  : "$bug: NOT FOUND in $found->{cases} cases\n";
	}
	print "$failed bugs were not found\n";
	return;
}

$option{bugs} ? bugs() : $option{replay} ? replay() : seeds();
print "$run cases, $failed differences\n" unless $option{bugs};
exit($failed ? 1 : 0);
