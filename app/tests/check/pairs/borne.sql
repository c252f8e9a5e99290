-- pair: rows that go with those they point at
-- step
CREATE TABLE d (id int PRIMARY KEY, a_id int UNIQUE REFERENCES a ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES (1, 1);
-- query: 1
DELETE FROM a WHERE id = $1

-- pair: keys that follow
-- step
CREATE TABLE d (a_id int NOT NULL REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE, x int CHECK (x > 0));
-- newer
INSERT INTO d VALUES (1, 1);
-- query
UPDATE a SET id = id + 100

-- pair: a new table that nothing is taken away from
-- step
CREATE TABLE d (a_id int REFERENCES a);
-- newer
INSERT INTO d VALUES (1);
-- query: 'x'
UPDATE a SET s = $1

-- pair: a key that goes to NULL
-- step
CREATE TABLE d (a_id int REFERENCES a ON DELETE SET NULL, x int);
-- newer
INSERT INTO d VALUES (1, 1);
-- query
DELETE FROM a

-- pair: a chain that goes as a whole
-- step
CREATE TABLE d (id int PRIMARY KEY REFERENCES a ON DELETE CASCADE);
CREATE TABLE e (d_id int REFERENCES d ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES (1);
INSERT INTO e VALUES (1);
-- query
DELETE FROM a

-- pair: a partial unique index that an update leaves alone
-- step
CREATE UNIQUE INDEX ON a (k) WHERE active;
-- query: 'x'
UPDATE a SET s = $1

-- pair: a unique index on a new column, where something else is true
-- step
ALTER TABLE a ADD COLUMN code text;
CREATE UNIQUE INDEX ON a (code) WHERE active;
-- query: 9
INSERT INTO a (id, active) VALUES ($1, true)

-- pair: another default that fits
-- step
ALTER TABLE a ALTER s SET DEFAULT 'x';
-- query: 9
INSERT INTO a (id) VALUES ($1)

-- pair: a new column that fills itself
-- step
ALTER TABLE a ADD COLUMN at timestamptz NOT NULL DEFAULT now();
ALTER TABLE a ADD COLUMN ref uuid DEFAULT gen_random_uuid();
-- query: 9
INSERT INTO a (id) VALUES ($1)

-- pair: a renamed table with a view in its place
-- step
ALTER TABLE a RENAME TO aa;
CREATE VIEW a AS SELECT * FROM aa;
-- query: 9
INSERT INTO a (id) VALUES ($1)

-- pair: one more partition
-- alone
CREATE TABLE m (id int PRIMARY KEY, k int CHECK (k > 0)) PARTITION BY RANGE (id);
CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM (0) TO (100);
-- step
CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM (100) TO (200);
-- query: 5
INSERT INTO m (id, k) VALUES ($1, 1)

-- pair: an index on an expression that takes everything
-- step
CREATE INDEX ON a (lower(s)) WHERE active;
-- query: 'x'
UPDATE a SET s = $1

-- pair: a function that nobody calls
-- step
CREATE FUNCTION total(x int) RETURNS int LANGUAGE sql AS 'SELECT 1';
-- query
SELECT id, k FROM a

-- pair: a published table with a key
-- step
CREATE PUBLICATION p FOR TABLE a;
-- query: 'x'
UPDATE a SET s = $1

-- pair: rows with numbers of their own sequence
-- alone
CREATE TABLE c (id serial PRIMARY KEY, line text);
-- step
INSERT INTO c (line) VALUES ('seed');
-- query: 'x'
INSERT INTO c (line) VALUES ($1)

-- pair: a star in a query that inserts, and one that does not count
-- step
CREATE TABLE d (a_id int);
-- query: 9
INSERT INTO a (id, k) SELECT $1, count(*) FROM a

-- pair: a new table beside one whose rows go with others
CREATE TABLE users (id int PRIMARY KEY);
ALTER TABLE a ADD COLUMN owner int REFERENCES users ON DELETE CASCADE;
-- rows
INSERT INTO users VALUES (1);
UPDATE a SET owner = 1;
-- step
CREATE TABLE d (a_id int NOT NULL REFERENCES a ON DELETE CASCADE, topic text, PRIMARY KEY (a_id, topic));
-- newer
INSERT INTO d VALUES (1, 'x');
-- query
DELETE FROM users

-- pair: a new table beside one whose other column follows
CREATE TABLE users (id int PRIMARY KEY);
ALTER TABLE a ADD COLUMN owner int REFERENCES users ON UPDATE CASCADE;
-- rows
INSERT INTO users VALUES (1);
UPDATE a SET owner = 1;
-- step
CREATE TABLE d (a_id int REFERENCES a);
-- newer
INSERT INTO d VALUES (1);
-- query
UPDATE users SET id = id + 100
