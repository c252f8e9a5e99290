-- pair: set default unique
-- alone
CREATE TABLE a (id int PRIMARY KEY, n int UNIQUE, s text);
-- rows
INSERT INTO a VALUES (1,NULL,''),(2,NULL,'');
-- step
ALTER TABLE a ALTER n SET DEFAULT 1;
-- query: 'x'
UPDATE a SET s = $1, n = DEFAULT

-- pair: default gone update
-- alone
CREATE TABLE a (id int PRIMARY KEY, k int NOT NULL DEFAULT 1, s text, active boolean DEFAULT false);
-- rows
INSERT INTO a VALUES (1,1,'one',false),(2,1,'two',false);
-- step
ALTER TABLE a ALTER k DROP DEFAULT;
-- query
UPDATE a SET k = DEFAULT

-- pair: default too long
-- alone
CREATE TABLE a (id int, c varchar(3) DEFAULT 'x');
-- step
ALTER TABLE a ALTER c SET DEFAULT 'too long';
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: default out of range
-- alone
CREATE TABLE a (id int, c smallint DEFAULT 1);
-- step
ALTER TABLE a ALTER c SET DEFAULT 70000;
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: default function raises
-- alone
CREATE TABLE a (id int, c int DEFAULT 1);
CREATE FUNCTION r() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
-- step
ALTER TABLE a ALTER c SET DEFAULT r();
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: default null notnull
-- alone
CREATE TABLE a (id int, c varchar(9) NOT NULL DEFAULT 'x');
-- step
ALTER TABLE a ALTER c SET DEFAULT NULL::varchar;
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: default breaks generated
-- alone
CREATE TABLE a (id int, s text DEFAULT '1', g int GENERATED ALWAYS AS (s::int) STORED);
-- step
ALTER TABLE a ALTER s SET DEFAULT 'x';
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: default breaks expr index
-- alone
CREATE TABLE a (id int, s text DEFAULT '1');
CREATE INDEX ON a ((s::int));
-- step
ALTER TABLE a ALTER s SET DEFAULT 'x';
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: default breaks partition
-- alone
CREATE TABLE a (id int, r text DEFAULT 'eu') PARTITION BY LIST (r);
CREATE TABLE a_eu PARTITION OF a FOR VALUES IN ('eu');
-- step
ALTER TABLE a ALTER r SET DEFAULT 'us';
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: new column default volatile too long
-- alone
CREATE TABLE a (id int);
-- step
ALTER TABLE a ADD COLUMN c varchar(3) DEFAULT md5(random()::text);
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: new column default function
CREATE FUNCTION r() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
-- step
ALTER TABLE a ADD COLUMN c int;
ALTER TABLE a ALTER c SET DEFAULT r();
-- query: 9
INSERT INTO a (id) VALUES ($1)

-- pair: new column domain not null
-- alone
CREATE TABLE a (id int);
-- step
CREATE DOMAIN pos AS int NOT NULL;
ALTER TABLE a ADD COLUMN c pos;
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: new column domain check null
-- alone
CREATE TABLE a (id int);
-- step
CREATE DOMAIN pos AS int CHECK (VALUE IS NOT NULL);
ALTER TABLE a ADD COLUMN c pos;
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: new column domain default
-- alone
CREATE TABLE a (id int);
-- step
CREATE DOMAIN pos AS int DEFAULT 0 CHECK (VALUE > 0);
ALTER TABLE a ADD COLUMN c pos;
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: insert then fk default
-- alone
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t VALUES (1);
CREATE TABLE a (id int);
-- step
ALTER TABLE a ADD COLUMN t int DEFAULT 7 REFERENCES t;
-- query: 1
INSERT INTO a (id) VALUES ($1)

-- pair: default function changed
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER TABLE a ALTER k SET DEFAULT f();
-- step
CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
-- query
INSERT INTO a (id) VALUES (9)

-- pair: view with default
-- step
ALTER TABLE a RENAME TO aa;
CREATE VIEW a AS SELECT * FROM aa;
ALTER TABLE aa ADD CHECK (active) NOT VALID;
ALTER VIEW a ALTER active SET DEFAULT false;
-- query
INSERT INTO a (id) VALUES (9)

-- pair: view default alone
-- alone
CREATE TABLE a (id int PRIMARY KEY, k int, s text, active boolean DEFAULT true CHECK (active));
-- step
ALTER TABLE a RENAME TO aa;
CREATE VIEW a AS SELECT * FROM aa;
ALTER VIEW a ALTER active SET DEFAULT false;
-- query
INSERT INTO a (id) VALUES (9)

-- pair: existing view default
-- alone
CREATE TABLE a (id int PRIMARY KEY, k int, s text, active boolean DEFAULT true CHECK (active));
CREATE VIEW v AS SELECT * FROM a;
-- step
ALTER VIEW v ALTER active SET DEFAULT false;
-- query
INSERT INTO v (id) VALUES (9)
