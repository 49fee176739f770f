-- A channel's bids of the day up to each hour.
-- windows: window_start, window_end
SELECT window_start, window_end, channel, count(*) AS bids, sum(price) AS total, max(price) AS highest
FROM bid, cumulate(date_time, '24 hours', '1 hour')
GROUP BY window_start, window_end, channel
