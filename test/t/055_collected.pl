# Aggregates that keep their inputs, through what may happen to a server: a checkpoint writes what was added, recovery
# puts it together again in the order of the rows' places, a standby reads it, and one group has a bound.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server;

my $node = start_server('collected',
	'streamfuse.checkpoint_interval = 1h', 'streamfuse.commit_interval = 0', 'restart_after_crash = on',
	'wal_level = replica', 'max_wal_senders = 4', 'autovacuum = off');
need_fault_points($node);
$node->safe_psql('postgres', q{
	CREATE TABLE events (id int, kind text, value float8, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('events', 'event_time', delay => '1 hour');
	CREATE MATERIALIZED VIEW kept WITH (streamfuse.continuous) AS
	SELECT window_start, kind, array_agg(id) AS ids, string_agg(kind || id::text, ',' ORDER BY value, id) AS list,
		count(DISTINCT value) AS different, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS median, sum(value) AS total
	FROM events, tumble(event_time, '1 day') GROUP BY window_start, window_end, kind;
	CREATE MATERIALIZED VIEW sliding WITH (streamfuse.continuous) AS
	SELECT window_start, window_end, array_agg(id) AS ids, count(DISTINCT (kind, value)) AS pairs
	FROM events, hop(event_time, '2 hours', '1 hour') GROUP BY window_start, window_end;
	-- Sets in which nearly every row is new.
	CREATE MATERIALIZED VIEW sets WITH (streamfuse.continuous) AS
	SELECT kind, count(DISTINCT id) AS ids, count(DISTINCT 'id ' || id::text) FILTER (WHERE value > 100) AS texts, sum(DISTINCT id) AS total,
		count(DISTINCT nullif(id % 50, 7)) AS few
	FROM events GROUP BY GROUPING SETS ((kind), ());
	SELECT streamfuse.flush()});

my $next = 0;

# Rows of four kinds, some minutes apart; event times of one insert go over two hours.
sub insert_rows
{
	my $n = shift;

	$node->safe_psql('postgres', qq{
		INSERT INTO events SELECT g, 'k' || g % 4, g * 7 % 1000 / 2.0, '2026-01-01 10:00'::timestamptz + g % 120 * interval '1 minute'
		FROM generate_series($next + 1, $next + $n) g});
	$next += $n;
	return;
}

sub check
{
	my $name = shift;

	is($node->safe_psql('postgres', q{
		SELECT streamfuse.flush();
		SELECT v, count(*) FROM (VALUES ('kept'::regclass), ('sliding'), ('sets')) views (v), streamfuse.verify(v) GROUP BY v}) =~ s/^.*\n?//r, '', $name);
	is($node->safe_psql('postgres', q{SELECT sum(cardinality(ids)) FROM kept}), $next, "$name: each row once");
	return;
}

sub state_bytes { return $node->safe_psql('postgres', 'SELECT coalesce(sum(length(payload)), 0) FROM streamfuse.state'); }

sub checkpoint
{
	$node->safe_psql('postgres', 'SELECT streamfuse.flush(); SELECT streamfuse.checkpoint()');
	return;
}

# A checkpoint writes what was added since the last one.
insert_rows(10000);
checkpoint();
my $whole = state_bytes();
cmp_ok($whole, '>', 10000 * 40, 'the first checkpoint writes all');
insert_rows(40);
checkpoint();
cmp_ok(state_bytes() - $whole, '<', $whole / 50, 'the next one what was added');
check('running');

# After a crash the parts are put together, and rows since are counted again.
insert_rows(100);
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
$node->stop('immediate');
$node->start;
check('after a crash');
insert_rows(100);
checkpoint();
$node->stop('immediate');
$node->start;
check('after a crash behind a checkpoint');
$node->restart;
check('after a restart');

# When checkpoints have outgrown the state, the whole is written.
for my $round (1 .. 12)
{
	insert_rows(1500);
	checkpoint();
}
cmp_ok(state_bytes(), '<', 5 * $whole * $next / 10000, 'checkpoints do not pile up');
check('after many checkpoints');

# The worker and the server die around a checkpoint.
for my $point ('commit-after-state', 'commit-before', 'commit-after', 'tick-before-publish', 'tick-in-apply')
{
	for my $action ('exit', 'kill')
	{
		insert_rows(50);
		$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
		strike($node, $point, $action, sub {
			eval { insert_rows(50); };
			$next = $node->safe_psql('postgres', 'SELECT max(id) FROM events') if poll($node, 'SELECT true', 't');
			eval { $node->psql('postgres', 'SELECT streamfuse.checkpoint()'); }; });
		check("$action at $point");
	}
}

# A transaction that commits late has rows on pages that were counted before: their place says where they belong, also
# after a crash.
my $late = $node->background_psql('postgres', on_error_die => 1);
$late->query_safe(q{BEGIN; INSERT INTO events VALUES (-1, 'k1', 1, '2026-01-01 11:00')});
insert_rows(30);
checkpoint();
$late->query_safe('COMMIT');
$late->quit;
$next++;
check('a row that was counted late');
is($node->safe_psql('postgres', q{SELECT ids = (SELECT array_agg(id ORDER BY ctid) FROM events WHERE kind = 'k1') FROM kept WHERE kind = 'k1'}),
	't', 'it is where it is stored');
checkpoint();
$node->stop('immediate');
$node->start;
check('a row that was counted late, after a crash');
is($node->safe_psql('postgres', q{SELECT ids = (SELECT array_agg(id ORDER BY ctid) FROM events WHERE kind = 'k1') FROM kept WHERE kind = 'k1'}),
	't', 'it is where it is stored, after a crash');

# A standby reads what the last checkpoint has, put together from the same parts.
insert_rows(30);
checkpoint();
my $standby = start_standby($node);
insert_rows(30);
checkpoint();
$node->wait_for_catchup($standby);
for my $view ('kept', 'sliding', 'sets')
{
	is($standby->safe_psql('postgres', "SELECT md5(string_agg(v::text, ' ' ORDER BY v)) FROM $view v"),
		$node->safe_psql('postgres', "SELECT md5(string_agg(v::text, ' ' ORDER BY v)) FROM $view v"), "$view on a standby");
}
$standby->stop;

# One group has a bound, which concerns its view alone.
$node->append_conf('postgresql.conf', 'streamfuse.max_group_memory = 1MB');
$node->reload;
$node->safe_psql('postgres', q{
	CREATE TABLE notes (id int, note text, event_time timestamptz NOT NULL) USING stream;
	CREATE MATERIALIZED VIEW small WITH (streamfuse.continuous) AS
	SELECT window_start, count(DISTINCT note) AS notes FROM notes, tumble(event_time, '1 day') GROUP BY window_start, window_end;
	CREATE MATERIALIZED VIEW large WITH (streamfuse.continuous) AS
	SELECT window_start, array_agg(note ORDER BY id) AS notes FROM notes, tumble(event_time, '1 day') GROUP BY window_start, window_end;
	CREATE AGGREGATE joined(text) (SFUNC = textcat, STYPE = text);
	CREATE MATERIALIZED VIEW texts WITH (streamfuse.continuous) AS
	SELECT window_start, joined(note) AS note FROM notes, tumble(event_time, '1 day') WHERE id < 0 GROUP BY window_start, window_end;
	INSERT INTO notes SELECT -g, repeat('y', 300000), '2026-01-01' FROM generate_series(1, 5) g;
	INSERT INTO notes SELECT g, repeat('x', 200) || g % 10, '2026-01-01' FROM generate_series(1, 10000) g;
	SELECT streamfuse.flush('small')});
is($node->safe_psql('postgres', 'SELECT notes FROM small'), '11', 'what is distinct is small');
my ($status, $out, $err) = $node->psql('postgres', "SELECT streamfuse.flush('large')");
like($err, qr/group of a continuous view exceeds streamfuse\.max_group_memory/, 'a group that is too large stops its view');
($status, $out, $err) = $node->psql('postgres', "SELECT streamfuse.flush('texts')");
like($err, qr/group of a continuous view exceeds streamfuse\.max_group_memory/, 'so does a transition value that is too large');
is($node->safe_psql('postgres', "SELECT string_agg(view::text, ',' ORDER BY view::text) FROM streamfuse.stat_views WHERE status <> 'running'"),
	'large,texts', 'and no other');
$node->append_conf('postgresql.conf', 'streamfuse.max_group_memory = 64MB');
$node->reload;
$node->safe_psql('postgres', q{SELECT streamfuse.resume('large'); SELECT streamfuse.resume('texts'); SELECT streamfuse.flush()});
is($node->safe_psql('postgres', 'SELECT cardinality(notes), length(note) FROM large JOIN texts USING (window_start)'), '10005|1500000',
	'with more memory they go on');

$node->stop;
done_testing();
