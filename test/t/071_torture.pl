# Faults in the middle of writers and readers that keep journals: what was acknowledged, and what was seen as closed, is
# there after each fault, once and unchanged.  test/torture runs this for longer.
#
# STREAMFUSE_SEED repeats a run; STREAMFUSE_FAULTS and STREAMFUSE_MINUTES make it longer: it ends when both are reached.
# STREAMFUSE_BUG names a seeded bug to be found.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Torture;

my $seed = $ENV{STREAMFUSE_SEED} // 1;
my $faults = $ENV{STREAMFUSE_FAULTS} // 25;
my $end = time + 60 * ($ENV{STREAMFUSE_MINUTES} // 0);

my $torture = Streamfuse::Torture->new(seed => $seed, bug => $ENV{STREAMFUSE_BUG});
my $round = 0;

eval {
	$torture->round while $round++ < $faults || time < $end;
	1;
} or fail("the run came to its end in $torture->{doing}: $@");
$torture->abandon;

my $tally = $torture->tally;
note($tally);
is($torture->{found}{$_}, 0, $_) for qw(lost doubled altered);
cmp_ok($torture->{total}{windows}, '>', $faults, 'windows were closed');
cmp_ok($torture->{total}{dirty} * 2, '<', $torture->{total}{windows}, 'few of them were left out of the comparison');
is_deeply([ $torture->uncovered ], [], 'a fault has fallen at each point') if $round > 150;
done_testing();
