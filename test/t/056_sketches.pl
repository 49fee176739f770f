# Sketches of other extensions, as Debian packages them, are aggregates of a continuous view like any other: hll counts
# distinct values, tdigest estimates percentiles.  Their states are kept in serialised form, combined with each batch of
# rows, and outlive the worker and the server.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Utils;
use Streamfuse::Server;
use Test::More;

my $node = start_server('sketches');
$node->safe_psql('postgres', q{
	CREATE EXTENSION hll;
	CREATE EXTENSION tdigest;
	CREATE TABLE visits (page int, visitor int, ms float8, at timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('visits', 'at', delay => '5 minutes');

	CREATE MATERIALIZED VIEW visitors WITH (streamfuse.continuous) AS
	SELECT window_start, page, hll_cardinality(hll_add_agg(hll_hash_integer(visitor))) AS visitors,
	  hll_add_agg(hll_hash_integer(visitor)) AS sketch, hll_add_agg(hll_hash_integer(visitor), 12) FILTER (WHERE ms > 500) AS slow
	FROM visits, tumble(at, '1 hour') GROUP BY window_start, window_end, page;
	CREATE VIEW visitors_as_text AS SELECT window_start, page, visitors, sketch::text, slow::text FROM visitors;

	CREATE MATERIALIZED VIEW visitors_of_panes WITH (streamfuse.continuous) AS
	SELECT window_start, hll_cardinality(hll_add_agg(hll_hash_integer(visitor))) AS visitors, tdigest_count(tdigest(ms, 100)) AS times
	FROM visits, hop(at, '1 hour', '10 minutes') GROUP BY window_start, window_end;

	CREATE MATERIALIZED VIEW times WITH (streamfuse.continuous) AS
	SELECT window_start, page, count(*) AS n, tdigest(ms, 100) AS digest, tdigest_percentile(ms, 100, 0.95) AS p95,
	  tdigest_percentile(ms, 100, ARRAY[0.25, 0.5, 0.75]) AS quartiles, tdigest_percentile_of(ms, 100, 400) AS share
	FROM visits, tumble(at, '1 hour') GROUP BY window_start, window_end, page});

# Twelve minutes of visits, to one of which few come, in two transactions.
sub visit
{
	my ($part) = @_;

	$node->safe_psql('postgres', qq{
		INSERT INTO visits
		SELECT CASE WHEN g % 1000 = 0 THEN 2 ELSE g % 2 END, g * 7919 % (1000 + 500 * $part),
		  CASE WHEN g % 50 > 0 THEN (g * 104729 % 1000000) / 1000.0 END, timestamptz '2026-01-01' + g * interval '120 ms'
		FROM generate_series($part * 6000 + 1::bigint, $part * 6000 + 3000) g;
		INSERT INTO visits
		SELECT g % 2, g % (2000 + 500 * $part), (g * 15485863 % 1000000) / 1000.0, timestamptz '2026-01-01' + g * interval '120 ms'
		FROM generate_series($part * 6000 + 3001::bigint, $part * 6000 + 6000) g});
	return;
}

# hll's answers do not depend on the order of rows, so they are the batch's.  tdigest's do: they are held to ranks of the
# rows themselves, of which a compression of 100 misses no more than one in a hundred here.
sub check
{
	my ($when) = @_;

	$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
	is($node->safe_psql('postgres', q{SELECT view, status FROM streamfuse.stat_views ORDER BY view::text}), "times|running\nvisitors|running\nvisitors_of_panes|running", "$when: the views run");
	my $query = $node->safe_psql('postgres', q{SELECT rtrim(pg_get_viewdef('visitors'::regclass), ';')});
	isnt($node->safe_psql('postgres', 'SELECT count(*) FROM visitors'), '0', "$when: there are groups");
	same_rows($node, 'visitors_as_text', "SELECT window_start, page, visitors, sketch::text, slow::text FROM ($query) q",
		"$when: hll in the view is hll in the batch");
	$query = $node->safe_psql('postgres', q{SELECT rtrim(pg_get_viewdef('visitors_of_panes'::regclass), ';')});
	same_rows($node, 'visitors_of_panes', $query, "$when: and in windows that overlap");
	is($node->safe_psql('postgres', q{SELECT * FROM streamfuse.verify('visitors')}), '', "$when: and verify() finds no difference");
	is($node->safe_psql('postgres', q{
		SELECT count(*) FROM times t JOIN LATERAL (
		  SELECT count(*) AS n, count(ms) AS n_ms, array_agg(ms ORDER BY ms) AS ms,
		    avg((ms <= p95)::int) AS p95, avg((ms <= quartiles[1])::int) AS q1, avg((ms <= quartiles[2])::int) AS q2,
		    avg((ms <= quartiles[3])::int) AS q3, avg((ms <= 400)::int) AS share
		  FROM visits v WHERE date_trunc('hour', at) = window_start AND v.page = t.page) r ON true
		WHERE r.n <> t.n OR tdigest_count(digest) <> r.n_ms OR r.n_ms > 1000 AND
		  greatest(abs(r.p95 - 0.95), abs(q1 - 0.25), abs(q2 - 0.5), abs(q3 - 0.75), abs(r.share - t.share)) > 0.01}),
		'0', "$when: tdigest counts all rows and estimates their ranks");
	return;
}

visit(0);
check('first rows');
is($node->safe_psql('postgres', q{
	SELECT hll_cardinality(hll_union_agg(sketch)) BETWEEN 1900 AND 2100 FROM visitors}), 't', 'what the view has sketched can be united');

visit(1);
terminate_worker($node);
visit(2);
check('another worker');

$node->safe_psql('postgres', 'SELECT streamfuse.checkpoint()');
visit(3);
$node->stop('immediate');
$node->start;
visit($_) for 4 .. 6;
check('after a crash, with windows closed');
is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM visitors_closed'), 't', 'some windows are closed');

$node->stop;
done_testing();
