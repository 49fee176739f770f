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
	'aborted-subtransaction-counted' => 2,
	'attached-partition-forgotten' => 57,
	'changed-delay-forgotten' => 28,
	'changed-group-not-saved' => 158,
	'closed-before-visible' => 1,
	'closed-but-still-live' => 5,
	'closed-session-extended' => 31,
	'closed-until-not-saved' => 31,
	'closed-window-not-tagged' => 1,
	'counted-bit-forgotten' => 1,
	'evicted-window-forgotten' => 44,
	'filter-misses-last-row' => 144,
	'first-window-left-out' => 106,
	'group-lost-in-growth' => 3,
	'key-found-in-one-window' => 41,
	'late-row-not-listed' => 1,
	'max-begins-at-zero' => 7,
	'merged-source-skips-rows' => 201,
	'null-key-is-zero' => 56,
	'numeric-key-by-bytes' => 20,
	'open-session-forgotten' => 32,
	'pending-lost' => 4,
	'position-saved-without-state' => 17,
	'pre-image-not-saved' => 19,
	'sealed-page-counted-again' => 1,
	'sealed-page-skipped' => 1,
	'set-forgets-older-values' => 12,
	'set-keeps-other-keys' => 1,
	'state-saved-without-position' => 17,
	'sum-counts-nulls' => 15,
	'torn-publish' => 18,
	'undo-misses-a-group' => 118,
	'waiting-row-forgotten' => 3,
	'watermark-ahead-of-catch-up' => 43,
	'watermark-moved-within-tick' => 11,
	'window-bound-exclusive' => 75,
	'window-end-inclusive' => 5,
);

my $random = Streamfuse::Random->start('bugs');
my @bugs = $random->bugs;

cmp_ok(scalar @bugs, '>=', 20, 'there are bugs to find');
for my $bug (@bugs)
{
	my $result = $random->find_bug($bug, $found_by{$bug} || 1, 300);
	ok($result->{seed}, "$bug is found");
	note("case $result->{cases}, seed $result->{seed}: ", kind($result->{found})) if $result->{seed};
}

$random->stop;
done_testing();
