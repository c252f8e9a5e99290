-- pair: partial unique predicate
-- step
CREATE UNIQUE INDEX ON a (k) WHERE active;
-- query
UPDATE a SET active = true

-- pair: exclusion expression
-- alone
CREATE TABLE r (room int4range, f int, t int);
-- rows
INSERT INTO r VALUES ('[1,2)',1,5),('[1,2)',10,15);
-- step
ALTER TABLE r ADD EXCLUDE USING gist (room WITH =, int4range(f,t) WITH &&);
-- query: 50
UPDATE r SET t = $1

-- pair: exclusion where
-- alone
CREATE TABLE r (room int4range, active boolean);
-- rows
INSERT INTO r VALUES ('[1,2)',false),('[1,2)',false);
-- step
ALTER TABLE r ADD EXCLUDE USING gist (room WITH =) WHERE (active);
-- query
UPDATE r SET active = true

-- pair: unique expression
-- step
CREATE UNIQUE INDEX ON a (lower(s));
-- query: 'x'
UPDATE a SET s = $1

-- pair: unique generated new column
-- step
ALTER TABLE a ADD COLUMN g text GENERATED ALWAYS AS (lower(s)) STORED UNIQUE;
-- query: 'ONE'
INSERT INTO a (id,s) VALUES (9,$1)

-- pair: check generated new column
-- step
ALTER TABLE a ADD COLUMN g int GENERATED ALWAYS AS (k) STORED CHECK (g < 5);
-- query: 50
INSERT INTO a (id,k) VALUES (9,$1)

-- pair: unique on matview
CREATE MATERIALIZED VIEW mv AS SELECT k FROM a;
-- step
CREATE UNIQUE INDEX ON mv (k);
-- query
REFRESH MATERIALIZED VIEW mv

-- pair: check after rename with view
-- step
ALTER TABLE a RENAME TO aa;
CREATE VIEW a AS SELECT * FROM aa;
ALTER TABLE aa ADD CHECK (k < 5);
-- query: 9
UPDATE a SET k = $1

-- pair: view check option
-- step
ALTER TABLE a RENAME TO aa;
CREATE VIEW a AS SELECT * FROM aa WHERE k < 5 WITH CHECK OPTION;
-- query: 9
UPDATE a SET k = $1

-- pair: publication without identity
-- alone
CREATE TABLE c (id int, line text);
-- rows
INSERT INTO c VALUES (1,'');
-- step
CREATE PUBLICATION p FOR TABLE c;
-- query: 'x'
UPDATE c SET line = $1

-- pair: replica identity nothing
CREATE PUBLICATION p FOR TABLE a;
-- step
ALTER TABLE a REPLICA IDENTITY NOTHING;
-- query: 'x'
UPDATE a SET s = $1

-- pair: pk gone published
CREATE PUBLICATION p FOR TABLE a;
-- step
ALTER TABLE a DROP CONSTRAINT a_pkey;
-- query: 'x'
UPDATE a SET s = $1

-- pair: view check option added
CREATE VIEW v AS SELECT id, k FROM a WHERE k < 5;
-- step
ALTER VIEW v SET (check_option = local);
-- query: 9
UPDATE v SET k = $1

-- pair: generated sqrt
-- step
ALTER TABLE a ADD COLUMN g double precision GENERATED ALWAYS AS (sqrt(k)) STORED;
-- query: -1
INSERT INTO a (id,k) VALUES (9,$1)

-- pair: index ln
-- step
CREATE INDEX ON a (ln(k));
-- query: 0
INSERT INTO a (id,k) VALUES (9,$1)

-- pair: index overflow
-- step
CREATE INDEX ON a ((k * 1000000));
-- query: 2000000
INSERT INTO a (id,k) VALUES (9,$1)

-- pair: generated range
-- alone
CREATE TABLE a (f int, t int);
-- step
ALTER TABLE a ADD COLUMN r int4range GENERATED ALWAYS AS (int4range(f,t)) STORED;
-- query: 5, 1
INSERT INTO a VALUES ($1,$2)

-- pair: check whole row
-- step
CREATE FUNCTION ok(a) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1.k < 5';
ALTER TABLE a ADD CHECK (ok(a));
-- query: 9
UPDATE a SET k = $1

-- pair: not valid check other update
-- step
ALTER TABLE a ADD CHECK (k > 5) NOT VALID;
-- query: 'x'
UPDATE a SET s = $1
