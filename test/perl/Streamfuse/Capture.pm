# A capture of a stream that lives in a database session and is driven from SQL, for tests of what capture promises
# before and beside the worker.  The functions are in test builds of the library only.
package Streamfuse::Capture;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;

our @EXPORT = qw(capture_node capture_setup start_capture stop_capture);

# A running server with streamfuse preloaded and the extension in database postgres.
sub capture_node
{
	my ($name, @lines) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', join("\n",
		"shared_preload_libraries = 'streamfuse'",
		'fsync = off',
		'max_connections = 60',
		'max_prepared_transactions = 50',
		'autovacuum_naptime = 1s',
		@lines, ''));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION streamfuse');
	return $node;
}

# The stream `readings` and what reads it: tick() by hand, or CALL keep_ticking(), which goes on until finish() and
# keeps position and totals in `progress`, in one transaction, as a worker does.
sub capture_setup
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{
		CREATE FUNCTION tick(rel regclass, attnum int DEFAULT 1, max_pages int DEFAULT 1000000, reload bool DEFAULT false,
		  OUT rows bigint, OUT sum bigint, OUT frontier int, OUT open int, OUT pending int, OUT complete bool)
		  LANGUAGE c AS '$libdir/streamfuse', 'sf_test_capture';
		CREATE FUNCTION counted(rel regclass) RETURNS bigint
		  LANGUAGE c AS '$libdir/streamfuse', 'sf_test_capture_counted';
		CREATE FUNCTION save(rel regclass) RETURNS bytea LANGUAGE c AS '$libdir/streamfuse', 'sf_test_capture_save';
		CREATE FUNCTION load(rel regclass, pos bytea, rows bigint, sum bigint) RETURNS void
		  LANGUAGE c AS '$libdir/streamfuse', 'sf_test_capture_load';

		CREATE TABLE readings (id int, filler text) USING stream;
		CREATE TABLE progress (position bytea, rows bigint, sum bigint);
		CREATE TABLE finished (finished bool);
		INSERT INTO progress VALUES (NULL, 0, 0);
		INSERT INTO finished VALUES (false);

		CREATE PROCEDURE keep_ticking() LANGUAGE plpgsql AS $$
		DECLARE
		  t record;
		  ticks int := 0;
		BEGIN
		  PERFORM load('readings', p.position, p.rows, p.sum) FROM progress p WHERE p.position IS NOT NULL;
		  LOOP
		    ticks := ticks + 1;
		    t := tick('readings', max_pages => CASE WHEN ticks % 7 = 0 THEN 3 ELSE 1000000 END, reload => ticks % 5 = 0);
		    IF ticks % 20 = 0 OR (SELECT finished FROM finished) THEN
		      UPDATE progress SET position = save('readings'), rows = t.rows, sum = t.sum;
		    END IF;
		    EXIT WHEN t.complete AND (SELECT finished FROM finished);
		    COMMIT;
		    PERFORM pg_sleep(0.001); -- as a worker rests between ticks
		  END LOOP;
		END $$;
	});
}

# Starts a session that keeps ticking.
sub start_capture
{
	my ($node) = @_;
	my $session = $node->background_psql('postgres', on_error_die => 1);

	$session->query_until(qr/ticking/, "\\echo ticking\nCALL keep_ticking();\n");
	return $session;
}

# Lets the session take in all that is committed and ends it.
sub stop_capture
{
	my ($node, $session) = @_;

	$node->safe_psql('postgres', 'UPDATE finished SET finished = true');
	$session->query('SELECT 1');
	$session->quit;
	$node->safe_psql('postgres', 'UPDATE finished SET finished = false');
}

1;
