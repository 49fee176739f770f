# Random cases, as data.  A case is made from its seed alone: a stream, its views, and a list of steps for several
# sessions.  Rows are functions of a step's salt and their number, so that a case with some steps taken out, or fewer
# rows, still has the other rows as they were.
#
# To extend the grammar, add to the tables below, or a step here and its execution in Streamfuse::Case.
package Streamfuse::Grammar;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(prelude make_case column view_query window_call);

# What all cases use; created once per database.
my $prelude = q{
CREATE EXTENSION IF NOT EXISTS streamfuse;
CREATE FUNCTION h(g bigint, salt bigint, n int) RETURNS int IMMUTABLE PARALLEL SAFE LANGUAGE sql
  AS 'SELECT (hashint8extended(g, salt) & 2147483647)::int % n';
CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE site AS (city text, zip int);
CREATE DOMAIN even AS int CHECK (VALUE % 2 = 0);
CREATE FUNCTION add_square(float8, float8) RETURNS float8 IMMUTABLE STRICT LANGUAGE sql RETURN $1 + $2 * $2;
CREATE AGGREGATE sum_of_squares(float8) (SFUNC = add_square, STYPE = float8, INITCOND = '0', COMBINEFUNC = float8pl);
CREATE FUNCTION longer(text, text) RETURNS text IMMUTABLE LANGUAGE plpgsql
  AS $$ BEGIN RETURN CASE WHEN $1 IS NULL OR ($2 COLLATE "C") > $1 THEN $2 ELSE $1 END; END $$;
CREATE FUNCTION exclaim(text) RETURNS text IMMUTABLE LANGUAGE sql RETURN $1 || '!';
CREATE AGGREGATE greatest_text(text) (SFUNC = longer, STYPE = text, FINALFUNC = exclaim, COMBINEFUNC = longer);
CREATE AGGREGATE own_sum(numeric) (SFUNC = numeric_avg_accum, STYPE = internal, FINALFUNC = numeric_sum,
  COMBINEFUNC = numeric_avg_combine, SERIALFUNC = numeric_avg_serialize, DESERIALFUNC = numeric_avg_deserialize,
  PARALLEL = SAFE);
CREATE AGGREGATE own_array(anynonarray) (SFUNC = array_agg_transfn, STYPE = internal, FINALFUNC = array_agg_finalfn, FINALFUNC_EXTRA);
CREATE FUNCTION sorted(anyarray) RETURNS anyarray IMMUTABLE LANGUAGE sql AS $$ SELECT array_agg(v ORDER BY v) FROM unnest($1) v $$;
CREATE FUNCTION nth_final(int[], int) RETURNS int IMMUTABLE LANGUAGE sql RETURN (SELECT v FROM unnest($1) v ORDER BY v OFFSET $2 LIMIT 1);
CREATE AGGREGATE nth(int ORDER BY int) (SFUNC = array_append, STYPE = int[], FINALFUNC = nth_final);
CREATE FUNCTION set_fault(text, text) RETURNS void LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_set';
CREATE FUNCTION fault_hits(text) RETURNS bigint LANGUAGE c AS '$libdir/streamfuse', 'sf_fault_hits';
};

sub prelude { return $prelude; }

# ---- chance ----

# A stream of numbers of its own for each seed, the same on every machine.
sub seed
{
	my $seed = shift;
	my $mixed = ($seed ^ 0x5bd1e995) & 0xffffffff;

	for (1 .. 3)
	{
		$mixed = ($mixed ^ ($mixed >> 15)) & 0xffffffff;
		$mixed = ($mixed * 0x2c1b3c6d) & 0xffffffff;
		$mixed = ($mixed ^ ($mixed >> 12)) & 0xffffffff;
	}
	srand($mixed);
	return;
}

sub pick { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }
sub number { my ($least, $most) = @_; return $least + int rand($most - $least + 1); }

# Between least and most of a list, in any order.
sub some
{
	my ($least, $most, @from) = @_;
	my @chosen;

	push @chosen, splice(@from, int rand @from, 1) for 1 .. min(number($least, $most), scalar @from);
	return @chosen;
}

sub min { my ($a, $b) = @_; return $a < $b ? $a : $b; }

# ---- columns: type, value of row g (H(n): 0 to n - 1), and what can be said about the column ----

# Floats are sums of halves, so that the order of additions does not matter; what divides them is rounded away from
# where roundings differ.
sub rounded { my $x = shift; return "round(($x)::numeric + 0.0000317, 4)"; }

