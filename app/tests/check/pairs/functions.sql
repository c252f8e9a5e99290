-- pair: overload better match
CREATE FUNCTION f(x bigint) RETURNS int LANGUAGE sql AS 'SELECT 1';
-- step
CREATE FUNCTION f(x int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
-- query
SELECT f(k) FROM a

-- pair: overload ambiguous in body
CREATE FUNCTION f(x int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION g() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN f(1); END $$;
-- step
CREATE FUNCTION f(x int, y int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT 1';
-- query
SELECT g()

-- pair: shadow builtin
-- alone
CREATE TABLE a (id int, s varchar);
-- rows
INSERT INTO a VALUES (1,'x');
-- step
CREATE FUNCTION lower(x varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
-- query
SELECT lower(s) FROM a

-- pair: setof table plpgsql
CREATE FUNCTION f() RETURNS SETOF a LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT id, k, s, active FROM a; END $$;
-- step
ALTER TABLE a ADD COLUMN z int;
-- query
SELECT id FROM f()

-- pair: history trigger new star
CREATE TABLE h (id int, k int, s text, active boolean);
CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO h VALUES (NEW.*); RETURN NEW; END $$;
CREATE TRIGGER tg AFTER UPDATE ON a FOR EACH ROW EXECUTE FUNCTION tg();
-- step
ALTER TABLE a ADD COLUMN z int;
-- query: 'x'
UPDATE a SET s = $1

-- pair: star body column gone
CREATE TABLE h (id int, k int, s text, active boolean);
CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO h VALUES (OLD.*); RETURN NEW; END $$;
CREATE TRIGGER tg AFTER UPDATE ON a FOR EACH ROW EXECUTE FUNCTION tg();
-- step
ALTER TABLE a DROP COLUMN k;
-- query: 'x'
UPDATE a SET s = $1

-- pair: star body return query
CREATE TYPE x4 AS (w int, x int, y text, z boolean);
CREATE FUNCTION f() RETURNS SETOF x4 LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT * FROM a; END $$;
-- step
ALTER TABLE a DROP COLUMN active;
-- query
SELECT w FROM f()

-- pair: body group by pk
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ DECLARE r int; BEGIN SELECT k INTO r FROM a GROUP BY id LIMIT 1; RETURN r; END $$;
-- step
ALTER TABLE a DROP CONSTRAINT a_pkey;
-- query
SELECT f()

-- pair: body on conflict constraint
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO a (id) VALUES (1) ON CONFLICT ON CONSTRAINT a_pkey DO NOTHING; RETURN 1; END $$;
-- step
ALTER TABLE a RENAME CONSTRAINT a_pkey TO a_pk;
-- query
SELECT f()

-- pair: operator function changed
CREATE FUNCTION f(int,int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR === (LEFTARG=int, RIGHTARG=int, FUNCTION=f);
-- step
CREATE OR REPLACE FUNCTION f(int,int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
-- query: 1
SELECT id FROM a WHERE k === $1

-- pair: cast function changed
-- alone
CREATE TYPE pt AS (x int);
CREATE FUNCTION f(pt) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
CREATE CAST (pt AS text) WITH FUNCTION f(pt);
CREATE TABLE a (p pt);
-- rows
INSERT INTO a VALUES (ROW(1));
-- step
CREATE OR REPLACE FUNCTION f(pt) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
-- query
SELECT p::text FROM a

-- pair: rule do also
CREATE TABLE l (x int CHECK (x < 5));
-- step
CREATE RULE r AS ON UPDATE TO a DO ALSO INSERT INTO l VALUES (NEW.k);
-- query: 9
UPDATE a SET k = $1

-- pair: statement trigger
-- step
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER no AFTER DELETE ON a EXECUTE FUNCTION no();
-- query
DELETE FROM a

-- pair: trigger on view base
CREATE VIEW v AS SELECT id, k FROM a;
-- step
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER no BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION no();
-- query: 9
UPDATE v SET k = $1

-- pair: do block
-- step
ALTER TABLE a ADD CHECK (k < 5);
-- query
DO $$ BEGIN UPDATE a SET k = 9; END $$

-- pair: call procedure
CREATE PROCEDURE p() LANGUAGE sql AS 'UPDATE a SET k = 9';
-- step
ALTER TABLE a ADD CHECK (k < 5);
-- query
CALL p()

-- pair: trigger enable always
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER no BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION no();
ALTER TABLE a DISABLE TRIGGER no;
-- step
ALTER TABLE a ENABLE TRIGGER no;
-- query
UPDATE a SET k = 1

-- pair: trigger gone that filled
-- alone
CREATE TABLE a (id int, c text NOT NULL);
CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.c := 'x'; RETURN NEW; END $$;
CREATE TRIGGER tg BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION tg();
-- step
DROP TRIGGER tg ON a;
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: statement trigger truncate
-- step
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER no BEFORE TRUNCATE ON a EXECUTE FUNCTION no();
-- query
TRUNCATE a

-- pair: trigger new is distinct old
CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW IS DISTINCT FROM OLD THEN RETURN NEW; END IF; RETURN NULL; END $$;
CREATE TRIGGER tg BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION tg();
-- step
ALTER TABLE a ADD COLUMN z json;
-- query: 'one'
UPDATE a SET s = $1
