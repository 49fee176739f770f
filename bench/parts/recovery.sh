# A million open groups: their size in memory and on disk; then kill -9, and how long until the view is right again.
groups=$(often 1000000 100000)
sql -c 'CREATE EXTENSION streamfuse'
events_table stream '1 hour'
events_view board '1 day' user_id
sql -o /dev/null <<-SQL
	INSERT INTO events SELECT timestamptz '2026-01-01 12:00+00', i, 1, 1, i % 100, 'a user' FROM generate_series(1, $groups) i;
	SELECT streamfuse.flush('board');
SQL
result space.memory bytes/group "$(sql -c "SELECT round(bytes::numeric / groups, 1) FROM streamfuse.stat_views")"

# Until its checkpoint is durable the groups would be counted again from the stream.
until [ "$(sql -c 'SELECT coalesce(sum(rows_in), 0) FROM streamfuse.progress')" = "$groups" ]; do
	sleep 0.2
done
result space.checkpoint bytes/group "$(sql -c "SELECT round(sum(pg_column_size(payload))::numeric / $groups, 1) FROM streamfuse.state")"

recovered() { sql -c "SELECT streamfuse.flush('board')"; }
seconds=()
for i in $(seq "$(often 3 1)"); do
	sql -c CHECKPOINT
	server_kill
	server_restart
	seconds+=("$(seconds_of recovered)")
	[ "$(sql -c 'SELECT count(*) FROM board')" = "$groups" ] || die "groups are missing after a crash"
done
result recovery.million_groups s "${seconds[@]}"
