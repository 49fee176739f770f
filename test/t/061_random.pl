# Batch = stream, for views nobody thought of: random definitions over random histories, with everything that happens to
# a server in between.  What a case holds views to is told in test/perl/Streamfuse/Law.pm.
#
# STREAMFUSE_SEED and STREAMFUSE_CASES ask for other cases than the first 300; test/random does the same by hand.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use JSON::PP;

use Streamfuse::Random;

my $seed = $ENV{STREAMFUSE_SEED} || 1;
my $cases = $ENV{STREAMFUSE_CASES} || 300;
my $random = Streamfuse::Random->start('random');

note("seeds $seed to ", $seed + $cases - 1);

# Cases that have failed once.
for my $file (glob "$ENV{TESTDIR}/cases/*.json")
{
	open my $in, '<', $file or die "$file: $!";
	my $case = decode_json(join '', <$in>);
	my $report = $random->run_case($case, 0);
	ok(!$report, "no more: $case->{about}");
	diag(Streamfuse::Random::describe($report)) if $report;
}

for my $case ($seed .. $seed + $cases - 1)
{
	my $report = $random->run_seed($case, 20);
	ok(!$report, "seed $case");
	diag(Streamfuse::Random::describe($report)) if $report;
}

# The comparisons have had something to compare.
my %sum = $random->totals;
cmp_ok($sum{rows}, '>', $cases * 50, 'rows were counted');
cmp_ok($sum{groups}, '>', $cases * 10, 'groups were compared');
cmp_ok($sum{closed}, '>', $cases * 2, 'windows were closed');
cmp_ok($sum{dirty}, '>', $cases / 10, 'windows were dirty');
cmp_ok($sum{comparisons}, '>', $cases * 3, 'comparisons were made');

$random->stop;
done_testing();
