# What views cost those who insert, and the server: heap, heap with the trigger, streams with 0, 1 and 10 views.
databases=(heap trigger views0 views1 views10)

database heap
events_table heap
database trigger
events_table heap
events_trigger category
database views0
events_table stream '20 s'
database views1
events_table stream '20 s'
events_view board '1 minute' category
database views10
events_table stream '20 s'
ten_views

client load tx1000 "$(often 21 3)" 60000 "${databases[@]}"
client load single8 "$(often 7 2)" 16000 "${databases[@]}"
client load copy "$(often 7 2)" "$(often 300000 60000)" "${databases[@]}"

# Several COPYs, each far ahead of another: rows may be that much late.
for name in views1 views10; do
	sql -d $name -c "SELECT streamfuse.set_watermark('events', 'event_time', delay => '10 minutes', max_ahead => 'infinity')"
done >/dev/null
client load copy4 "$(often 7 2)" "$(often 400000 80000)" "${databases[@]}"
verified()
{
	[ "$(sql -d "$1" -c "SELECT count(*) FROM streamfuse.verify('$2')")" = 0 ] || die "$2 of $1 differs from the batch"
}
verified views1 board
verified views10 v5
verified views10 v10
