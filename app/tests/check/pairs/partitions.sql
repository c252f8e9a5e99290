-- pair: new partition check
-- alone
CREATE TABLE m (id int, r int) PARTITION BY LIST (r);
CREATE TABLE m_d PARTITION OF m DEFAULT;
-- step
CREATE TABLE m_2 PARTITION OF m (CHECK (id > 10)) FOR VALUES IN (2);
-- query: 1, 2
INSERT INTO m VALUES ($1,$2)

-- pair: new partition trigger
-- alone
CREATE TABLE m (id int, r int) PARTITION BY LIST (r);
CREATE TABLE m_d PARTITION OF m DEFAULT;
-- step
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TABLE m_2 PARTITION OF m FOR VALUES IN (2);
CREATE TRIGGER no BEFORE INSERT ON m_2 FOR EACH ROW EXECUTE FUNCTION no();
-- query: 1, 2
INSERT INTO m VALUES ($1,$2)

-- pair: inherited child check
-- alone
CREATE TABLE p (id int, v int);
-- step
CREATE TABLE ch (CHECK (v < 5)) INHERITS (p);
-- newer
INSERT INTO ch VALUES (1,1);
-- query: 9
UPDATE p SET v = $1

-- pair: partition gone
-- alone
CREATE TABLE m (id int, r int) PARTITION BY LIST (r);
CREATE TABLE m_1 PARTITION OF m FOR VALUES IN (1);
-- step
DROP TABLE m_1;
-- query: 1, 1
INSERT INTO m VALUES ($1,$2)

-- pair: partition detached
-- alone
CREATE TABLE m (id int, r int) PARTITION BY LIST (r);
CREATE TABLE m_1 PARTITION OF m FOR VALUES IN (1);
-- step
ALTER TABLE m DETACH PARTITION m_1;
-- query: 1, 1
INSERT INTO m VALUES ($1,$2)

-- pair: create partition overlap
-- alone
CREATE TABLE m (id int, r int) PARTITION BY LIST (r);
-- step
CREATE TABLE m_x PARTITION OF m FOR VALUES IN (1,2);
-- query
CREATE TABLE m_2 PARTITION OF m FOR VALUES IN (2)

-- pair: delete from partition fk parent
-- alone
CREATE TABLE m (id int, r int, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
CREATE TABLE m_1 PARTITION OF m FOR VALUES IN (1);
-- rows
INSERT INTO m VALUES (1,1);
-- step
CREATE TABLE d (i int, r int, FOREIGN KEY (i, r) REFERENCES m);
-- newer
INSERT INTO d VALUES (1,1);
-- query
DELETE FROM m_1

-- pair: partition not null column
-- alone
CREATE TABLE m (id int, r int, z text) PARTITION BY LIST (r);
CREATE TABLE m_d PARTITION OF m DEFAULT;
-- step
CREATE TABLE m_2 PARTITION OF m (z NOT NULL) FOR VALUES IN (2);
-- query: 2
INSERT INTO m (id, r) VALUES (1, $1)

-- pair: partition unique index
-- alone
CREATE TABLE m (id int, r int) PARTITION BY LIST (r);
CREATE TABLE m_d PARTITION OF m DEFAULT;
-- step
CREATE TABLE m_2 PARTITION OF m FOR VALUES IN (2);
CREATE UNIQUE INDEX ON m_2 (id);
-- query
INSERT INTO m (id, r) VALUES (1, 2), (1, 2)

-- pair: existing partition not null
-- alone
CREATE TABLE m (id int, r int, z text) PARTITION BY LIST (r);
CREATE TABLE m_1 PARTITION OF m FOR VALUES IN (1);
-- step
ALTER TABLE m_1 ALTER z SET NOT NULL;
-- query
INSERT INTO m (id, r) VALUES (1, 1)

-- pair: existing partition check update
-- alone
CREATE TABLE m (id int, r int, z int) PARTITION BY LIST (r);
CREATE TABLE m_1 PARTITION OF m FOR VALUES IN (1);
-- rows
INSERT INTO m VALUES (1,1,1);
-- step
ALTER TABLE m_1 ADD CHECK (z < 5);
-- query: 9
UPDATE m SET z = $1

-- pair: attach partition
-- alone
CREATE TABLE m (id int, r int) PARTITION BY LIST (r);
CREATE TABLE m_d PARTITION OF m DEFAULT;
CREATE TABLE x (id int CHECK (id > 10), r int);
-- step
ALTER TABLE m ATTACH PARTITION x FOR VALUES IN (2);
-- query
INSERT INTO m VALUES (1, 2)
