# The random test is able to fail: one altered output row, one altered live state, one missing and one doubled group are
# each reported, by its comparison and by streamfuse.verify; and a case that fails is cut down to what matters.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Streamfuse::Case;
use Streamfuse::Random;
use Streamfuse::Shrink qw(shrink);

my $random = Streamfuse::Random->start('controls');
my $c = $random->session('c');

$c->query(q{CREATE FUNCTION falsify(regclass) RETURNS bool LANGUAGE c AS '$libdir/streamfuse', 'sf_test_falsify'});

# A case that ends with a view of closed and open windows.  `falsehoods` are statements before the last check.
sub make_case
{
	my @falsehoods = @_;
	my $view = { name => 'v1', keys => ['i'], aggregates => [ 'count(*)', 'max(t)', 'sum(n)' ], window => q{'1 hour'}, filter => '', having => '',
		counts => 0, shows_end => 0, final => 0, order => 0, index => 0, data => 1 };
	my $insert = sub { my ($salt, $n) = @_; return { op => 'insert', s => 'w1', salt => $salt, n => $n, from => $salt * 3600, step => 60, back => 0 } };

	return { seed => 1, unit => 3600, zone => 'UTC', from => '2004-03-27 20:00', time => 'timestamptz', columns => [ 'i', 'n', 't', 'u' ], wide => 0, partitions => 0, constraint => 0,
		delay => 0, disorder => 0, lockstep => 0, tick_pages => 0, lag_pages => 0, generic => 0, nviews => 1, views => [$view], reads => [],
		steps => [ $insert->(1, 30), { op => 'create_view', view => 1 }, $insert->(2, 100), { op => 'begin', s => 'w2' }, $insert->(3, 50),
			{ op => 'vacuum', how => 'VACUUM' }, { op => 'check' }, @falsehoods, { op => 'check' } ] };
}

# The output table belongs to the worker, so it takes a superuser who parts it from the view to falsify it.
sub output { return { op => 'falsify_output', change => shift }; }

sub Streamfuse::Case::do_falsify_output
{
	my ($self, $step) = @_;

	return unless $self->{views}{v1};
	$self->sqls('c', 'SET allow_system_table_mods = on', 'BEGIN',
		q{UPDATE pg_depend SET deptype = 'n' WHERE objid = 'v1_closed'::regclass AND refobjid = 'v1'::regclass}, $step->{change},
		q{UPDATE pg_depend SET deptype = 'a' WHERE objid = 'v1_closed'::regclass AND refobjid = 'v1'::regclass}, 'COMMIT', 'RESET allow_system_table_mods');
	return;
}

sub Streamfuse::Case::do_falsify_live
{
	my ($self) = @_;

	return unless $self->{views}{v1};
	$self->sql('c', q{SELECT falsify('v1')});
	return;
}

# What verify() says is asked where the falsehood stands.
my @verified;

sub Streamfuse::Case::do_verify
{
	my ($self) = @_;

	@verified = map { "$_->[0] $_->[1]" } @{ $self->sql('c', q{SELECT side, n FROM streamfuse.verify('v1') ORDER BY 1}) };
	return;
}

my $one = q{ctid = (SELECT min(ctid) FROM v1_closed)};
my @controls = (
	[ 'altered output row', [ 'batch 1', 'stream 1' ], output("UPDATE v1_closed SET a1 = a1 + 1 WHERE $one") ],
	[ 'altered text in an output row', [ 'batch 1', 'stream 1' ], output("UPDATE v1_closed SET a2 = 'c' WHERE $one") ],
	[ 'altered live state', [ 'batch 1', 'stream 1' ], { op => 'falsify_live' } ],
	[ 'missing group', ['batch 1'], output("DELETE FROM v1_closed WHERE $one") ],
	[ 'doubled group', ['stream 1'], output("INSERT INTO v1_closed SELECT * FROM v1_closed WHERE $one") ]);

my ($nothing) = $random->try(make_case());
is($nothing, undef, 'nothing is found where nothing is wrong');

for my $control (@controls)
{
	my ($name, $verify, @steps) = @$control;
	my $case = make_case(@steps, { op => 'verify' });
	my ($found) = $random->try($case);

	like($found, qr/^view v1: stream and batch differ/, "$name: the comparison reports it");
	is_deeply(\@verified, $verify, "$name: verify reports it");
}

# Of the steps that are of no account nothing is left.
my $case = make_case({ op => 'falsify_live' });
my ($found) = $random->try($case);
my $shrunk = shrink($random, $case, $found, 60);
is(join(' ', map { $_->{op} } @{ $shrunk->{case}{steps} }), 'insert create_view check falsify_live check', 'the steps that matter are left');
is_deeply($shrunk->{case}{columns}, [], 'no column is left');
is_deeply($shrunk->{case}{views}[0]{keys}, [], 'no key is left');
like($shrunk->{run}->script, qr/INSERT INTO s .* FROM gen\(\d+, 1, .*falsify/s, 'the script has one row and the falsehood');

$random->stop;
done_testing();
