# A view that fails stops with position and state of one and the same tick, in memory and in the tables, and nobody else
# is disturbed: not by an expression that raises, not by a trigger on the output table, not by rights taken away.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Server;

my $node = start_server('failure',
	"streamfuse.commit_interval = '10ms'",
	"streamfuse.checkpoint_interval = '1s'");
$node->safe_psql('postgres', q{
	CREATE TABLE orders (id int, amount int, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
	CREATE MATERIALIZED VIEW good WITH (streamfuse.continuous) AS
	SELECT window_start, count(*) AS orders FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
});

my $minute = 0;

sub insert_row
{
	my $amount = shift;
	$node->safe_psql('postgres',
		"INSERT INTO orders VALUES ($minute, $amount, '2026-01-01'::timestamptz + $minute * interval '1 min')");
	$minute++;
	return;
}

sub create_view
{
	my ($name, $value) = @_;
	$node->safe_psql('postgres', qq{
		CREATE MATERIALIZED VIEW $name WITH (streamfuse.continuous) AS
		SELECT window_start, sum($value) AS s FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end});
	$node->safe_psql('postgres', "SELECT streamfuse.flush('$name')");
	return;
}

# What the tables hold of a view: its position, and a digest of its state.
sub durable
{
	my $view = shift;
	return $node->safe_psql('postgres', qq{
		SELECT md5(position::text), rows_in, closed_until,
			   (SELECT md5(coalesce(string_agg(payload::text, ',' ORDER BY window_start, seq), '')) FROM streamfuse.state s
				WHERE s.fragment = f.id), (SELECT count(*) FROM ${view}_closed)
		FROM streamfuse.fragment f JOIN streamfuse.progress p ON p.fragment = f.id WHERE view = '$view'::regclass});
}

sub wait_until_failed
{
	my $view = shift;
	$node->poll_query_until('postgres', qq{
		SELECT failed FROM streamfuse.fragment f JOIN streamfuse.progress p ON p.fragment = f.id
		WHERE view = '$view'::regclass}) or die "$view has not failed";
	return;
}

# All is committed: every window so far is closed, or the checkpoint has come.
sub wait_until_durable
{
	my $view = shift;
	$node->poll_query_until('postgres', qq{
		SELECT rows_in = (SELECT count(*) FROM orders) FROM streamfuse.fragment f JOIN streamfuse.progress p ON p.fragment = f.id
		WHERE view = '$view'::regclass}) or die "$view is not durable";
	return;
}

sub check_good
{
	my $name = shift;
	$node->safe_psql('postgres', q{SELECT streamfuse.flush('good')});
	is($node->safe_psql('postgres', 'SELECT * FROM good ORDER BY 1'),
		$node->safe_psql('postgres', q{SELECT window_start, count(*) FROM orders, tumble(event_time, '5 minutes')
			GROUP BY window_start, window_end ORDER BY 1}), "$name: the other view goes on");
	return;
}

# An expression raises, in a view that shares its scan with the other one.
insert_row($_) for 1 .. 7;
create_view('divided', '10 / amount');
wait_until_durable('divided');
my $before = durable('divided');
insert_row(0);
wait_until_failed('divided');
is(durable('divided'), $before, 'expression: position and state are those of the last commit');
check_good('expression');
insert_row(1);
check_good('expression, later');
is(durable('divided'), $before, 'expression: and stay so');
$node->restart;
check_good('expression, after a restart');
is(durable('divided'), $before, 'expression: also over a restart');
like($node->safe_psql('postgres', q{SELECT error FROM streamfuse.progress WHERE failed}), qr/division by zero/, 'the error is kept');
$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW divided');

# The same, for the only view of a stream.
$node->safe_psql('postgres', q{
	CREATE TABLE lonely (amount int, event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('lonely', 'event_time', delay => '0 seconds');
	CREATE MATERIALIZED VIEW alone WITH (streamfuse.continuous) AS
	SELECT window_start, sum(1 / amount) AS s FROM lonely, tumble(event_time, '5 minutes') GROUP BY window_start, window_end;
	SELECT streamfuse.flush();
	INSERT INTO lonely VALUES (1, '2026-01-01 00:00+00'), (1, '2026-01-01 00:06+00')});
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM alone_closed});
$before = durable('alone');
$node->safe_psql('postgres', q{INSERT INTO lonely VALUES (0, '2026-01-01 00:12+00')});
wait_until_failed('alone');
is(durable('alone'), $before, 'only view: position and state are those of the last commit');
$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW alone');

# A constraint refuses what a close writes: output, state and position stay behind together.
create_view('refused', 'amount');
wait_until_durable('refused');
$node->safe_psql('postgres', q{ALTER TABLE refused_closed ADD CONSTRAINT small CHECK (s < 1000)});
$before = durable('refused');
insert_row(5000);
insert_row(1) for 1 .. 6;
wait_until_failed('refused');
is(durable('refused'), $before, 'constraint: output, state and position are those of the last commit');
check_good('constraint');
$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW refused');

# A deferred constraint trigger raises within the share of its own view.
create_view('deferred', 'amount');
$node->safe_psql('postgres', q{
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$});
my ($created) = $node->psql('postgres', q{
	CREATE CONSTRAINT TRIGGER later AFTER INSERT ON deferred_closed DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION refuse()});
if ($created == 0)
{
	insert_row(1) for 1 .. 6;
	wait_until_failed('deferred');
}
check_good('deferred trigger');
$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW deferred');

# Rights that are taken away stop the view, when it runs and when its worker starts.
$node->safe_psql('postgres', q{
	CREATE ROLE clerk;
	GRANT SELECT ON orders TO clerk;
	GRANT CREATE ON SCHEMA public TO clerk});
create_view('owned', 'amount');
$node->safe_psql('postgres', 'ALTER MATERIALIZED VIEW owned OWNER TO clerk');
insert_row(1);
wait_until_durable('owned');
$before = durable('owned');
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'streamfuse worker';
	REVOKE SELECT ON orders FROM clerk;
	COMMIT});
check_good('rights');
wait_until_failed('owned');
is(durable('owned'), $before, 'rights: position and state are those of the last commit');
insert_row(1);
check_good('rights, later');
unlike(slurp_file($node->logfile), qr/TRAP|terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
