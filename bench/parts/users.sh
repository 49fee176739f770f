# 40,000 groups in each window of a minute, closed windows written: against heap and against the trigger.
database heap_users
events_table heap
database trigger_users
events_table heap
events_trigger user_id
database view_users
events_table stream
events_view board '1 minute' user_id

# 1.2 million rows, 800,000 groups, are there already: the trigger's table and index grow with history.
SF_RESULTS='' client load copy 1 600000 heap_users trigger_users view_users >/dev/null
# A round is five windows, so that closing one and filling the next go on at the same time, as they do in use.
client load tx1000 "$(often 7 2)" 300000 heap_users trigger_users view_users
[ "$(sql -c "SELECT count(*) FROM streamfuse.verify('board')")" = 0 ] || die "the view's answer differs from the batch"
result tx1000.view_users.rate_to_trigger x "$(awk -F'\t' '
	$1 == "tx1000.view_users.rate" { view = $3 }
	$1 == "tx1000.trigger_users.rate" { trigger = $3 }
	END { printf "%.4g", view / trigger }' "$SF_RESULTS")"
