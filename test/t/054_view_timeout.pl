# streamfuse.view_timeout: code of one view that does not come to an end is canceled, and that view fails alone; an
# operator's pg_cancel_backend is nobody's failure.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('view_timeout');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'streamfuse'
streamfuse.commit_interval = '10ms'
streamfuse.view_timeout = '200ms'
streamfuse.restart_attempts = 0
timezone = 'UTC'
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION streamfuse;
	CREATE TABLE events (id int, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('events', 'event_time');
	CREATE FUNCTION looping(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN IF id = 3 THEN LOOP END LOOP; END IF; RETURN id; END $$;
	CREATE FUNCTION sleeping(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN IF id = 3 THEN PERFORM pg_sleep(3600); END IF; RETURN id; END $$;
	CREATE FUNCTION slow(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN IF id > 100 THEN PERFORM pg_sleep(0.01); END IF; RETURN id; END $$;
	CREATE FUNCTION slow_sum(total int, id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN IF id = 3 THEN PERFORM pg_sleep(3600); END IF; RETURN total + id; END $$;
	CREATE AGGREGATE slow_sum(int) (SFUNC = slow_sum, STYPE = int, INITCOND = '0')});

sub create_view
{
	my ($name, $value, $options) = @_;
	$node->safe_psql('postgres', qq{
		CREATE MATERIALIZED VIEW $name WITH (streamfuse.continuous $options) AS
		SELECT window_start, $value AS s, count(*) AS events FROM events, tumble(event_time, '5 minutes') GROUP BY window_start, window_end});
	return;
}

create_view('counts', 'count(*)', '');
create_view('loops', 'sum(looping(id))', '');
create_view('sleeps', 'sum(sleeping(id))', ', streamfuse.on_error = skip');
create_view('adds', 'slow_sum(id)', '');
create_view('lags', 'sum(slow(id))', '');
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');

# A function that loops, one that sleeps, also in a view that skips rows with errors, and an aggregate.
$node->safe_psql('postgres', q{INSERT INTO events SELECT i, '2026-01-01 00:01' FROM generate_series(1, 5) i});
$node->safe_psql('postgres', q{SELECT streamfuse.flush('counts')});
is($node->safe_psql('postgres', 'SELECT s FROM counts'), '5', 'the view without such code goes on');
$node->safe_psql('postgres', q{SELECT streamfuse.flush('lags')});
is($node->safe_psql('postgres', 'SELECT s FROM lags'), '15', 'and so does one that is not slow yet');
is($node->safe_psql('postgres', q{
	SELECT view, sqlstate, error FROM streamfuse.stat_views WHERE status = 'failed' ORDER BY view::text}),
	join("\n",
		'adds|57014|canceled after streamfuse.view_timeout (200 ms)',
		'loops|57014|canceled after streamfuse.view_timeout (200 ms), in row (0,3) of stream "events"',
		'sleeps|57014|canceled after streamfuse.view_timeout (200 ms), in row (0,3) of stream "events"'),
	'the others have failed, with what the setting is called, and the row where it is known');
is($node->safe_psql('postgres', 'SELECT count(*) FROM streamfuse.error_row'), '0', 'a row is not to blame');

# Not one row, but the batch is too slow.
$node->safe_psql('postgres', q{INSERT INTO events SELECT i, '2026-01-01 00:02' FROM generate_series(101, 1000) i});
$node->safe_psql('postgres', q{SELECT streamfuse.flush('counts')});
is($node->safe_psql('postgres', 'SELECT s FROM counts'), '905', 'a slow batch: the view without such code goes on');
like($node->safe_psql('postgres', q{SELECT error FROM streamfuse.stat_views WHERE view = 'lags'::regclass}),
	qr/canceled after streamfuse.view_timeout/, 'a slow batch fails its view');
$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW adds, loops, sleeps, lags');

# A trigger on the output table.
$node->safe_psql('postgres', q{
	CREATE MATERIALIZED VIEW closing WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) AS events FROM events, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
	SELECT streamfuse.flush();
	CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$;
	CREATE TRIGGER dawdle BEFORE INSERT ON closing_closed FOR EACH ROW EXECUTE FUNCTION dawdle();
	INSERT INTO events VALUES (2000, '2026-01-01 00:06')});
$node->safe_psql('postgres', q{SELECT streamfuse.flush('counts')});
is($node->safe_psql('postgres', 'SELECT sum(events) FROM counts_closed'), '905', 'a slow trigger: the other view closes');
$node->poll_query_until('postgres', q{SELECT status = 'failed' FROM streamfuse.stat_views WHERE view = 'closing'::regclass})
  or die 'the trigger went on';
like($node->safe_psql('postgres', q{SELECT error FROM streamfuse.stat_views WHERE view = 'closing'::regclass}),
	qr/canceled after streamfuse.view_timeout/, 'a slow trigger fails its view');
$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW closing');

# Off: what is canceled by hand is tried again.
$node->append_conf('postgresql.conf', 'streamfuse.view_timeout = 0');
$node->restart;
$node->safe_psql('postgres', q{
	CREATE FUNCTION waiting(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN PERFORM pg_advisory_lock_shared(1); PERFORM pg_advisory_unlock_shared(1); RETURN id; END $$});
create_view('waits', 'sum(waiting(id))', '');
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(1)');
$node->safe_psql('postgres', q{INSERT INTO events VALUES (2001, '2026-01-01 00:07')});
my $is_waiting = q{FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE l.locktype = 'advisory' AND NOT l.granted AND a.backend_type = 'streamfuse worker'};
$node->poll_query_until('postgres', "SELECT count(*) = 1 $is_waiting") or die 'nobody waits';
is($node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) $is_waiting"), 't', 'the worker is canceled');
$holder->query_safe('SELECT pg_advisory_unlock(1)');
$holder->quit;
$node->safe_psql('postgres', 'SELECT streamfuse.flush()');
is($node->safe_psql('postgres', q{SELECT sum(s) FROM waits}), $node->safe_psql('postgres', 'SELECT sum(id) FROM events'), 'and goes on');
is($node->safe_psql('postgres', q{SELECT string_agg(status, ',') FROM streamfuse.stat_views}), 'running,running', 'no view has failed');
unlike(slurp_file($node->logfile), qr/TRAP|terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
