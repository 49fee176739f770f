# 40,000 groups in each window of a minute, closed windows written: against heap and against the trigger.
database heap_users
events_table heap
database trigger_users
events_table heap
events_trigger user_id
database view_users
events_table stream
events_view board '1 minute' user_id

client load tx1000 "$(often 11 2)" 60000 heap_users trigger_users view_users
[ "$(sql -c "SELECT count(*) FROM streamfuse.verify('board')")" = 0 ] || die "the view's answer differs from the batch"
