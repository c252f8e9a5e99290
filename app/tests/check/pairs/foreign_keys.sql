-- pair: fk update cascade only delete
-- step
CREATE TABLE d (a_id int REFERENCES a ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES (1);
-- query
UPDATE a SET id = id + 100

-- pair: fk chain second table
-- step
CREATE TABLE d (id int PRIMARY KEY REFERENCES a ON DELETE CASCADE);
CREATE TABLE e (d_id int REFERENCES d);
-- newer
INSERT INTO d VALUES (1);
INSERT INTO e VALUES (1);
-- query: 1
DELETE FROM a WHERE id=$1

-- pair: fk cascade trigger raises
-- step
CREATE TABLE d (a_id int REFERENCES a ON DELETE CASCADE);
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER t BEFORE DELETE ON d FOR EACH ROW EXECUTE FUNCTION no();
-- newer
INSERT INTO d VALUES (1);
-- query: 1
DELETE FROM a WHERE id=$1

-- pair: fk set null check
-- step
CREATE TABLE d (a_id int REFERENCES a ON DELETE SET NULL, b int, CHECK (num_nonnulls(a_id,b)=1));
-- newer
INSERT INTO d VALUES (1,NULL);
-- query: 1
DELETE FROM a WHERE id=$1

-- pair: fk update cascade check
-- step
CREATE TABLE d (a_id int REFERENCES a ON UPDATE CASCADE ON DELETE CASCADE CHECK (a_id < 50));
-- newer
INSERT INTO d VALUES (1);
-- query
UPDATE a SET id = id + 100

-- pair: fk update cascade smallint
-- step
CREATE TABLE d (a_id smallint REFERENCES a ON UPDATE CASCADE ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES (1);
-- query
UPDATE a SET id = id + 100000

-- pair: fk set default
-- step
CREATE TABLE d (a_id int DEFAULT 77 REFERENCES a ON DELETE SET DEFAULT);
-- newer
INSERT INTO d VALUES (1);
-- query: 1
DELETE FROM a WHERE id=$1

-- pair: fk truncate cascade rows
-- step
CREATE TABLE d (a_id int REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE);
-- query
TRUNCATE a

-- pair: fk on generated key
-- alone
CREATE TABLE a (id int PRIMARY KEY, n int, g int GENERATED ALWAYS AS (n + 1) STORED UNIQUE);
-- rows
INSERT INTO a (id,n) VALUES (1,1);
-- step
CREATE TABLE d (g int REFERENCES a (g) ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES (2);
-- query: 50
UPDATE a SET n = $1 WHERE id = 1

-- pair: fk key set by trigger
-- alone
CREATE TABLE a (id int PRIMARY KEY, code text UNIQUE, s text);
CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.code := 'c-' || NEW.s; RETURN NEW; END $$;
CREATE TRIGGER tg BEFORE INSERT OR UPDATE ON a FOR EACH ROW EXECUTE FUNCTION tg();
-- rows
INSERT INTO a (id,s) VALUES (1,'x');
-- step
CREATE TABLE d (code text REFERENCES a (code) ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES ('c-x');
-- query: 'y'
UPDATE a SET s = $1 WHERE id = 1

-- pair: fk on conflict update key
-- step
CREATE TABLE d (a_id int REFERENCES a ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES (1);
-- query
INSERT INTO a (id,k) VALUES (1,1) ON CONFLICT (id) DO UPDATE SET id = a.id + 100

-- pair: fk existing action changed
CREATE TABLE b (a_id int REFERENCES a ON DELETE CASCADE);
-- rows
INSERT INTO b VALUES (1);
-- step
ALTER TABLE b DROP CONSTRAINT b_a_id_fkey;
ALTER TABLE b ADD CONSTRAINT b_a_id_fkey FOREIGN KEY (a_id) REFERENCES a;
-- query: 1
DELETE FROM a WHERE id=$1

-- pair: drop table referenced
-- step
CREATE TABLE d (a_id int REFERENCES a);
-- query
DROP TABLE a

-- pair: not null indirect set null
CREATE TABLE b (a_id int REFERENCES a ON DELETE SET NULL);
-- rows
INSERT INTO b VALUES (1);
-- step
ALTER TABLE b ALTER a_id SET NOT NULL;
-- query: 1
DELETE FROM a WHERE id=$1

-- pair: fk to partition
-- alone
CREATE TABLE m (id int, r int) PARTITION BY LIST (r);
CREATE TABLE m_1 PARTITION OF m FOR VALUES IN (1);
CREATE TABLE m_2 PARTITION OF m FOR VALUES IN (2);
ALTER TABLE m_1 ADD PRIMARY KEY (id);
-- rows
INSERT INTO m VALUES (1,1);
-- step
CREATE TABLE d (m int REFERENCES m_1);
-- newer
INSERT INTO d VALUES (1);
-- query: 1
DELETE FROM m WHERE id = $1

-- pair: fk on what a cascade takes away
CREATE TABLE users (id int PRIMARY KEY);
ALTER TABLE a ADD COLUMN owner int REFERENCES users ON DELETE CASCADE;
-- rows
INSERT INTO users VALUES (1);
UPDATE a SET owner = 1;
-- step
CREATE TABLE d (a_id int REFERENCES a);
-- newer
INSERT INTO d VALUES (1);
-- query: 1
DELETE FROM users WHERE id = $1

-- pair: fk on keys that follow others
CREATE TABLE users (id int PRIMARY KEY);
CREATE TABLE b (id int PRIMARY KEY REFERENCES users ON UPDATE CASCADE);
-- rows
INSERT INTO users VALUES (1);
INSERT INTO b VALUES (1);
-- step
CREATE TABLE d (b_id int REFERENCES b ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES (1);
-- query
UPDATE users SET id = id + 100

-- pair: fk on keys that are computed from columns that follow others
CREATE TABLE users (id int PRIMARY KEY);
CREATE TABLE b (owner int REFERENCES users ON UPDATE CASCADE, code int GENERATED ALWAYS AS (owner * 2) STORED UNIQUE);
-- rows
INSERT INTO users VALUES (1);
INSERT INTO b VALUES (1);
-- step
CREATE TABLE d (code int REFERENCES b (code) ON DELETE CASCADE);
-- newer
INSERT INTO d VALUES (2);
-- query
UPDATE users SET id = id + 100

-- pair: fk on a chain that a cascade takes away
CREATE TABLE users (id int PRIMARY KEY);
CREATE TABLE b (id int PRIMARY KEY, owner int REFERENCES users ON DELETE CASCADE);
CREATE TABLE c (id int PRIMARY KEY, b_id int REFERENCES b ON DELETE CASCADE);
-- rows
INSERT INTO users VALUES (1);
INSERT INTO b VALUES (1, 1);
INSERT INTO c VALUES (1, 1);
-- step
CREATE TABLE d (c_id int REFERENCES c);
-- newer
INSERT INTO d VALUES (1);
-- query
DELETE FROM users
