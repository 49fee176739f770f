# A COPY that waits for its input for long, beside eight others that fill the stream meanwhile: the capture goes past the
# pages that the stalled one was filling, and past those that it had added and not begun (PostgreSQL adds up to 64 at a
# time since 16).  Its later rows go elsewhere, so that every row is counted once.
use strict;
use warnings;

use POSIX qw(mkfifo);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Streamfuse::Capture;

# With few buffers PostgreSQL adds pages one by one.
my $node = capture_node('stalled', 'shared_buffers = 64MB');
capture_setup($node);
$node->safe_psql('postgres', q{
	CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'});

my $fifo = $node->basedir . '/fifo';
mkfifo($fifo, 0600) or die "mkfifo: $!";

# Rows of so many bytes, as COPY reads them.
sub rows
{
	my ($from, $to, $width) = @_;
	return join('', map { "$_\t" . 'x' x $width . "\n" } $from .. $to);
}

# One COPY gets half of its rows, the eight others all of theirs, then the first one its other half.
sub stalled_copy
{
	my ($what, $width) = @_;
	my $file = $node->basedir . '/rows';
	my $copied = "SELECT tuples_processed FROM pg_stat_progress_copy WHERE relid = 'readings'::regclass";

	append_to_file($file, rows(1, 1500, $width));
	my $capture = start_capture($node);
	my ($output, $errors) = ('', '');
	my $copy = IPC::Run::start([ 'psql', '-XAt', '-d', $node->connstr('postgres'), '-c', "\\copy readings FROM '$fifo'" ],
		'>' => \$output, '2>' => \$errors);
	open(my $pipe, '>', $fifo) or die "$fifo: $!";
	$pipe->autoflush(1);
	print $pipe rows(1, 2000, $width);

	# What is on the way is less than a hundred rows; and rows are inserted a thousand or 64 kB at a time.
	$node->poll_query_until('postgres', "SELECT ($copied) >= 1000") or die "$what: the COPY does not begin";
	my $pages = $node->safe_psql('postgres', "SELECT pg_relation_size('readings') / 8192");

	$node->pgbench('--no-vacuum --client=8 --transactions=1', 0, [qr/processed: 8\/8/], [qr/^$/], "$what: eight beside it",
		{ "copy_$width" => "COPY readings FROM '$file';" });
	stop_capture($node, $capture);
	is($node->safe_psql('postgres', qq{
			SELECT load('readings', position, rows, sum) FROM progress;
			SELECT frontier > $pages FROM tick('readings');}),
		"\nt", "$what: the capture is past its pages");
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_progress_copy"), '1', "$what: it is still under way");

	$capture = start_capture($node);
	print $pipe rows(2001, 4000, $width);
	close($pipe);
	$copy->finish;
	is($errors . $output, "COPY 4000\n", "$what: it ends");
	stop_capture($node, $capture);
	is($node->safe_psql('postgres', 'SELECT rows, sum FROM progress'),
		$node->safe_psql('postgres', 'SELECT count(*), sum(id) FROM readings'),
		"$what: each row is counted once");
	unlink($file);
}

# Many rows at once, on pages that the stream adds.
stalled_copy('small rows', 100);

# Where rows might be toasted their sizes are unknown, and heap adds the pages.
$node->safe_psql('postgres', 'ALTER TABLE readings ALTER filler SET STORAGE PLAIN');
stalled_copy('wide rows', 2500);

# Before a trigger each row is inserted by itself; heap adds pages, more each time.
$node->safe_psql('postgres', 'CREATE TRIGGER keep BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION keep()');
stalled_copy('rows one by one', 1000);

is($node->safe_psql('postgres', q{
		SELECT load('readings', position, rows, sum) FROM progress;
		SELECT counted('readings') = count(*), count(*) = 3 * (4000 + 8 * 1500) FROM readings;}),
	"\nt|t", 'the position knows each of them');

$node->stop;
done_testing();