my %columns = (
	i => {
		type => 'int', value => 'nullif(H(12), 11)', literals => [ 3, 0, 10 ],
		keys => [ 'i', 'i', 'i % 3', 'i::numeric / 4', 'CASE WHEN i > 5 THEN i END', 'i::float8', '(i + 1)::oid' ],
		aggregates => [ 'sum(i)', 'avg(i)', 'min(i)', 'max(i)', 'stddev(i)', 'var_pop(i)', 'bit_and(i)', 'bit_or(i)',
			'bit_xor(i)', 'max(i) - min(i)', 'sum(i) + count(*)', 'coalesce(sum(i), 0)', 'sum(i) FILTER (WHERE i > 4)',
			'regr_count(i, i)', 'own_sum(i)', 'sum_of_squares(i) FILTER (WHERE i < 9)', 'bool_or(i > 8)', 'stddev_samp(i)', 'count(DISTINCT i)', 'sum(DISTINCT i)', 'array_agg(i ORDER BY i)', 'sorted(own_array(i))',
			'percentile_disc(0.5) WITHIN GROUP (ORDER BY i)', 'mode() WITHIN GROUP (ORDER BY i)', 'rank(4) WITHIN GROUP (ORDER BY i)', 'nth(2) WITHIN GROUP (ORDER BY i)',
			'percentile_cont(0.5) WITHIN GROUP (ORDER BY i) FILTER (WHERE i < 9)', 'array_agg(DISTINCT i ORDER BY i DESC)',
			'CASE WHEN count(*) > 3 THEN sum(i) END', 'avg(i)::text', 'streamfuse.first(i, i % 3)', 'streamfuse.last_n(i, i % 3, 2)' ],
		filters => [ 'i > 2', 'i BETWEEN 3 AND 8', 'i IS NOT NULL', '(i <> 3) IS NOT FALSE' ], havings => [ 'max(i) > 4', 'sum(i) IS NOT NULL' ],
	},
	many => {
		type => 'int', value => 'H(3000)', literals => [ 7, 2999 ], keys => [ 'many', 'many', 'many / 10' ],
		aggregates => [ 'count(many)', 'sum(many)', 'max(many)', 'count(DISTINCT many)', 'percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY many)' ], filters => [ 'many < 2500' ],
	},
	hot => {
		type => 'bigint', value => 'CASE WHEN H(10) < 9 THEN 1 ELSE H(10000) END', literals => [ 1 ], keys => [ 'hot', 'hot' ],
		aggregates => [ 'sum(hot)', 'avg(hot)', 'min(hot)', 'count(DISTINCT hot)', 'mode() WITHIN GROUP (ORDER BY hot)' ], filters => [ 'hot <> 5' ],
	},
	b => {
		type => 'bigint', value => 'nullif(H(5) - 1, 0) * 1000000000000', literals => [ -1000000000000 ],
		keys => [ 'b', 'b' ],
		aggregates => [ 'sum(b)', 'avg(b)', 'min(b)', 'max(b)', 'variance(b)', 'count(b)', 'bit_or(b)', 'bool_and(b > 0)', 'every(b > 0)' ],
		filters => [ 'b IS NULL', 'b > 0 OR b IS NULL' ], havings => [ 'count(b) > 0' ],
	},
	sm => {
		type => 'smallint', value => '(H(4) - 1)::smallint', literals => [2], keys => [ 'sm', 'sm' ],
		aggregates => [ 'sum(sm)', 'avg(sm)', 'min(sm)', 'max(sm)', 'stddev_pop(sm)', 'bit_and(sm)' ], filters => ['sm <> 1'],
	},
	n => {
		type => 'numeric', value => q{(ARRAY['1.0', '1.00', '1', '-7.5', 'NaN', '12345678901234567890.123', 'Infinity', '0.000', NULL])[1 + H(9)]::numeric},
		literals => [ '1.000', q{'NaN'} ], keys => [ 'n', 'n', 'n', 'trunc(n)' ],
		aggregates => [ 'sum(n)', 'avg(n)', 'min(n)', 'max(n)', 'sum(n)::text', 'count(n)', 'own_sum(n)', 'sum(n) + count(*)', 'own_sum(DISTINCT n)', 'count(DISTINCT n)', 'percentile_disc(0.7) WITHIN GROUP (ORDER BY n)',
			q{sum(n) FILTER (WHERE n <> 'NaN')}, q{avg(n) FILTER (WHERE n < 5)}, q{variance(n) FILTER (WHERE n < 5)} ],
		filters => [ 'n <> 0', 'n IS NOT NULL' ],
	},
	p => {
		type => 'numeric(12,2)', value => 'CASE WHEN H(7) > 0 THEN H(90000) / 100.0 - 300 END', literals => [0], keys => ['sign(p)'],
		aggregates => [ 'sum(p)', 'avg(p)', 'min(p)', 'max(p)', 'round(avg(p), 2)', 'stddev(p)', 'var_samp(p)', 'stddev_pop(p)::text', 'streamfuse.last(p, p * p)', 'sum(p) / nullif(count(p), 0)',
			'sum(p * 3)', 'count(*) FILTER (WHERE p > 0)', 'sum(p)::text', 'avg(p)::text', 'avg(DISTINCT p)', 'percentile_cont(0.25) WITHIN GROUP (ORDER BY p)', 'sum(p ORDER BY p)::text' ],
		filters => [ 'p > 0', 'p < 500' ], havings => [ 'sum(p) > 0' ],
	},
	f => {
		type => 'float8', value => q{CASE H(12) WHEN 0 THEN NULL WHEN 1 THEN '-0' ELSE H(9) * 0.5 - 2 END},
		literals => [ 0, 1.5 ], keys => [ 'f', 'f', 'f', '-f' ],
		aggregates => [ 'sum(f)', 'avg(f)', 'min(f)', 'max(f)', 'sum_of_squares(f)', rounded('var_pop(f)'), rounded('stddev(f)'),
			rounded('regr_avgx(f, f)'), rounded('covar_pop(f, f)'), 'regr_count(f, f)', 'count(f)', 'sum(f) FILTER (WHERE f > 0)', 'percentile_cont(0.5) WITHIN GROUP (ORDER BY f)', 'array_agg(DISTINCT f)',
			'cume_dist(0.5) WITHIN GROUP (ORDER BY f)' ],
		filters => [ 'f >= 0', 'f <> 1' ],
	},
	fn => {
		type => 'float8', value => q{(ARRAY['NaN', 'Infinity', '-Infinity', '1', '0', '-0', NULL])[1 + H(7)]::float8},
		literals => [ q{'NaN'} ], keys => [ 'fn', 'fn' ],
		aggregates => [ 'min(fn)', 'max(fn)', 'count(fn)', 'sum(fn)' ], filters => [q{fn = 'NaN' OR fn < 2}],
	},
	f4 => {
		type => 'float4', value => 'H(40) * 0.5', literals => ['4.5'], keys => ['f4'],
		aggregates => [ 'sum(f4)', 'avg(f4)', 'min(f4)', 'max(f4)' ], filters => ['f4 < 18'],
	},
	t => {
		type => 'text', value => q{(ARRAY['a', 'b', 'B', '', 'ä', repeat('long', 30), NULL])[1 + H(7)]}, literals => [ q{'a'}, q{''} ],
		keys => [ 't', 't', 'upper(t)', q{coalesce(t, 'none')}, q{t COLLATE "und-x-icu"}, 'length(t)' ],
		aggregates => [ 'min(t)', 'max(t)', 'count(t)', 'greatest_text(t)', q{max(t || 'x')}, 'sum(length(t))', q{count(*) FILTER (WHERE t = 'a')}, 'count(DISTINCT t)', 'array_agg(DISTINCT t)',
			q{string_agg(t, ',' ORDER BY t COLLATE "C")}, 'mode() WITHIN GROUP (ORDER BY t)', 'greatest_text(DISTINCT t)',
			'streamfuse.count_by(t)', 'streamfuse.sum_by(t, length(t))', 'streamfuse.last(t, length(t))' ],
		filters => [ 't IS NOT NULL', q{t IN ('a', 'b', '')}, q{t LIKE '%o%' OR t < 'b'} ], havings => [ 'min(t) IS NULL', q{max(t) > 'a'} ],
	},
	tc => {
		type => 'text COLLATE "C"', value => q{(ARRAY['a', 'A', 'b', 'zz', NULL])[1 + H(5)]}, literals => [q{'A'}], keys => [ 'tc', 'lower(tc)' ],
		aggregates => [ 'min(tc)', 'max(tc)' ], filters => [q{tc > 'A'}],
	},
	ti => {
		type => 'text COLLATE ci', value => q{(ARRAY['a', 'A', 'Bee', 'bEE', 'bee', NULL])[1 + H(6)]}, literals => [q{'BEE'}],
		keys => [ 'ti', 'ti', 'ti' ], aggregates => [ 'min(ti)', 'max(ti)', 'count(DISTINCT ti)', 'streamfuse.first(ti, ti)' ], filters => [q{ti <> 'a'}],
	},
	c => {
		type => 'char(5)', value => q{(ARRAY['a', 'a  ', 'b', '', NULL])[1 + H(5)]}, literals => [ q{'a'} ], keys => [ 'c', 'c' ],
		aggregates => [ 'min(c)', 'max(c)', 'count(c)', 'count(DISTINCT c)' ], filters => [ q{c <> 'b'} ],
	},
	vc => { type => 'varchar(8)', value => q{CASE WHEN H(4) > 0 THEN 'c' || H(4) END}, literals => [q{'c1'}], keys => ['vc'], aggregates => [ 'max(vc)' ] },
	by => { type => 'bytea', value => q{decode(lpad(H(5)::text, 2, '0'), 'hex')}, literals => [q{'\x01'}], keys => ['by'], aggregates => [ 'count(by)', q{string_agg(by, '\x2c' ORDER BY by)} ] },
	bo => {
		type => 'bool', value => q{CASE H(5) WHEN 0 THEN NULL ELSE H(5) > 2 END}, literals => [ 'true' ], keys => [ 'bo', 'NOT bo' ],
		aggregates => [ 'bool_and(bo)', 'bool_or(bo)', 'every(bo)', 'count(*) FILTER (WHERE bo)' ], filters => [ 'bo', 'bo IS NOT TRUE' ],
		havings => [ 'bool_or(bo)' ],
	},
	d => {
		type => 'date', value => q{CASE WHEN H(9) > 0 THEN DATE '2004-03-27' + H(3) ELSE 'infinity' END}, literals => [q{'2004-03-28'}], keys => [ 'd', 'd' ],
		aggregates => [ 'min(d)', 'max(d)' ], filters => [q{d < 'infinity'}],
	},
	tm => { type => 'time', value => q{TIME '10:00' + H(4) * interval '1 hour'}, literals => [q{'11:00'}], keys => ['tm'], aggregates => [ 'min(tm)', 'max(tm)', 'sum(tm - TIME \'08:00\')' ] },
	tz => { type => 'timetz', value => q{(ARRAY['10:00+00', '11:00+01', '10:00+01', NULL])[1 + H(4)]::timetz}, literals => [q{'11:00+01'}], keys => ['tz'], aggregates => [ 'min(tz)', 'max(tz)' ] },
	ts => { type => 'timestamp', value => q{TIMESTAMP '2004-03-27' + H(4) * interval '6 hours'}, literals => [q{'2004-03-27 06:00'}], keys => [ 'ts', q{date_trunc('day', ts)} ], aggregates => [ 'min(ts)', 'max(ts)' ] },
	tsz => { type => 'timestamptz', value => q{CASE WHEN H(5) > 0 THEN TIMESTAMPTZ '2004-03-28 00:30+00' + H(4) * interval '30 minutes' END}, literals => [q{'2004-03-28 01:00+00'}],
		keys => [ 'tsz', q{date_trunc('day', tsz)}, q{tsz::date}, 'tsz::timestamp' ], aggregates => [ 'min(tsz)', 'max(tsz)', 'array_agg(tsz ORDER BY tsz)' ] },
	iv => { type => 'interval', value => q{(ARRAY['1 day', '24:00', '30 days', '1 mon', '-1 h', NULL])[1 + H(6)]::interval}, literals => [ q{'24:00'}, q{'1 mon'} ], keys => [ 'iv', 'iv' ],
		aggregates => [ 'sum(iv)', 'avg(iv)', 'min(iv)', 'max(iv)' ], filters => [q{iv > '0'}] },
	u => { type => 'uuid', value => q{('00000000-0000-0000-0000-00000000000' || H(4))::uuid}, literals => [q{'00000000-0000-0000-0000-000000000001'}], keys => ['u'], aggregates => ['count(u)'] },
	ip => { type => 'inet', value => q{('10.0.0.' || H(3) || '/' || 24 + H(2) * 8)::inet}, literals => [q{'10.0.0.1'}], keys => ['ip'], aggregates => [ 'min(ip)', 'max(ip)' ] },
	j => { type => 'jsonb', value => q{(ARRAY['{"k": 1}', '{"k": 1.0}', '[1, null]', 'null', '"x"', NULL])[1 + H(6)]::jsonb}, literals => [ q{'{"k": 1.00}'}, q{'null'} ],
		keys => [ 'j', q{j -> 'k'}, q{j ->> 'k'} ], aggregates => [ 'count(j)', 'count(DISTINCT j)', 'jsonb_agg(j ORDER BY j)', q{sum((j ->> 'k')::numeric) FILTER (WHERE jsonb_typeof(j) = 'object')} ] },
	a => { type => 'int[]', value => q{CASE H(5) WHEN 0 THEN NULL WHEN 1 THEN '{}' ELSE ARRAY[H(2), NULL, H(3)] END}, literals => [q{'{}'}], keys => [ 'a', 'a[1]' ],
		aggregates => [ 'count(a)', 'max(a)', 'count(DISTINCT a)', 'min(a)', 'sum(cardinality(a))' ] },
	at_ => { type => 'text[]', value => q{ARRAY['t' || H(2), NULL]}, literals => [q{'{t1,NULL}'}], keys => ['at_'], aggregates => ['max(at_)'] },
	e => { type => 'mood', value => q{(ARRAY['sad', 'ok', 'happy', NULL])[1 + H(4)]::mood}, literals => [q{'ok'}], keys => [ 'e', q{e = 'sad'} ], aggregates => [ 'min(e)', 'max(e)', 'count(e)', 'array_agg(DISTINCT e)', 'mode() WITHIN GROUP (ORDER BY e)' ],
		filters => [q{e > 'sad'}] },
	dom => { type => 'even', value => 'H(4) * 2', literals => [2], keys => [ 'dom', 'dom' ], aggregates => [ 'sum(dom)', 'max(dom)' ] },
	si => { type => 'site', value => q{CASE WHEN H(6) > 0 THEN ROW('c' || H(2), nullif(H(3), 2))::site END}, literals => [ q{ROW('c1', 1)::site} ], keys => [ 'si', '(si).zip', 'si' ], aggregates => [ 'count(si)', 'max((si).zip)', 'count(DISTINCT si)', 'array_agg(si ORDER BY si)' ] },
	r => { type => 'int4range', value => q{int4range(H(2), 3 + H(2))}, literals => [q{'[1,4)'}], keys => [ 'r', 'lower(r)' ], aggregates => [ 'count(r)', 'range_agg(r)' ] },
	mr => { type => 'int4multirange', value => q{int4multirange(int4range(H(2), 3), int4range(5, 6 + H(2)))}, literals => [q{'{[1,3), [5,6)}'}], keys => ['mr'], aggregates => ['count(mr)'] },
	nr => { type => 'numrange', value => q{numrange((ARRAY['1.0', '1.00'])[1 + H(2)]::numeric, 2)}, literals => [q{'[1,2)'}], keys => ['nr'], aggregates => ['count(nr)'] },
	mac => { type => 'macaddr', value => q{('08:00:2b:01:02:0' || H(3))::macaddr}, literals => [q{'08:00:2b:01:02:01'}], keys => ['mac'], aggregates => ['count(mac)'] },
	nm => { type => 'name', value => q{('n' || H(3))::name}, literals => [q{'n1'}], keys => ['nm'], aggregates => ['count(nm)'] },
	ch => { type => '"char"', value => q{('x' || H(3))::"char"}, literals => [q{'x'}], keys => ['ch'], aggregates => ['count(ch)'] },
	# Added to the stream in the course of a history; earlier rows have the default.
	extra => { type => 'int DEFAULT 7', value => 'H(4)', literals => [7], keys => ['extra'], aggregates => [ 'sum(extra)', 'count(extra)' ], filters => ['extra <> 2'] },
);

