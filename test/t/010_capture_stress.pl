# Whatever happens beside a capture, it counts each committed row once: single rows, many rows, savepoints, rollbacks,
# COPY, prepared transactions, long ones, and VACUUM all the while.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Streamfuse::Capture;

my $node = capture_node('stress');
capture_setup($node);

my $file = $node->basedir . '/rows';
$node->safe_psql('postgres', "COPY (SELECT g, repeat('x', g % 90) FROM generate_series(1, 3000) g) TO '$file'");

my $session = start_capture($node);
$node->pgbench(
	'--no-vacuum --client=14 --transactions=120', 0, [qr/processed: 1680\/1680/], [qr/^$/],
	'mixed writers',
	{
		'single@40' => q{
			\set id random(1, 100000)
			INSERT INTO readings VALUES (:id, repeat('x', :id % 100));},
		'many@12' => q{
			\set n random(10, 600)
			INSERT INTO readings SELECT g, repeat('y', g % 100) FROM generate_series(1, :n) g;},
		'savepoints@12' => q{
			\set id random(1, 100000)
			BEGIN;
			INSERT INTO readings VALUES (:id);
			SAVEPOINT a;
			INSERT INTO readings SELECT g FROM generate_series(1, 40) g;
			ROLLBACK TO a;
			INSERT INTO readings VALUES (:id);
			SAVEPOINT b;
			INSERT INTO readings VALUES (:id);
			RELEASE b;
			COMMIT;},
		'rollback@10' => q{
			\set n random(1, 300)
			BEGIN;
			INSERT INTO readings SELECT g, repeat('z', g % 50) FROM generate_series(1, :n) g;
			ROLLBACK;},
		'copy@4' => "COPY readings FROM '$file';",
		'prepared@8' => q{
			\set id random(1, 100000)
			BEGIN;
			INSERT INTO readings SELECT :id FROM generate_series(1, 30);
			PREPARE TRANSACTION 'p_:client_id';
			SELECT count(*) FROM progress;
			COMMIT PREPARED 'p_:client_id';},
		'prepared_rollback@4' => q{
			BEGIN;
			INSERT INTO readings SELECT g FROM generate_series(1, 30) g;
			PREPARE TRANSACTION 'r_:client_id';
			ROLLBACK PREPARED 'r_:client_id';},
		'long@3' => q{
			BEGIN;
			INSERT INTO readings VALUES (1);
			SELECT count(*) FROM generate_series(1, 300000);
			INSERT INTO readings SELECT g FROM generate_series(1, 200) g;
			SELECT count(*) FROM generate_series(1, 300000);
			COMMIT;},
		'vacuum@7' => 'VACUUM readings;',
	});
stop_capture($node, $session);

is($node->safe_psql('postgres', 'SELECT rows, sum FROM progress'),
	$node->safe_psql('postgres', 'SELECT count(*), sum(id) FROM readings'),
	'rows and sum of the capture are those of the table');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM readings'), '>', 10000, 'there was something to count');
is($node->safe_psql('postgres', q{
		SELECT load('readings', position, rows, sum) FROM progress;
		SELECT counted('readings') = count(*) FROM readings;}),
	"\nt", 'the position knows each of them');

# One transaction that stays open for long does not keep pages open.
my $long = $node->background_psql('postgres', on_error_die => 1);
$long->query_safe("BEGIN; INSERT INTO readings VALUES (7);");
$node->pgbench('--no-vacuum --client=6 --transactions=800', 0, [qr/processed: 4800\/4800/], [qr/^$/], 'short writers',
	{ 'short' => q{INSERT INTO readings VALUES (1, repeat('x', 900));} });
my $tick = q{
	SELECT load('readings', position, rows, sum) FROM progress;
	SELECT rows IS NULL FROM tick('readings');
	SELECT rows = (SELECT count(*) FROM readings), open <= 64 + 1 + 2 * 60, pending FROM tick('readings')};
is($node->safe_psql('postgres', $tick), "\nf\nt|t|1", 'pages are sealed beside a long transaction');
$long->query_safe('COMMIT');
is($node->safe_psql('postgres', $tick), "\nf\nt|t|0", 'and its rows are counted when it commits');
$long->quit;

# Rows of sessions that have just begun, one each: they go to the last page, which must not be sealed.
for my $i (1 .. 5)
{
	$node->safe_psql('postgres', "INSERT INTO readings VALUES ($i)");
}
is($node->safe_psql('postgres', $tick), "\nf\nt|t|0", 'single rows of new sessions are counted');

$node->stop;
done_testing();
