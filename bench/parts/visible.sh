# How long after COMMIT's return another connection's look-up shows the row.
sql -c 'CREATE EXTENSION streamfuse'
events_table stream '2 minutes'
events_view board '1 minute' category
for kind in idle batches singles; do
	client visible $kind "$(often 20 5)"
done
