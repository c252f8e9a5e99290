-- pair: insert populate record
-- step
ALTER TABLE a ADD COLUMN u int NOT NULL DEFAULT 0;
-- query: '{"id": 9}'
INSERT INTO a SELECT * FROM jsonb_populate_record(NULL::a, $1)

-- pair: insert select star
CREATE TABLE b (id int, k int, s text, active boolean, n int CHECK (n < 5));
-- step
ALTER TABLE a ADD COLUMN n int DEFAULT 9;
-- query
INSERT INTO b SELECT * FROM a

-- pair: matview unpopulated
CREATE MATERIALIZED VIEW mv AS SELECT k FROM a;
-- step
DROP MATERIALIZED VIEW mv;
CREATE MATERIALIZED VIEW mv AS SELECT k FROM a WITH NO DATA;
-- query
SELECT k FROM mv

-- pair: matview refreshed no data
CREATE MATERIALIZED VIEW mv AS SELECT k FROM a;
-- step
REFRESH MATERIALIZED VIEW mv WITH NO DATA;
-- query
SELECT k FROM mv

-- pair: create table taken
-- step
CREATE TABLE staging (id int);
-- query
CREATE TABLE staging (id int)

-- pair: set constraints gone
CREATE TABLE b (a_id int CONSTRAINT fk1 REFERENCES a DEFERRABLE);
-- step
ALTER TABLE b RENAME CONSTRAINT fk1 TO fk2;
-- query
SET CONSTRAINTS fk1 DEFERRED

-- pair: enum renamed
-- alone
CREATE TYPE mood AS ENUM ('sad','ok');
CREATE TABLE a (m mood);
-- step
ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';
-- query
INSERT INTO a VALUES ('sad')

-- pair: natural join new
CREATE TABLE b (id int, x int);
-- step
ALTER TABLE b ADD COLUMN s int;
-- query
SELECT * FROM a NATURAL JOIN b

-- pair: text search config gone
-- alone
CREATE TEXT SEARCH CONFIGURATION tc (COPY = simple);
CREATE TABLE a (s text);
-- rows
INSERT INTO a VALUES ('x');
-- step
DROP TEXT SEARCH CONFIGURATION tc;
-- query: 'tc'
SELECT to_tsvector($1::text::regconfig, s) FROM a

-- pair: whole row compare
-- step
ALTER TABLE a ADD COLUMN z int;
-- query
SELECT id FROM a WHERE a = ROW(1,1,'one'::text,false)

-- pair: json whole row cast
-- step
ALTER TABLE a ADD COLUMN z int NOT NULL DEFAULT 1;
-- query
INSERT INTO a SELECT (x).* FROM (SELECT jsonb_populate_record(NULL::a, '{"id":9}') AS x) q

-- pair: composite column new attribute
-- alone
CREATE TYPE pt AS (x int, y int);
CREATE TABLE a (p pt);
-- step
ALTER TYPE pt ADD ATTRIBUTE z int;
-- query: 1, 2
INSERT INTO a VALUES (ROW($1,$2))

-- pair: type of array elem
-- alone
CREATE TABLE a (t varchar(10)[]);
-- step
ALTER TABLE a ALTER t TYPE varchar(2)[];
-- query
INSERT INTO a VALUES (ARRAY['long one'])

-- pair: update from default partition route
-- alone
CREATE TABLE m (id int PRIMARY KEY, k int);
CREATE VIEW v AS SELECT * FROM m;
-- step
CREATE OR REPLACE VIEW v AS SELECT id, k FROM m WHERE k < 5 WITH LOCAL CHECK OPTION;
-- query: 9
INSERT INTO v (id,k) VALUES (1,$1)
