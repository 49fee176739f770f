-- The last hour's bids, at every second: each bid is in 3,600 windows.
-- windows: window_start, window_end
-- events: 50000
SELECT window_start, window_end, count(*) AS bids, sum(price) AS total, max(price) AS highest
FROM bid, hop(date_time, '1 hour', '1 second')
GROUP BY window_start, window_end
