-- Bids with their channel's id; those without one are dropped.
-- compare: hash
SELECT auction, bidder, price, channel,
       CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
            ELSE substring(url FROM '[&?]channel_id=([^&]*)') END AS channel_id
FROM bid
WHERE lower(channel) IN ('apple', 'google', 'facebook', 'baidu')
   OR substring(url FROM '[&?]channel_id=([^&]*)') IS NOT NULL
