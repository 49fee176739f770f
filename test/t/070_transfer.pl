# Credits and debits, two views over two streams, read in one statement, have no difference: 10,000 times, with a commit
# between any two reads and with windows that close in the middle of more than a thousand of them, between planning and
# execution among others; and after two blows, which fall while transfers are being made.
#
# STREAMFUSE_BUG names a seeded bug to be found, up to the first blow.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use Streamfuse::Client;
use Streamfuse::Server;

my $reads = 10_000;
my $seed = $ENV{STREAMFUSE_SEED} // 7;

my $node = start_server('transfer',
	'restart_after_crash = on',
	'fsync = off',
	'log_statement = none',
	"streamfuse.commit_interval = '20ms'",
	"streamfuse.checkpoint_interval = '500ms'");
need_fault_points($node);
fault($node, $ENV{STREAMFUSE_BUG}, 'bug') if $ENV{STREAMFUSE_BUG};
$node->safe_psql('postgres', q{
	CREATE TABLE credit (account int, amount numeric(12,2), event_time timestamptz NOT NULL) USING stream;
	CREATE TABLE debit (account int, amount numeric(12,2), event_time timestamptz NOT NULL) USING stream;
	SELECT streamfuse.set_watermark('credit', 'event_time', delay => '5 minutes');
	SELECT streamfuse.set_watermark('debit', 'event_time', delay => '5 minutes');
	CREATE MATERIALIZED VIEW credits WITH (streamfuse.continuous) AS
	SELECT window_start, account, sum(amount) AS amount
	FROM credit, tumble(event_time, '1 minute') GROUP BY window_start, window_end, account;
	CREATE MATERIALIZED VIEW debits WITH (streamfuse.continuous) AS
	SELECT window_start, account, sum(amount) AS amount
	FROM debit, tumble(event_time, '20 seconds') GROUP BY window_start, window_end, account;
	CREATE INDEX ON credits_closed (account);
	CREATE INDEX ON debits_closed (account);
	SELECT streamfuse.flush();
});

my $worker = $node->safe_psql('postgres', 'SELECT pid FROM streamfuse.stat_workers');
my ($in, $out, $err) = ('', '', '');
my $client = IPC::Run::start([ build_client('transfer'), $node->connstr('postgres'), $reads, 2, $seed ],
	'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout(540));

# Waits until the client has done a part of its reads.
sub wait_for_pauses
{
	my $n = shift;

	while ((my @pauses = $out =~ /^pause$/mg) < $n)
	{
		$client->pumpable or die 'the client has ended early';
		$client->pump;
	}
	return;
}

my $status = eval {
	wait_for_pauses(1);
	kill 'KILL', $worker;
	$in .= "the worker is killed, and the server with it\n";

	wait_for_pauses(2);
	$node->stop('immediate');
	$node->start;
	$in .= "the server was stopped at once and started\n";
	$client->finish;
	$client->full_result(0);
};
is($status, 0, 'the client has come to its end') or diag($@, $err);
note($out);

if (!defined $status || $status != 0)
{
	$node->stop('immediate');
	done_testing();
	exit;
}
my %found = $out =~ /^(\w[\w-]*) (\d+)$/mg;
is($found{differences}, 0, 'no read found a difference');
cmp_ok($found{reads}, '>=', $reads, 'reads');
is($found{without_commit}, 0, 'a commit between any two reads');
cmp_ok($found{lookups}, '>', $reads / 3, 'a third are lookups of an account');
cmp_ok($found{generic}, '>', $reads / 5, 'with plans that were made before');
cmp_ok($found{repeatable}, '>', $reads / 100, 'in REPEATABLE READ');
cmp_ok($found{closings}, '>=', 1000, 'a window closed in the middle of a read');
cmp_ok($found{"closings_at_$_"}, '>', 300, "of them at $_") for qw(read-after-plan read-before-pin read-after-pin);
is($node->safe_psql('postgres', 'SELECT sum(rows_missed) FROM streamfuse.stat_views'), '0', 'no row came too late');
is($found{shrunk}, 0, 'totals never shrink');
cmp_ok($found{grown}, '>', $reads / 10, 'totals grow');
is($node->safe_psql('postgres', q{SELECT count(*) FROM streamfuse.stat_views WHERE status <> 'running'}), '0',
	'both views run');
$node->stop;
done_testing();