sub column { return $columns{ $_[0] }; }

# Expressions over two columns, for streams that have both.
my @pairs = (
	[ 'i', 'sm', 'sum(i * sm)' ], [ 'i', 't', 'count(DISTINCT (i, t))' ], [ 't', 'i', q{string_agg(t, '/' ORDER BY i DESC, t COLLATE "C")} ],
	[ 'i', 'bo', 'jsonb_object_agg(coalesce(i, -1), i)' ], [ 'p', 'i', 'percentile_disc(0.5) WITHIN GROUP (ORDER BY p) FILTER (WHERE i > 2)' ], [ 'f', 'i', rounded('regr_slope(f, i)') ], [ 'f', 'i', rounded('covar_samp(f, i)') ],
	[ 'f', 'i', 'regr_sxy(f, i) IS NULL' ], [ 'n', 't', q{sum(n) FILTER (WHERE t = 'a')} ], [ 'p', 'bo', 'sum(CASE WHEN bo THEN p ELSE -p END)' ],
	[ 'b', 'sm', 'min(sm) FILTER (WHERE b IS NULL)' ], [ 'p', 'i', 'sum(p * i) + 1' ], [ 't', 'i', q{max(t || i::text)} ],
	[ 'd', 'i', 'max(d - i) FILTER (WHERE isfinite(d))' ]);

