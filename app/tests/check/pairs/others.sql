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

-- pair: domain over domain
-- alone
CREATE DOMAIN d1 AS int;
CREATE DOMAIN d2 AS d1;
CREATE TABLE a (x d2);
-- step
ALTER DOMAIN d1 ADD CHECK (VALUE < 5);
-- query: 9
INSERT INTO a VALUES ($1)

-- pair: domain in composite
-- alone
CREATE DOMAIN d1 AS int;
CREATE TYPE p AS (x d1);
CREATE TABLE a (v p);
-- step
ALTER DOMAIN d1 ADD CHECK (VALUE < 5) NOT VALID;
-- query: 9
INSERT INTO a VALUES (ROW($1)::p)

-- pair: text in return table
-- alone
CREATE TABLE a (s varchar(12));
CREATE FUNCTION f() RETURNS TABLE (t varchar) LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT s FROM a; END $$;
-- rows
INSERT INTO a VALUES ('x');
-- step
ALTER TABLE a ALTER s TYPE text;
-- query
SELECT t FROM f()

-- pair: update only brackets
-- step
ALTER TABLE a ADD CHECK (k < 5);
-- query
UPDATE ONLY (a) SET k = 9

-- pair: cte update key
-- step
CREATE TABLE d (a_id int REFERENCES a ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES (1);
-- query
WITH x AS (UPDATE a SET id = id + 100 RETURNING id) SELECT count(*) FROM x

-- pair: view update key
CREATE VIEW v AS SELECT id FROM a;
-- step
CREATE TABLE d (a_id int REFERENCES a ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES (1);
-- query
UPDATE v SET id = id + 100

-- pair: function deletes
CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM a';
-- step
CREATE TABLE d (a_id int REFERENCES a);
-- newer
INSERT INTO d VALUES (1);
-- query
SELECT f()

-- pair: constraint trigger
-- step
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE CONSTRAINT TRIGGER no AFTER UPDATE ON a DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no();
-- query
UPDATE a SET k = 2

-- pair: function to overload gone
-- alone
CREATE FUNCTION f(x int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION f(x bigint) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
-- step
DROP FUNCTION f(int);
-- query
SELECT f(1)

-- pair: cascade rule instead
-- step
CREATE TABLE d (a_id int REFERENCES a ON DELETE CASCADE);
CREATE RULE r AS ON DELETE TO d DO INSTEAD NOTHING;
-- newer
INSERT INTO d VALUES (1);
-- query
DELETE FROM a

-- pair: cascade into referenced by old
CREATE TABLE b (id int PRIMARY KEY, a_id int);
CREATE TABLE cc (b_id int REFERENCES b);
-- rows
INSERT INTO b VALUES (1,1);
INSERT INTO cc VALUES (1);
-- step
ALTER TABLE b ADD FOREIGN KEY (a_id) REFERENCES a ON DELETE CASCADE;
-- query
DELETE FROM a

-- pair: self reference
-- step
ALTER TABLE a ADD COLUMN parent int REFERENCES a;
-- newer
UPDATE a SET parent = 1 WHERE id = 2;
-- query: 1
DELETE FROM a WHERE id = $1

-- pair: copy list not null
-- alone
CREATE TABLE a (x int, y int);
-- step
ALTER TABLE a ALTER y SET NOT NULL;
-- query
INSERT INTO a (x) VALUES (1)

-- pair: mv dependent function
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE MATERIALIZED VIEW mv AS SELECT f(k) AS x FROM a;
-- step
CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
-- query
REFRESH MATERIALIZED VIEW mv

-- pair: nested function table gone
CREATE TABLE l (x int);
CREATE FUNCTION g() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO l VALUES (1); END $$;
CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM g(); END $$;
-- step
DROP TABLE l;
-- query
SELECT f()

-- pair: dynamic body
CREATE FUNCTION f(t text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'UPDATE ' || t || ' SET k = 9'; END $$;
-- step
ALTER TABLE a ADD CHECK (k < 5);
-- query
SELECT f('a')

-- pair: enum in function literal
CREATE TYPE mood AS ENUM ('sad','ok');
CREATE FUNCTION f() RETURNS mood LANGUAGE plpgsql AS $$ BEGIN RETURN 'sad'; END $$;
-- step
ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';
-- query
SELECT f()

-- pair: composite attr gone body
-- alone
CREATE TYPE p AS (x int, y int);
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ DECLARE v p; BEGIN v.y := 1; RETURN v.y; END $$;
-- step
ALTER TYPE p DROP ATTRIBUTE y;
-- query
SELECT f()

-- pair: inherits new parent
CREATE TABLE p (id int, k int, CHECK (k > 0));
-- step
CREATE TABLE a2 () INHERITS (a);
ALTER TABLE a2 ALTER k SET NOT NULL;
-- newer
INSERT INTO a2 VALUES (5,1);
-- query
UPDATE a SET k = NULL

-- pair: instead trigger gone
CREATE VIEW v AS SELECT DISTINCT id, k FROM a;
CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER tg INSTEAD OF UPDATE ON v FOR EACH ROW EXECUTE FUNCTION tg();
-- step
DROP TRIGGER tg ON v;
-- query
UPDATE v SET k = 1

-- pair: names in quotes
-- alone
CREATE TABLE "Users" (id int, "K" int);
-- step
ALTER TABLE "Users" ADD CHECK ("K" < 5);
-- query: 9
INSERT INTO "Users" (id, "K") VALUES (1, $1)

-- pair: names with their schema
-- alone
CREATE SCHEMA app;
CREATE TABLE app.t (id int PRIMARY KEY, k int);
-- rows
INSERT INTO app.t VALUES (1,1);
-- step
CREATE TABLE app.d (t int REFERENCES app.t ON DELETE CASCADE);
-- newer
INSERT INTO app.d VALUES (1);
-- query
UPDATE app.t SET id = id + 1

-- pair: quoted fk
-- alone
CREATE TABLE "T a" ("I d" int PRIMARY KEY, k int);
-- rows
INSERT INTO "T a" VALUES (1,1);
-- step
CREATE TABLE d (t int REFERENCES "T a" ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES (1);
-- query
UPDATE "T a" SET "I d" = 5

-- pair: new unique column with a default
-- step
ALTER TABLE a ADD COLUMN z int UNIQUE;
ALTER TABLE a ALTER z SET DEFAULT 1;
-- query
INSERT INTO a (id) VALUES (9),(10)

-- pair: json agg column
-- step
ALTER TABLE a ADD COLUMN z json;
-- query
SELECT DISTINCT a FROM a

-- pair: group by whole row
-- step
ALTER TABLE a ADD COLUMN z point;
-- query
SELECT count(*) FROM a GROUP BY a

-- pair: order by whole row
-- step
ALTER TABLE a ADD COLUMN z xid;
-- query
SELECT id FROM a ORDER BY a
