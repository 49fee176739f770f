-- Constraints hold on a stream.
CREATE TABLE customers (id int PRIMARY KEY, name text) USING heap;
INSERT INTO customers VALUES (1, 'ada'), (2, 'bob'), (3, 'cyd');
CREATE TABLE orders (
  id       int PRIMARY KEY,
  customer int NOT NULL REFERENCES customers,
  amount   int CHECK (amount > 0),
  span     int4range,
  EXCLUDE USING gist (span WITH &&)
) USING stream;
INSERT INTO orders VALUES (1, 1, 10, '[1,5)'), (2, 1, 20, '[5,9)');
INSERT INTO orders VALUES (2, 1, 20, NULL);
INSERT INTO orders VALUES (3, 9, 20, NULL);
INSERT INTO orders VALUES (3, NULL, 20, NULL);
INSERT INTO orders VALUES (3, 1, -1, NULL);
INSERT INTO orders VALUES (3, 1, 30, '[4,6)');

-- ON CONFLICT DO NOTHING leaves out what is there already, from before or from the same statement.
INSERT INTO orders VALUES (2, 1, 99, NULL), (3, 2, 30, '[9,12)'), (3, 2, 31, NULL), (4, 2, 40, '[10,11)')
  ON CONFLICT DO NOTHING RETURNING id;
INSERT INTO orders VALUES (1, 1, 99, NULL), (4, 2, 40, '[12,14)') ON CONFLICT (id) DO NOTHING;
SELECT id, customer, amount FROM orders ORDER BY id;

-- A row that is referred to is locked, not changed; what the reference forbids is forbidden.
DELETE FROM customers WHERE id = 1;
DELETE FROM customers WHERE id = 3;
UPDATE customers SET id = 7 WHERE id = 2;
UPDATE customers SET name = 'eve' WHERE id = 2;

-- References to a stream.
CREATE TABLE payments (order_id int REFERENCES orders, paid int) USING stream;
INSERT INTO payments VALUES (1, 10), (1, 5), (4, 40);
INSERT INTO payments VALUES (99, 1);
CREATE TABLE notes (order_id int REFERENCES orders, note text) USING heap;
INSERT INTO notes VALUES (1, 'fragile');
DELETE FROM notes;

-- Actions that would change rows of a stream raise its error.
CREATE TABLE shops (id int PRIMARY KEY) USING heap;
INSERT INTO shops VALUES (1), (2);
CREATE TABLE visits (shop int REFERENCES shops ON DELETE CASCADE ON UPDATE CASCADE) USING stream;
INSERT INTO visits VALUES (1);
DELETE FROM shops WHERE id = 1;
UPDATE shops SET id = 3 WHERE id = 1;
DELETE FROM shops WHERE id = 2;

-- Deferred constraints are checked at commit.
CREATE TABLE numbered (id int PRIMARY KEY, parent int REFERENCES numbered DEFERRABLE INITIALLY DEFERRED,
  rank int UNIQUE DEFERRABLE INITIALLY DEFERRED) USING stream;
BEGIN;
INSERT INTO numbered VALUES (1, 2, 1);
INSERT INTO numbered VALUES (2, NULL, 2);
COMMIT;
BEGIN;
INSERT INTO numbered VALUES (3, 4, 3);
COMMIT;
BEGIN;
INSERT INTO numbered VALUES (3, 1, 1);
COMMIT;
BEGIN;
SAVEPOINT s;
INSERT INTO numbered VALUES (3, 1, 1);
ROLLBACK TO s;
INSERT INTO numbered VALUES (3, 2, 3);
COMMIT;
SELECT * FROM numbered ORDER BY id;

-- Constraints added later are checked against the rows there are.
ALTER TABLE payments ADD CHECK (paid < 40);
ALTER TABLE payments ADD CHECK (paid <= 40);
ALTER TABLE payments ALTER paid SET NOT NULL;
ALTER TABLE payments ADD UNIQUE (order_id);
ALTER TABLE payments ADD UNIQUE (order_id, paid);

-- Unique keys of partitions.
CREATE TABLE events (day int, id int, PRIMARY KEY (day, id)) PARTITION BY LIST (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1) USING stream;
CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2) USING stream;
INSERT INTO events VALUES (1, 1), (2, 1), (1, 1), (2, 2) ON CONFLICT DO NOTHING;
INSERT INTO events VALUES (2, 2);
SELECT * FROM events ORDER BY day, id;

DROP TABLE payments, notes, orders, customers, visits, shops, numbered, events;