# ---- windows: name, length in seconds ----

my @windows = (
	[ q{'1 second'}, 1 ], [ q{'7 seconds'}, 7 ], [ q{'1 minute'}, 60 ], [ q{'1 minute'}, 60 ], [ q{'15 minutes'}, 900 ], [ q{'1 hour'}, 3600 ],
	[ q{'1 hour', '25 minutes'}, 3600 ], [ q{'5 hours'}, 18000 ], [ q{'24 hours'}, 86400 ],
	[ q{'6 hours', timezone => 'America/St_Johns'}, 21600 ], [ q{'1 day'}, 86400 ], [ q{'1 day', timezone => 'Europe/Berlin'}, 86400 ],
	[ q{'1 day', '2 hours'}, 86400 ], [ q{'1 week'}, 604800 ], [ q{'1 month', timezone => 'Asia/Kolkata'}, 2592000 ], [ q{'1 month'}, 2592000 ]);
# Those that overlap: function, arguments, seconds from one to the next, seconds of the longest.
my @overlapping = (
	[ 'hop', q{'7 seconds', '1 second'}, 1, 7 ], [ 'hop', q{'10 seconds', '4 seconds'}, 4, 10 ], [ 'hop', q{'1 minute', '5 seconds'}, 5, 60 ],
	[ 'hop', q{'1 minute', '1 minute'}, 60, 60 ], [ 'hop', q{'90 seconds', '1 minute', '7 seconds'}, 60, 90 ], [ 'hop', q{'1 hour', '15 minutes'}, 900, 3600 ],
	[ 'hop', q{'1 hour', '25 minutes'}, 1500, 3600 ], [ 'hop', q{'15 minutes', '1 hour', gaps => true}, 3600, 3600 ], [ 'hop', q{'24 hours', '1 hour'}, 3600, 86400 ],
	[ 'hop', q{'10 hours', '6 hours', timezone => 'America/St_Johns'}, 21600, 36000 ], [ 'hop', q{'2 days', '1 day'}, 86400, 172800 ],
	[ 'hop', q{'3 days', '1 day', timezone => 'Europe/Berlin'}, 86400, 259200 ], [ 'hop', q{'1 week', '2 days', '2 hours'}, 172800, 604800 ],
	[ 'hop', q{'3 months', '1 month', timezone => 'Asia/Kolkata'}, 2592000, 7776000 ], [ 'cumulate', q{'1 minute', '10 seconds'}, 10, 60 ],
	[ 'cumulate', q{'7 seconds', '1 second'}, 1, 7 ], [ 'cumulate', q{'1 hour', '5 minutes', '25 minutes'}, 300, 3600 ], [ 'cumulate', q{'24 hours', '6 hours'}, 21600, 86400 ],
	[ 'cumulate', q{'1 week', '1 day'}, 86400, 604800 ], [ 'cumulate', q{'4 days', '1 day', timezone => 'Europe/Berlin'}, 86400, 345600 ],
	[ 'cumulate', q{'1 year', '3 months'}, 7776000, 31536000 ]);
