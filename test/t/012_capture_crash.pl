# A capture goes on after a crash, and on a promoted standby, from the position that was committed with its totals:
# each committed row counts once.
use strict;
use warnings;

use IPC::Run qw(start finish);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Streamfuse::Capture;
use Streamfuse::Server qw(start_standby);

my $node = capture_node('crash', 'checkpoint_timeout = 30s');
capture_setup($node);
my $standby = start_standby($node);

my $script = $node->basedir . '/write.sql';
append_to_file($script, q{
\set n random(1, 80)
BEGIN;
INSERT INTO readings SELECT g, repeat('x', 100) FROM generate_series(1, :n) g;
SAVEPOINT a;
INSERT INTO readings VALUES (:n);
ROLLBACK TO a;
INSERT INTO readings VALUES (:n);
COMMIT;
INSERT INTO readings VALUES (:n);
});

# Writes until the server goes away.
sub start_writers
{
	my ($server) = @_;
	my ($out, $err) = ('', '');

	return start(['pgbench', '--no-vacuum', '--client=6', '--transactions=1000000', '--file', $script,
		'--host', $server->host, '--port', $server->port, 'postgres'], '>', \$out, '2>', \$err);
}

sub wait_for_rows
{
	my ($server, $rows) = @_;

	$server->poll_query_until('postgres', "SELECT rows >= $rows FROM progress") or die 'the capture does not get on';
}

sub check_totals
{
	my ($server, $name) = @_;
	my $session = start_capture($server);

	stop_capture($server, $session);
	is($server->safe_psql('postgres', 'SELECT rows, sum FROM progress'),
		$server->safe_psql('postgres', 'SELECT count(*), sum(id) FROM readings'), $name);
}

# Transactions that are prepared before the crash and committed after it, on pages that are sealed by then.
$node->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO readings SELECT g, repeat('x', 200) FROM generate_series(1, 500) g;
	PREPARE TRANSACTION 'kept';
	BEGIN;
	INSERT INTO readings SELECT g, repeat('x', 200) FROM generate_series(1, 500) g;
	PREPARE TRANSACTION 'dropped';});

my $rows = 0;
for my $round (1 .. 2)
{
	my $session = start_capture($node);
	my $writers = start_writers($node);

	wait_for_rows($node, $rows + 20000);
	$node->stop('immediate');
	finish($writers);
	eval { $session->quit };
	$node->start;
	check_totals($node, "after crash $round");
	$rows = $node->safe_psql('postgres', 'SELECT rows FROM progress');
}

$node->safe_psql('postgres', q{COMMIT PREPARED 'kept'});
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'dropped'});
check_totals($node, 'with what was prepared before the crashes');

# The standby is promoted under load.
my $session = start_capture($node);
my $writers = start_writers($node);
wait_for_rows($node, $rows + 20000);
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$node->stop('immediate');
finish($writers);
eval { $session->quit };
$standby->promote;
check_totals($standby, 'on a promoted standby');
$standby->safe_psql('postgres', 'INSERT INTO readings SELECT generate_series(1, 1000)');
check_totals($standby, 'with rows that came after promotion');
$standby->stop;

# With wal_level = minimal the pages of a table's first transaction carry no LSN.
$node->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0\narchive_mode = off");
$node->start;
is($node->safe_psql('postgres', q{
		BEGIN;
		CREATE TABLE quiet (id int) USING stream;
		INSERT INTO quiet VALUES (1), (2);
		COMMIT;
		SELECT rows, sum FROM tick('quiet');
		INSERT INTO quiet VALUES (3);
		SELECT rows, sum FROM tick('quiet');}),
	"2|3\n3|6", 'rows of pages without an LSN');
$node->stop;

done_testing();
