-- Bids of each bidder, of all time.
SELECT bidder, count(*) AS bids, sum(price) AS total, max(price) AS highest, max(date_time) AS newest
FROM bid
GROUP BY bidder