my @zones = ('UTC', 'UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu');

# ---- views ----

# A view over some of the case's columns, which windows last about so many seconds.
sub make_view
{
	my ($case, $name, @have) = @_;
	my %have = map { $_ => 1 } @have;
	my @keys = map { @{ $columns{$_}{keys} } } @have;
	my @aggregates = ((map { @{ $columns{$_}{aggregates} } } @have), 'min(at)', 'max(at)', map { $_->[2] } grep { $have{ $_->[0] } && $have{ $_->[1] } } @pairs);
	my @filters = ((map { @{ $columns{$_}{filters} || [] } } @have), (chance(0.1) ? 'false' : ()));
	my @havings = ((map { @{ $columns{$_}{havings} || [] } } @have), 'count(*) > 2');
	my @fit = grep { $_->[1] >= $case->{unit} && $_->[1] <= $case->{unit} * 3600 } @windows;
	my @overlap = grep { $_->[2] * 20 >= $case->{unit} && $_->[3] <= $case->{unit} * 200 } @overlapping;
	# Windows of a zone's calendar need a time with a zone.
	@fit = grep { $_->[0] !~ /timezone/ } @fit if $case->{time} eq 'timestamp';
	@overlap = grep { $_->[1] !~ /timezone/ } @overlap if $case->{time} eq 'timestamp';
	my @k = some(0, 3, @keys);
	my $window = chance(0.5) ? $case->{window} : pick(@fit);
	# Groups over all time: then there is neither a final result nor a first window.
	my $all_time = chance(0.25) ? 1 : 0;
	my $overlap = !$all_time && @overlap && chance(0.4) ? pick(@overlap) : undef;

	# A condition on the window is for one that a row is alone in.
	push @filters, 'at > window_start' unless $overlap || $all_time;
	my @a = some(chance(0.1) ? 0 : 1, 5, @aggregates);
	# Rows with i = 0 raise, and are set aside.
	my $raises = $have{i} && chance(0.15) ? 1 : 0;

	if ($raises && @k && chance(0.5)) { $k[0] = '60 / i'; }
	elsif ($raises) { push @a, 'sum(60 / i)'; }
	my $view = {
		name => $name, keys => \@k, aggregates => \@a, raises => $raises, $overlap ? (function => $overlap->[0]) : (),
		$all_time ? (all_time => $case->{time}) : (), window => $overlap ? $overlap->[1] : $window->[0],
		filter => chance(0.5) ? pick(@filters) : '', having => chance(0.15) ? pick(@havings) : '', counts => chance(0.85) || ($all_time && !@k && !@a) ? 1 : 0,
		shows_end => $overlap || chance(0.3) ? 1 : 0, final => !$all_time && chance(0.15) ? 1 : 0, order => number(0, 999), index => chance(0.15) ? 1 : 0,
		data => $all_time || chance(0.88) ? 1 : 0 };
	return without_groups($view, @have) if $view->{order} % 8 == 5 && !$all_time;
	return with_sessions($case, $view, @have) if $view->{order} % 8 >= 6 && !$all_time;
	return in_branches($view) if $view->{order} % 8 == 1;
	return $view->{order} % 8 == 3 && @k ? with_sets($view) : $view;
}

