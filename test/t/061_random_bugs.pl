# The random test finds each bug that is seeded on purpose (test/README.md lists them): with a bug switched on, some case
# fails.  Seeds that have found a bug before are tried first, then others.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Streamfuse::Random;
use Streamfuse::Shrink qw(kind);

# What `test/random --bugs` has said.  Only the time this test takes depends on it.
my %found_by = (
	'aborted-subtransaction-counted' => 1,
	'attached-partition-forgotten' => 34,
	'changed-delay-forgotten' => 8,
	'changed-group-not-saved' => 91,
	'closed-before-visible' => 1,
	'closed-but-still-live' => 1,
	'closed-until-not-saved' => 29,
	'closed-window-not-tagged' => 1,
	'counted-bit-forgotten' => 1,
	'evicted-window-forgotten' => 40,
	'filter-misses-last-row' => 67,
	'first-window-left-out' => 67,
	'group-lost-in-growth' => 3,
	'key-found-in-one-window' => 35,
	'late-row-not-listed' => 1,
	'max-begins-at-zero' => 7,
	'merged-source-skips-rows' => 37,
	'null-key-is-zero' => 1,
	'numeric-key-by-bytes' => 9,
	'pending-lost' => 1,
	'position-saved-without-state' => 9,
	'pre-image-not-saved' => 9,
	'sealed-page-counted-again' => 1,
	'sealed-page-skipped' => 1,
	'state-saved-without-position' => 11,
	'sum-counts-nulls' => 9,
	'torn-publish' => 18,
	'undo-misses-a-group' => 29,
	'waiting-row-forgotten' => 1,
	'watermark-ahead-of-catch-up' => 12,
	'watermark-moved-within-tick' => 10,
	'window-bound-exclusive' => 43,
	'window-end-inclusive' => 1,
);

my $random = Streamfuse::Random->start('bugs');
my @bugs = $random->bugs;

cmp_ok(scalar @bugs, '>=', 20, 'there are bugs to find');
for my $bug (@bugs)
{
	my $result = $random->find_bug($bug, $found_by{$bug} || 1, 200);
	ok($result->{seed}, "$bug is found");
	note("case $result->{cases}, seed $result->{seed}: ", kind($result->{found})) if $result->{seed};
}

$random->stop;
done_testing();
