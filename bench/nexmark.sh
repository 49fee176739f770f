# nexmark.sh: what bench/nexmark does for one query.  To be sourced after lib.sh.
#
# A query's file begins with what it asks, in a comment, and says what the harness must know:
#
#   -- windows: START[, END]   the columns of its windows: those in streamfuse.dirty_windows are left out of a comparison
#   -- windows: sessions       its windows are sessions, window_start and window_end: those that meet a dirty one are left out
#   -- compare: hash           its result is wide: sums of the rows' hashes are compared, in any order, not the rows
#   -- events: N               no more events than these: a batch takes too long
#   -- time: arrived           the watermark is on a column that says when a row came

nexmark_query() { sed '/^--/d' "$SF_WORK/src/bench/queries/$query.sql"; }
nexmark_says() { sed -n "s/^-- $1: //p" "$SF_WORK/src/bench/queries/$query.sql"; }

# ---- the generator ----

# The same numbers give the same rows, whatever the parts they are made in, and these rows.
generator_check()
{
	local table whole parts g

	for table in person auction bid; do
		for g in 1 7000; do
			whole=$(client nexmark rows "$table" 0 20000 $g "$rate" | md5sum)
			parts=$({
				client nexmark rows "$table" 0 1 $g "$rate"
				client nexmark rows "$table" 1 12344 $g "$rate"
				client nexmark rows "$table" 12345 7655 $g "$rate"
			} | md5sum)
			[ "$whole" = "$parts" ] || die "rows of $table depend on the parts they are made in"
			grep -qx "$table $g ${whole%% *}" "$SF_WORK/src/bench/queries/generator.md5" ||
				die "rows of $table in groups of $g are not those they used to be: $whole"
		done
	done
	say 'the same numbers give the same rows'
}

# ---- streams and the view ----