# The same over branches of the stream, of which each row is in one.
sub in_branches
{
	my $view = shift;
	my $even = '(sid % 2 = 0)';
	my @forms = ("SELECT * FROM s WHERE $even IS TRUE UNION ALL SELECT * FROM s WHERE $even IS NOT TRUE",
		'SELECT * FROM (SELECT * FROM s) b',
		"SELECT * FROM s WHERE false UNION ALL (SELECT * FROM (SELECT * FROM s WHERE $even IS NOT TRUE) b UNION ALL SELECT * FROM s WHERE $even IS TRUE)");

	return { %$view, branches => $forms[ $view->{order} / 8 % @forms ] };
}

# The same in several grouping sets.  A row is counted in each, so that the sum of counts is not the number of rows.
sub with_sets
{
	my $view = shift;
	my @keys = @{ $view->{keys} };
	my $all = join ', ', @keys;
	my @forms = ("ROLLUP ($all)", "CUBE ($all)", "GROUPING SETS (($all), ($keys[0]), ($keys[-1]))", "GROUPING SETS ((), ($all), ())", "ROLLUP ($keys[-1]), ROLLUP ($all)");

	return { %$view, sets => $forms[ $view->{order} / 8 % @forms ], aggregates => [ @{ $view->{aggregates} }, "grouping($all)" ], counts => 0 };
}

