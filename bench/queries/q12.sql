-- Bids of each bidder in 10 s of processing time, which is a stored column here, so that a batch gives the same.
-- windows: window_start, window_end
-- time: arrived
SELECT window_start, window_end, bidder, count(*) AS bids
FROM bid, tumble(arrived, '10 seconds')
GROUP BY window_start, window_end, bidder
