# What inserting into a stream costs the inserting backend alone; without views.
sql -c 'CREATE EXTENSION streamfuse'
events_table heap
sql -c 'CREATE TABLE stream_events (LIKE events) USING stream'
client backend events stream_events "$(often 11 2)"