# The same without GROUP BY: its rows are the stream's, with all columns and what the keys would have been; ws is the time.
sub without_groups
{
	my ($view, @have) = @_;
	my $windowed = $view->{order} % 16 == 5 ? 1 : 0;
	my %seen;
	my @values = grep { !$seen{$_}++ } @{ $view->{keys} }, @have, $view->{raises} ? ('60 / i') : ();
	my $filter = ($view->{filter} // '') eq 'at > window_start' && !$windowed ? '' : $view->{filter};

	return { %$view, stateless => 1, windowed => $windowed, function => undef, window => $windowed && !$view->{function} ? $view->{window} : q{'1 hour'},
		keys => \@values, aggregates => [], having => '', filter => $filter, shows_end => $windowed };
}

# The same by sessions: of its keys, of one of them, of one more, or of all rows together.  Below the aggregates there is no
# window to be named.
sub with_sessions
{
	my ($case, $view, @have) = @_;
	my @keys = @{ $view->{keys} };
	my @columns = grep { $_ ne 'extra' } @have;
	my @named = ([], [], [ "'all'" ], [ $keys[0] // "'all'" ], [ @keys, $columns[0] ], [ $columns[-1] ]);
	my @gaps = map { $case->{unit} * $_ } 0.3, 1, 4, 30;

	my $sessions = { %$view, session => sprintf("'%.6f s'", $gaps[ $view->{order} / 8 % @gaps ]), session_keys => $named[ $view->{order} / 8 % @named ],
		function => undef, shows_end => 1, filter => ($view->{filter} // '') eq 'at > window_start' ? '' : $view->{filter} };
	return @keys && @{ $sessions->{session_keys} } && $view->{order} % 3 == 0 ? with_sets($sessions) : $sessions;
}

# The window function of a view, as it is called.  Saved cases may not name it.  Where there is none: the one window that
# all rows are in.
sub window_call
{
	my ($view, $time) = @_;

	return "(SELECT '-infinity'::$view->{all_time} AS window_start, 'infinity'::$view->{all_time} AS window_end) w" if $view->{all_time};
	return 'session(' . join(', ', 'at', $view->{session}, @{ $view->{session_keys} }) . ')' if $view->{session};
	return ($view->{function} // 'tumble') . '(' . ($time // 'at') . ", $view->{window})";
}

# The query of a view.  Its columns are called ws, we (window start and end), k1..., a1..., n (count), in an order of its own.
# Without groups ws is the time.
# What raises is left out where the query is run as a batch; sessions are those of the rows from $from on.
sub view_query
{
	my ($view, $batch, $from) = @_;
	my @conditions = grep { length } $view->{filter}, $from ? "at >= '$from'" : '';
	my @window = $view->{all_time} ? ("'-infinity'::$view->{all_time}", "'infinity'::$view->{all_time}") : ('window_start', 'window_end');
	my @columns = $view->{stateless} ? ('at AS ws') : ("$window[0] AS ws");
	my $i = 0;

	push @conditions, '(i = 0) IS NOT TRUE' if $batch && $view->{raises};
	push @columns, "$window[1] AS we" if $view->{shows_end};
	push @columns, map { "$_ AS k" . ++$i } @{ $view->{keys} };
	$i = 0;
	push @columns, map { "$_ AS a" . ++$i } @{ $view->{aggregates} };
	push @columns, $view->{stateless} ? '1::bigint AS n' : 'count(*) AS n' if $view->{counts};
	push @columns, splice(@columns, 0, $view->{order} % @columns);
	my @groups = ($view->{stateless} ? () : ($view->{all_time} ? () : @window, $view->{sets} // @{ $view->{keys} }));
	push @groups, splice(@groups, 0, $view->{order} % 7 % @groups) if @groups;
	my $read = $view->{branches} ? "($view->{branches}) s" : 's';
	return "SELECT " . join(', ', @columns) . " FROM $read" . ($view->{all_time} || ($view->{stateless} && !$view->{windowed}) ? '' : ', ' . window_call($view))
	  . (@conditions ? ' WHERE ' . join(' AND ', map { "($_)" } @conditions) : '') . (@groups ? ' GROUP BY ' . join(', ', @groups) : '')
	  . ($view->{having} ? " HAVING $view->{having}" : '');
}

# ---- steps ----

my @fault_points = ('tick-after-snapshot', 'tick-in-apply', 'tick-before-close', ('tick-before-publish') x 4,
	'tick-after-publish', 'commit-before', 'commit-after-output', 'commit-after-state', 'commit-after');

sub size
{
	my $case = shift;
	my $n = pick(1, 1, 2, 5, 10, 30, 100, 300, chance(0.4) ? 900 : 40, chance(0.5) ? 2500 : 3);

	return $case->{wide} ? min($n, 150) : $n;
}

# Rows that go on from where the case's event time has come to.
sub rows
{
	my $case = shift;
	my $n = size($case);
	my $step = $case->{unit} * pick(0.0003, 0.005, 0.05, 0.05, 0.4, 1.5);
	# Not so many windows that a case takes long, nor so much time that it reaches the present.
	my $most = min($case->{unit} * 50, 100 * 86400);
	$step = $most / $n if $step * $n > $most;
	my $rows = { n => $n, from => $case->{clock}, step => $step, back => $case->{disorder} * pick(0, 1, 1, 1, 1), salt => ++$case->{salts} };

	$case->{clock} += $n * $step;
	return $rows;
}

sub insert { my ($case, $s) = @_; return { op => pick('insert', 'insert', 'insert', 'insert', 'copy', 'subtransactions'), s => $s, %{ rows($case) } }; }

# What a session does from a transaction's beginning to its end.
sub transaction
{
	my ($case, $s) = @_;
	my @steps = ({ op => 'begin', s => $s }, insert($case, $s));

	for (1 .. number(0, 2))
	{
		push @steps, { op => 'savepoint', s => $s }, insert($case, $s);
		push @steps, { op => 'back_to_savepoint', s => $s } if chance(0.5);
		push @steps, insert($case, $s) if chance(0.6);
	}
	return (@steps, { op => 'prepare', s => $s }, { op => 'finish_prepared', commit => chance(0.7) ? 1 : 0 }) if chance(0.15);
	return (@steps, { op => 'end', s => $s, commit => chance(0.75) ? 1 : 0 });
}

# What the writer s does.
sub writing
{
	my ($case, $s) = @_;

	return transaction($case, $s) if chance(0.3);
	return { op => pick('advance', 'advance', 'reset'), s => $s, to => $case->{clock} + $case->{unit} * pick(-3, -1, 0, 1) } if chance(0.05);
	return { op => 'ahead', s => $s, salt => ++$case->{salts} } if chance(0.02);
	return insert($case, $s);
}

# What the reader s does: it stays open while others write.
sub reading
{
	my ($case, $s) = @_;
	my $view = number(1, $case->{nviews});
	my $kind = pick('cursor', 'snapshot', 'snapshot', 'latest', 'peek', 'peek');

	return { op => 'peek' } if $kind eq 'peek';
	return { op => 'latest', s => $s, view => $view } if $kind eq 'latest';
	return ({ op => $kind, s => $s, view => $view, begun => chance(0.5) ? 1 : 0 }, { op => "${kind}_check", s => $s });
}

# What happens to the server, the stream and the views, by weight.
my @events = (
	flush => 5, vacuum => 5, checkpoint => 1, terminate => 3, kill_at => 7, crash_at => 3, fault => 4, kill => 3, pause => 3, restart => 0.4, together => 4,
	drop_view => 1.5, create_view => 5, attach => 6, add_column => 2, create_index => 1.5, emit => 1.5, delay => 1.5);

sub event
{
	my $case = shift;
	my ($sum, $op) = (0);

	for (my $i = 1; $i < @events; $i += 2) { $sum += $events[$i]; }
	my $at = rand $sum;
	for (my $i = 0; $i < @events && $at >= 0; $i += 2) { $op = $events[$i]; $at -= $events[ $i + 1 ]; }
	if ($op eq 'kill' && chance(0.5))
	{
		# What two commits in a row have written is needed at once.
		my @again = map { { op => 'insert', s => 'c', %{ rows($case) }, back => 0, step => $case->{unit} / 100000 } } 1 .. 3;
		$_->{from} = $case->{clock} for @again;
		return ((map { ($_, { op => 'flush' }) } @again), { op => 'kill' });
	}
	my $step = { op => $op };
	if ($op eq 'together') { $step->{parts} = [ map { { s => "w$_", %{ rows($case) } } } some(2, 3, 1, 2, 3) ]; }
	elsif ($op eq 'vacuum') { $step->{how} = pick('VACUUM', 'VACUUM (FREEZE)', 'VACUUM (FREEZE, DISABLE_PAGE_SKIPPING)', 'VACUUM ANALYZE', 'ANALYZE'); }
	elsif ($op eq 'crash_at') { $step = { %$step, s => 'c', point => pick(@fault_points), %{ rows($case) } }; }
	elsif ($op eq 'kill_at') { $step = { %$step, s => 'c', exit => chance(0.5) ? 1 : 0, point => pick(@fault_points), %{ rows($case) } }; }
	elsif ($op eq 'fault') { $step = { %$step, s => 'c', point => pick(@fault_points), %{ rows($case) } }; }
	elsif ($op eq 'restart') { $step->{how} = pick('fast', 'immediate'); }
	elsif ($op eq 'delay') { $step->{delay} = $case->{unit} * pick(0, 0.5, 2); }
	elsif ($op =~ /view|emit|pause/) { $step->{view} = number(1, $case->{nviews}); $step->{settle} = chance(0.5) ? 1 : 0; }
	return $step;
}

# A part of a history: what each session does, in some order between sessions.
sub history
{
	my ($case, $most) = @_;
	my %todo;

	for (1 .. number(1, $most))
	{
		my $who = pick('w1', 'w1', 'w2', 'w2', 'w3', 'r1', 'r2', 'c', 'c', 'c');
		push @{ $todo{$who} }, $who =~ /^w/ ? writing($case, $who) : $who =~ /^r/ ? reading($case, $who) : event($case);
	}
	my (@steps, $last);
	while (my @who = sort keys %todo)
	{
		my $who = defined $last && $todo{$last} && chance(0.3) ? $last : pick(@who);
		push @steps, shift @{ $todo{$who} };
		delete $todo{$who} unless @{ $todo{$who} };
		$last = $who;
	}
	return @steps;
}

# ---- reads: questions put to the view and to its query, which must have the same answer ----

sub make_read
{
	my $case = shift;
	my $view = pick(@{ $case->{views} });
	my $other = pick(@{ $case->{views} });
	my $at = sprintf('%.6f', $case->{unit} * number(-2, 40));
	my $moment = "moment($at)";
	my $i = @{ $view->{keys} } ? number(1, scalar @{ $view->{keys} }) : 0;
	my ($column) = $i ? grep { $view->{keys}[ $i - 1 ] eq $_ } keys %columns : ();
	my @forms = (
		"SELECT * FROM {1} v WHERE ws >= $moment", "SELECT * FROM {1} v WHERE ws = $moment", "SELECT * FROM {1} v WHERE ws < $moment",
		'SELECT ws FROM {1} v ORDER BY ws LIMIT 5', 'SELECT ws FROM {1} v ORDER BY ws DESC LIMIT 3', 'SELECT max(ws), count(*) FROM {1} v',
		'SELECT v.ws, o.ws AS o FROM {1} v JOIN {2} o USING (ws)', 'SELECT * FROM {1} v WHERE ws IN (SELECT ws FROM {2} o)',
		'SELECT * FROM {1} v WHERE NOT EXISTS (SELECT FROM {2} o WHERE o.ws = v.ws)', 'SELECT v.ws, n FROM (SELECT ws FROM {1} w ORDER BY ws LIMIT 2) v, LATERAL (SELECT count(*) AS n FROM {2} o WHERE o.ws <= v.ws) o',
		'SELECT DISTINCT ws FROM {1} v UNION ALL SELECT ws FROM {2} o', 'SELECT ws, row_number() OVER (ORDER BY ws) FROM (SELECT DISTINCT ws FROM {1} v) d');
	push @forms, 'SELECT sum(n) FROM {1} v', 'SELECT ws, sum(n) AS n FROM {1} v GROUP BY ws' if $view->{counts};
	if ($i)
	{
		push @forms, "SELECT * FROM {1} v WHERE k$i IS NULL", "SELECT k$i, count(*) FROM {1} v GROUP BY k$i", "SELECT DISTINCT k$i FROM {1} v";
		push @forms, "SELECT * FROM {1} v WHERE k$i IN (SELECT k$i FROM {1} o WHERE ws < $moment)";
	}
	if ($column)
	{
		my $literal = pick(@{ $columns{$column}{literals} });
		push @forms, ("SELECT * FROM {1} v WHERE k$i = $literal") x 4, ("SELECT * FROM {1} v WHERE k$i = $literal AND ws >= $moment") x 2;
		push @forms, "SELECT * FROM {1} v WHERE k$i IS NOT DISTINCT FROM $literal";
	}
	return { view => $view->{name}, other => $other->{name}, sql => pick(@forms) };
}

# ---- the case ----

# Hours before clocks go forward in Europe, back in Europe and New York, forward in New York; before a leap day ends.
my @moments = ('2004-03-27 20:00', '2004-10-30 20:00', '2004-04-04 02:00', '2004-02-29 20:00');

sub make_case
{
	my $seed = shift;

	seed($seed);
	my $window = pick(@windows);
	my $case = { seed => $seed, unit => $window->[1], window => $window, zone => pick(@zones), from => $moments[ int($seed / 2) % @moments ], clock => 0, salts => 0 };
	$case->{time} = chance(0.85) ? 'timestamptz' : 'timestamp';
	$case->{window} = [ q{'1 day'}, 86400 ] if $case->{time} eq 'timestamp' && $window->[0] =~ /timezone/;
	$case->{columns} = [ sort { $a cmp $b } some(2, 6, grep { $_ ne 'extra' } sort keys %columns) ];
	$case->{wide} = chance(0.3) ? pick(300, 1900) : 0;
	$case->{partitions} = chance(0.25) ? 1 : 0;
	$case->{constraint} = chance(0.1) ? 1 : 0;
	$case->{delay} = $case->{unit} * pick(0, 0, 0.3, 1, 3, 100);
	$case->{disorder} = pick(0, $case->{delay}, $case->{delay} * 0.5, $case->{delay} + $case->{unit} * 2, $case->{unit} * 4);
	$case->{lockstep} = chance(0.25) ? 1 : 0;
	$case->{tick_pages} = pick(0, 0, 0, 1, 3);
	$case->{lag_pages} = pick(0, 1, 1, 2);
	$case->{sweep} = chance(0.5) ? 1 : 0;
	$case->{spill} = $case->{seed} % 2;
	$case->{generic} = chance(0.3) ? 1 : 0;
	$case->{nviews} = pick(1, 1, 2, 2, 3);
	$case->{views} = [ map { make_view($case, "v$_", @{ $case->{columns} }, $_ == $case->{nviews} && $_ > 1 ? ('extra') : ()) } 1 .. $case->{nviews} ];
	$case->{reads} = [ map { make_read($case) } 1 .. 4 ];

	my @steps;
	push @steps, grep { $_->{op} !~ /view|emit/ } history($case, 5) if chance(0.6);
	push @steps, { op => 'create_view', view => 1, settle => chance(0.5) ? 1 : 0 };
	push @steps, { op => 'create_view', view => 2, settle => 0 } if $case->{nviews} > 1 && chance(0.5);
	# A transaction that is open all the time keeps everything undecided that it wrote.
	push @steps, { op => 'begin', s => 'w3' }, insert($case, 'w3') if chance(0.3);
	for (1 .. number(1, 3))
	{
		push @steps, history($case, 8);
		push @steps, { op => 'check', verify => chance(0.25) ? 1 : 0 };
	}
	push @steps, map { { op => 'end', s => $_, commit => 1 } } 'w1', 'w2', 'w3';
	push @steps, { op => 'check', last => 1, verify => chance(0.4) ? 1 : 0 };
	$case->{steps} = \@steps;
	return $case;
}

1;
