# The places for captured streams are bounded by streamfuse.max_streams, and are given back when the last view of a
# stream, the stream, a partition or the whole database is dropped.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Streamfuse::Capture;

my $node = capture_node('slots', 'streamfuse.max_streams = 2');

sub create_and_read
{
	my ($name, $database) = @_;

	return $node->safe_psql($database // 'postgres', qq{
		SET client_min_messages = warning;
		CREATE TABLE $name (amount int, event_time timestamptz NOT NULL) USING stream;
		CREATE MATERIALIZED VIEW ${name}_sum WITH (streamfuse.continuous) AS
		SELECT window_start, window_end, sum(amount) AS total
		FROM $name, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
		INSERT INTO $name VALUES (1, '2026-01-01 00:00+00'), (2, '2026-01-01 00:00+00');
		SELECT streamfuse.flush('${name}_sum') IS NULL;
		SELECT total FROM ${name}_sum;});
}

is(create_and_read('stays'), "f\n3", 'a stream that stays');
for my $i (1 .. 4)
{
	is(create_and_read("goes_$i"), "f\n3", "stream $i that goes");
	$node->safe_psql('postgres', $i % 2 ? "DROP MATERIALIZED VIEW goes_${i}_sum" : "DROP TABLE goes_$i CASCADE");
}

for my $i (1 .. 2)
{
	$node->safe_psql('postgres', "CREATE DATABASE other_$i");
	$node->safe_psql("other_$i", 'CREATE EXTENSION streamfuse');
	is(create_and_read('goes', "other_$i"), "f\n3", "a stream of database $i");
	$node->safe_psql('postgres', "DROP DATABASE other_$i");
}

$node->safe_psql('postgres', q{
	SET client_min_messages = warning;
	CREATE TABLE parted (amount int, event_time timestamptz NOT NULL) PARTITION BY LIST (amount);
	CREATE TABLE parted_0 PARTITION OF parted FOR VALUES IN (0) USING stream;
	CREATE MATERIALIZED VIEW parted_sum WITH (streamfuse.continuous) AS
	SELECT window_start, window_end, count(*) AS n
	FROM parted, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;});
for my $i (1 .. 3)
{
	is($node->safe_psql('postgres', qq{
			DROP TABLE parted_@{[$i - 1]};
			CREATE TABLE parted_$i PARTITION OF parted FOR VALUES IN ($i) USING stream;
			INSERT INTO parted VALUES ($i, '2026-01-01 00:00+00');
			SELECT streamfuse.flush('parted_sum') IS NULL;
			SELECT n FROM parted_sum;}),
		"f\n$i", "partition $i");
}
is($node->safe_psql('postgres', 'SELECT total FROM stays_sum'), '3', 'the stream that stays has stayed');

$node->stop;
done_testing();