nexmark_tables()
{
	local time=date_time arrived=''

	if [ "$(nexmark_says time)" = arrived ]; then
		time=arrived arrived=', arrived timestamptz NOT NULL DEFAULT clock_timestamp()'
	fi
	sql -o /dev/null <<-SQL
		CREATE TABLE person (id bigint, name text, email_address text, credit_card text, city text, state text,
			date_time timestamptz NOT NULL, extra text) USING stream;
		CREATE TABLE auction (id bigint, item_name text, description text, initial_bid bigint, reserve bigint,
			date_time timestamptz NOT NULL, expires timestamptz, seller bigint, category bigint, extra text) USING stream;
		CREATE TABLE bid (auction bigint, bidder bigint, price bigint, channel text, url text,
			date_time timestamptz NOT NULL, extra text$arrived) USING stream;
		SELECT streamfuse.set_watermark('person', 'date_time', delay => '4 s');
		SELECT streamfuse.set_watermark('auction', 'date_time', delay => '4 s');
		SELECT streamfuse.set_watermark('bid', '$time', delay => '4 s');
		CREATE FUNCTION count_char(text, text) RETURNS int LANGUAGE sql IMMUTABLE
			AS 'SELECT length(\$1) - length(replace(\$1, \$2, ''''))';
	SQL
}

view_create()
{
	sql -c 'SET client_min_messages = warning' \
		-c "CREATE MATERIALIZED VIEW answer WITH (streamfuse.continuous) AS $(nexmark_query)"
}

# ---- the law ----

# Of a row r of the view, or of the batch: does its window count?
law_condition()
{
	local windows
	windows=$(nexmark_says windows)

	case $windows in
		'') echo true ;;
		sessions)
			echo "NOT EXISTS (SELECT FROM streamfuse.dirty_windows d WHERE d.view = 'answer'::regclass" \
				"AND d.window_start < r.window_end AND d.window_end > r.window_start)" ;;
		*,*)
			echo "(r.${windows%%, *}, r.${windows##*, }) NOT IN" \
				"(SELECT window_start, window_end FROM streamfuse.dirty_windows WHERE view = 'answer'::regclass)" ;;
		*)
			echo "r.$windows NOT IN (SELECT window_start FROM streamfuse.dirty_windows WHERE view = 'answer'::regclass)" ;;
	esac
}

# Rows of the view and of the batch, how many of the batch's were compared, and how many differ; when hashes are compared,
# that is 0 or 1.
law_statement()
{
	local condition differing
	condition=$(law_condition)

	if [ "$(nexmark_says compare)" = hash ]; then
		differing="SELECT (s.rows, s.hash) IS DISTINCT FROM (b.rows, b.hash)
			FROM (SELECT count(*) AS rows, sum(hash_record_extended(stream, 0)) AS hash FROM stream) s,
			     (SELECT count(*) AS rows, sum(hash_record_extended(batch, 0)) AS hash FROM batch) b"
		differing="($differing)::int"
	else
		differing="(SELECT count(*) FROM (TABLE stream EXCEPT ALL TABLE batch) x)
			+ (SELECT count(*) FROM (TABLE batch EXCEPT ALL TABLE stream) x)"
	fi
	cat <<-SQL
		WITH whole AS MATERIALIZED ($(nexmark_query)),
		     batch AS NOT MATERIALIZED (SELECT * FROM whole r WHERE $condition),
		     stream AS MATERIALIZED (SELECT * FROM answer r WHERE $condition)
		SELECT (SELECT count(*) FROM answer), (SELECT count(*) FROM whole), (SELECT count(*) FROM batch), $differing
	SQL
}

# compare WHEN: ends the query's run where the view is not what its query gives, or is not read as a view.
compare()
{
	local plan rows in_view in_batch kept differing
	plan=$(sql -c 'EXPLAIN (FORMAT JSON) SELECT * FROM answer')

	# That would be the query, run as a batch.
	if grep -qE '"Relation Name": "(bid|auction|person)"' <<<"$plan"; then
		say "$1: a read scans a stream"
		return 1
	fi
	rows=$(sql -F ' ' -c "$(law_statement)")
	read -r in_view in_batch kept differing <<<"$rows"
	echo "$in_batch $kept" >>"$checks"
	[ "$differing" = 0 ] || {
		say "$1: view and batch differ ($in_view rows in the view, $in_batch in the batch, $kept compared, $differing differing)"
		return 1
	}
}

# ---- one query ----

# Numbers of events after which view and batch are compared.
stops()
{
	local stop

	for ((stop = 50000; stop < limit; stop += stop < 500000 ? 50000 : 500000)); do
		echo $stop
	done
	echo "$limit"
}

wal_now()
{
	sql -o /dev/null -c 'BEGIN; SET LOCAL synchronous_commit = on; SELECT txid_current(); COMMIT'
	sql -c 'SELECT pg_current_wal_flush_lsn()'
}

# Bytes of WAL from one position to another about the extension's own tables.
state_wal()
{
	local relations
	relations=$(sql -c "
		WITH t AS (SELECT unnest(ARRAY[oid, nullif(reltoastrelid, 0)]) AS oid FROM pg_class
		           WHERE relnamespace = 'streamfuse'::regnamespace AND relkind = 'r')
		SELECT 'rel [0-9]+/' || (SELECT oid FROM pg_database WHERE datname = current_database()) || '/('
		       || string_agg(pg_relation_filenode(r)::text, '|') || ')[ ,]'
		FROM (SELECT oid FROM t UNION SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM t)) a(r)
		WHERE r IS NOT NULL")

	pg_waldump -p "$PGDATA/pg_wal" -s "$1" -e "$2" | awk -v relations="$relations" '
		$0 ~ relations { sub(/.*len \(rec\/tot\): *[0-9]+\/ */, ""); bytes += $1 }
		END { printf "%d\n", bytes }'
}

# The events by parts; after each the answers are compared, which is not in the time.
load_compared()
{
	local loaded=0 stop took seconds=0 bytes most=0 begin end bids missed

	sql -c CHECKPOINT
	begin=$(wal_now)
	for stop in $(stops); do
		took=$(client nexmark load "$PGDATABASE" $loaded $((stop - loaded)) "$g" "$rate" "$transaction")
		seconds=$(calculate "$seconds + $took")
		loaded=$stop
		bytes=$(sql -c "SELECT bytes FROM streamfuse.stat_views WHERE view = 'answer'::regclass")
		most=$((bytes > most ? bytes : most))
		compare "after $stop events"
	done
	sql -o /dev/null -c 'SELECT streamfuse.checkpoint()'
	end=$(wal_now)
	bids=$(sql -c 'SELECT count(*) FROM bid')
	missed=$(sql -c "SELECT rows_missed FROM streamfuse.stat_views WHERE view = 'answer'::regclass")
	bytes=$(state_wal "$begin" "$end")
	result "$name.end_to_end" events/s "$(calculate "$limit / $seconds")"
	result "$name.state" bytes "$most"
	result "$name.checkpoint" bytes/row "$(calculate "$bytes / $bids")"
	result "$name.missed" '' "$(calculate "$missed / $bids")"
}

batch_once() { sql -c "EXPLAIN (ANALYZE, TIMING OFF) $(nexmark_query)"; }
view_once()
{
	view_create
	sql -c "SELECT streamfuse.flush('answer')"
}
view_drop() { sql -c 'SET client_min_messages = warning' -c 'DROP MATERIALIZED VIEW answer'; }

# A new view works in the full table, and the batch, by turns; once, where a batch takes minutes.
catch_up()
{
	local i bids took batch=() view=() ratio=() begin=$EPOCHSECONDS

	view_drop
	sql -c 'VACUUM (FREEZE OFF, ANALYZE) bid' -c 'CHECKPOINT'
	bids=$(sql -c 'SELECT count(*) FROM bid')
	for i in $(seq "$(often 3 1)"); do
		[ "$i" = 1 ] || view_drop
		took=$(seconds_of batch_once)
		batch+=("$(calculate "$bids / $took")")
		took=$(seconds_of view_once)
		view+=("$(calculate "$bids / $took")")
		ratio+=("$(calculate "${view[-1]} / ${batch[-1]}")")
		[ $((EPOCHSECONDS - begin)) -lt 60 ] || break
	done
	result "$name.catch_up" rows/s "${view[@]}"
	result "$name.batch" rows/s "${batch[@]}"
	result "$name.view_to_batch" x "${ratio[@]}"
	compare 'after a catch-up'
	awk '{ rows += $2 } END { exit rows == 0 }' "$checks" || { say 'no rows were compared'; return 1; }
}

# An error ends this query's run and no other's.
query_run()
{
	local name=g$g.$query limit=$events most status=0 log=$SF_WORK/query.log checks=$SF_WORK/checks
	most=$(nexmark_says events)
	if [ -n "$most" ]; then
		most=$((most / $(often 1 25)))
		limit=$((most < limit ? most : limit))
	fi
	: >"$checks"

	database "nexmark_${g}_$query"
	nexmark_tables
	if ! view_create 2>"$log"; then
		answer refused "$(error_text)"
	else
		set +e
		(
			set -e
			load_compared
			catch_up
		) >"$log" 2>&1
		status=$?
		set -e
		[ $status = 0 ] && answer agrees '' || answer failed "$(error_text)"
	fi
	PGDATABASE=postgres sql -c "DROP DATABASE nexmark_${g}_$query WITH (FORCE)"
}

# What the log ends with, less what it says beside the error.
error_text() { grep -vE '^(LINE|HINT|DETAIL|CONTEXT| +\^|$)' "$log" | tail -1 | sed 's/^.*ERROR: *//' | tr '\t' ' '; }

# ---- answers ----

# answer STATUS TEXT: the end of a query's run.  Kept: g, query, status, comparisons, rows compared, share left out, text.
answer()
{
	awk -v OFS='\t' -v g="$g" -v query="$query" -v status="$1" -v text="$2" '
		{ whole += $1; compared += $2 }
		END { print g, query, status, NR, compared + 0, (whole > 0 ? (whole - compared) / whole : 0), text }' "$checks" >>"$answers"
	tail -1 "$answers" | awk -F'\t' '{
		printf "%-4s %s", $2, $3
		if ($7 != "") printf ": %s", $7
		if ($3 == "agrees") printf ", %d comparisons of %d rows", $4, $5
		if ($6 > 0) printf ", %.2f %% in dirty windows left out", 100 * $6
		printf "\n"
	}'
}

answers_table()
{
	awk -F'\t' '
		FILENAME == ARGV[1] { figure[$1] = $3; next }
		FNR == 1 {
			printf "%-7s %-5s %-8s %12s %12s %7s %12s %12s %10s\n", "g", "query", "answers", "catch-up", "batch", "ratio",
				"end to end", "state", "checkpoint"
			printf "%-7s %-5s %-8s %12s %12s %7s %12s %12s %10s\n", "", "", "", "rows/s", "rows/s", "", "events/s", "bytes",
				"bytes/row"
		}
		{
			name = "g" $1 "." $2 "."
			printf "%-7s %-5s %-8s", $1, $2, $3
			if ((name "view_to_batch") in figure)
				printf " %12.0f %12.0f %7.2f %12.0f %12.0f %10.1f", figure[name "catch_up"], figure[name "batch"],
					figure[name "view_to_batch"], figure[name "end_to_end"], figure[name "state"], figure[name "checkpoint"]
			printf "\n"
		}' "$SF_RESULTS" "$answers"
}

# As a member of the JSON's object.
answers_json()
{
	awk -F'\t' '
		function quoted(text) { gsub(/\\/, "\\\\", text); gsub(/"/, "\\\"", text); return "\"" text "\"" }
		BEGIN { printf "  \"answers\": [" }
		{
			printf "%s\n    {\"g\": %s, \"query\": %s, \"answers\": %s, \"comparisons\": %s, \"rows_compared\": %s, \"left_out\": %s, \"error\": %s}",
				(NR > 1 ? "," : ""), $1, quoted($2), quoted($3), $4, $5, $6, ($7 == "" ? "null" : quoted($7))
		}
		END { printf "\n  ],\n" }' "$answers"
}
