-- Bids of each bidder in one session of activity.
-- windows: sessions
SELECT window_start, window_end, bidder, count(*) AS bids
FROM bid, session(date_time, '10 seconds')
GROUP BY window_start, window_end, bidder
