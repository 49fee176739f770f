# A stream of orders whose event time goes on by six minutes with each call of insert_rows, views of it, and what must be
# true of them.  A tenth of the rows raise in one view, which sets them aside.  For tests that disturb the maintenance of views and do not care what the views are.
package Streamfuse::Sales;

use strict;
use warnings;

use Exporter 'import';
use Streamfuse::Server;
use Test::More;

our @EXPORT = qw(%batch create_sales order_rows insert_rows insert_bulk jump check_sales check_not_ahead);

# The views' queries.
our %batch = (
	sales => q{SELECT window_start, category, count(*) AS orders, sum(amount) AS revenue, max(category) AS last
		FROM orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end, category},
	total => q{SELECT window_start, count(*) AS orders
		FROM orders, tumble(event_time, '7 minutes') GROUP BY window_start, window_end},
	shares => q{SELECT window_start, count(*) AS orders, sum(100 / (id % 10 - 3)) AS share
		FROM good_orders AS orders, tumble(event_time, '5 minutes') GROUP BY window_start, window_end});

my $minute = 0;

sub create_sales
{
	my ($node, $database) = @_;

	$node->safe_psql($database // 'postgres', qq{
		CREATE TABLE orders (id int, category text, amount numeric, event_time timestamptz NOT NULL) USING stream;
		SELECT streamfuse.set_watermark('orders', 'event_time', delay => '0 seconds');
		CREATE MATERIALIZED VIEW sales WITH (streamfuse.continuous) AS $batch{sales};
		CREATE MATERIALIZED VIEW total WITH (streamfuse.continuous) AS $batch{total};
		CREATE MATERIALIZED VIEW shares WITH (streamfuse.continuous, streamfuse.on_error = skip) AS
		@{[ $batch{shares} =~ s/good_orders AS //r ]};
		CREATE VIEW good_orders AS SELECT * FROM orders WHERE id % 10 <> 3 OFFSET 0;
		CREATE VIEW failed_rows AS SELECT stream::oid, tid FROM streamfuse.errors;
		SELECT streamfuse.flush()});
	return;
}

# An INSERT of n rows over so many minutes from now on.
sub order_rows
{
	my ($n, $minutes) = @_;

	return qq{INSERT INTO orders SELECT g, 'c' || g % 3, g % 10,
		'2026-01-01'::timestamptz + ($minute + g * $minutes / $n) * interval '1 min' FROM generate_series(1, $n) g};
}

# Six minutes of rows, which close a window.  Time goes on even when the server dies before it answers.
sub insert_rows
{
	my ($node, $database) = @_;
	my $insert = order_rows(60, 6.0);

	$minute += 6;
	$node->safe_psql($database // 'postgres', $insert);
	return;
}

# Many rows within one window: with streamfuse.test_tick_pages more than a tick takes in.
sub insert_bulk
{
	my ($node) = @_;

	$node->safe_psql('postgres', order_rows(1500, 0.5));
	return;
}

# One row so much later that all windows with rows close, with what they have.
sub jump
{
	my ($node) = @_;
	my $insert = order_rows(1, 20);

	$minute += 20;
	$node->safe_psql('postgres', $insert);
	return;
}

# Everything that is committed is in the views or set aside, once.
sub check_sales
{
	my ($node, $name, $database) = @_;

	$database //= 'postgres';
	$node->safe_psql($database, 'SELECT streamfuse.flush()');
	same_rows($node, $_, $batch{$_}, "$name: $_", $database) for sort keys %batch;
	same_rows($node, 'failed_rows', 'SELECT tableoid, ctid FROM orders WHERE id % 10 = 3', "$name: rows that raise", $database);
	return;
}

# While the worker is held the views may be behind, but are never ahead, and no group is there twice.
sub check_not_ahead
{
	my ($node, $name) = @_;

	is($node->safe_psql('postgres', qq{
		SELECT count(*) FROM sales v LEFT JOIN ($batch{sales}) b USING (window_start, category)
		WHERE b.orders IS NULL OR v.orders > b.orders OR v.revenue > b.revenue}), '0', "$name: nothing too early");
	is($node->safe_psql('postgres', q{
		SELECT count(*) FROM (SELECT FROM sales GROUP BY window_start, category HAVING count(*) > 1) d}), '0',
		"$name: nothing twice");
	return;
}

1;
