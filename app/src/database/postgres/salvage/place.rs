//! In the schema `_unship`: the tables that say what was salvaged, and the routines that work next to the data.

use sqlx::PgConnection;

use super::failed;
use crate::database::postgres::live::home;
use crate::ports::DatabaseFailure;

/// One maker at a time.
const MAKER_LOCK: i64 = 0x756e_7368_6970_0003;

/// What one step down salvaged, each store of it, how far sequences were used, and which transactions put something back. A salvage counts once it is
/// taken: before that nothing was destroyed. With its `xid` it is settled: the down has run, or has broken off.
const TABLES: &str = r"
CREATE TABLE IF NOT EXISTS _unship.salvage (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text NOT NULL,
    step integer NOT NULL,
    tool text NOT NULL,
    version_table text NOT NULL,
    migration text NOT NULL,
    version text NOT NULL,
    release jsonb,
    service text NOT NULL,
    environment text NOT NULL,
    who text NOT NULL,
    at timestamptz NOT NULL,
    taken boolean NOT NULL DEFAULT false,
    xid text,
    restored_at timestamptz,
    UNIQUE (run, step)
);
CREATE TABLE IF NOT EXISTS _unship.salvage_store (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    salvage bigint NOT NULL REFERENCES _unship.salvage ON DELETE CASCADE,
    place text NOT NULL,
    kind jsonb NOT NULL,
    layout jsonb NOT NULL,
    rows bigint
);
CREATE TABLE IF NOT EXISTS _unship.salvage_sequence (
    salvage bigint NOT NULL REFERENCES _unship.salvage ON DELETE CASCADE,
    oid oid NOT NULL,
    schema text NOT NULL,
    name text NOT NULL,
    owner text,
    owner_column text,
    last bigint NOT NULL,
    PRIMARY KEY (salvage, oid)
);
CREATE TABLE IF NOT EXISTS _unship.restored (first_xid bigint NOT NULL);
CREATE INDEX IF NOT EXISTS salvage_store_salvage ON _unship.salvage_store (salvage);
";

/// What a type is made of, down to the server's own types. It is another one when the type was made anew, and when a
/// composite type that it is made of lost a part.
const TYPE_SHAPE: &str = r"
CREATE OR REPLACE FUNCTION _unship.type_shape(type oid, modifier int) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $shape$
    WITH RECURSIVE part(oid, modifier) AS (
        SELECT $1, $2
        UNION SELECT x.oid, x.modifier FROM part p JOIN pg_type y ON y.oid = p.oid CROSS JOIN LATERAL (
            SELECT y.typelem, -1 UNION ALL SELECT y.typbasetype, y.typtypmod
            UNION ALL SELECT r.rngsubtype, -1 FROM pg_range r WHERE r.rngtypid = y.oid
            UNION ALL SELECT a.atttypid, a.atttypmod FROM pg_attribute a
                WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped) x(oid, modifier)
        WHERE x.oid <> 0)
    SELECT string_agg(concat_ws(' ', p.oid, p.modifier, (SELECT string_agg(a.attnum || ':' || a.atttypid, ' ' ORDER BY a.attnum)
        FROM pg_type y JOIN pg_attribute a ON a.attrelid = y.typrelid WHERE y.oid = p.oid AND a.attnum > 0 AND NOT a.attisdropped)),
        ',' ORDER BY p.oid, p.modifier) FROM part p
$shape$;
REVOKE ALL ON FUNCTION _unship.type_shape(oid, int) FROM PUBLIC;
";

/// Keeps the rows that a statement is about to change or changed, as they were. The arguments are the store's number
/// and the shapes of the types of those columns whose values are lost otherwise too. Columns are found by their number,
/// since the down may rename, add and drop some in between; those that are gone already, or have got another type, are
/// noted, so that nobody takes their NULL for a value: it is in the store of the column.
const KEEP_ROWS: &str = r#"
CREATE OR REPLACE FUNCTION _unship.keep_rows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET "DateStyle" = 'ISO, MDY' SET "IntervalStyle" = 'postgres'
SET extra_float_digits = 3 SET bytea_output = 'hex' SET "TimeZone" = 'UTC' SET lc_monetary = 'C' SET row_security = off
AS $keep$
DECLARE
    store _unship.salvage_store%ROWTYPE;
    names text;
    vals text;
    keys text;
    key_vals text;
    same_key text;
    lacks text;
    old_rows text := 'unship_old';
    new_rows text := 'unship_new';
BEGIN
    SELECT * INTO STRICT store FROM _unship.salvage_store WHERE id = TG_ARGV[0]::bigint;
    WITH wanted AS (
        SELECT c->>'name' AS name, (c->>'num')::int AS num, (c->>'as_text')::boolean AS as_text,
            c->>'type_name' AS type_name, is_key
        FROM (SELECT c, true FROM jsonb_array_elements(store.layout->'key') c
              UNION ALL SELECT c, false FROM jsonb_array_elements(store.layout->'kept') c) x(c, is_key)
    ), found AS (
        SELECT w.*, a.attname IS NOT NULL AND coalesce((TG_ARGV[1]::jsonb ->> w.name)
                = _unship.type_shape(a.atttypid, a.atttypmod), true) AS is_there,
            CASE WHEN w.as_text
                THEN format('CASE num_nulls(o.%1$I) WHEN 0 THEN format(''%%s'', o.%1$I) END', a.attname)
                WHEN format_type(a.atttypid, a.atttypmod) <> w.type_name
                THEN format('CAST(o.%I AS %s)', a.attname, w.type_name)
                ELSE format('o.%I', a.attname) END AS value,
            -- As stores keep it, so that the two can be joined by hash.
            CASE WHEN w.as_text THEN format('format(''%%s'', o.%1$I) = format(''%%s'', p.%1$I)', a.attname)
                ELSE format('o.%1$I = p.%1$I', a.attname) END AS same
        FROM wanted w LEFT JOIN pg_attribute a ON a.attrelid = TG_RELID AND a.attnum > 0 AND NOT a.attisdropped
            AND CASE WHEN TG_RELID = (store.layout->>'oid')::oid THEN a.attnum = w.num ELSE a.attname = w.name END
    )
    SELECT string_agg(quote_ident(name), ', ' ORDER BY num) FILTER (WHERE is_there),
        string_agg(value, ', ' ORDER BY num) FILTER (WHERE is_there),
        string_agg(quote_ident(name), ', ' ORDER BY num) FILTER (WHERE is_there AND is_key),
        string_agg(value, ', ' ORDER BY num) FILTER (WHERE is_there AND is_key),
        string_agg(same, ' AND ') FILTER (WHERE is_there AND is_key),
        format('%L::smallint[]', array_agg(num) FILTER (WHERE NOT is_there))
    INTO names, vals, keys, key_vals, same_key, lacks FROM found;
    names := coalesce(', ' || names, '');
    vals := coalesce(', ' || vals, '');
    IF TG_LEVEL = 'ROW' THEN
        old_rows := '(SELECT ($1).*)';
        new_rows := '(SELECT ($2).*)';
    END IF;
    IF TG_OP = 'INSERT' THEN
        EXECUTE format('INSERT INTO _unship.%I (unship_op, %s) SELECT ''i'', %s FROM %s o',
            store.place, keys, key_vals, new_rows) USING OLD, NEW;
    ELSIF TG_OP = 'UPDATE' AND keys IS NOT NULL THEN
        -- A key that only the old rows have went elsewhere; one that only the new ones have came from elsewhere.
        EXECUTE format('INSERT INTO _unship.%I (unship_op, unship_lacks%s)
            SELECT CASE WHEN EXISTS (SELECT FROM %s p WHERE %s) THEN ''u'' ELSE ''m'' END, %s%s
            FROM %s o', store.place, names, new_rows, same_key, lacks, vals, old_rows) USING OLD, NEW;
        EXECUTE format('INSERT INTO _unship.%I (unship_op, %s) SELECT ''i'', %s FROM %s o
            WHERE NOT EXISTS (SELECT FROM %s p WHERE %s)', store.place, keys, key_vals, new_rows, old_rows, same_key)
            USING OLD, NEW;
    ELSIF TG_OP = 'UPDATE' THEN
        EXECUTE format('INSERT INTO _unship.%I (unship_op, unship_lacks%s) SELECT ''u'', %s%s FROM %s o',
            store.place, names, lacks, vals, old_rows) USING OLD, NEW;
        -- Without a key only what became of all of them together tells them from the others.
        EXECUTE format('INSERT INTO _unship.%I (unship_op, unship_lacks%s) SELECT ''n'', %s%s FROM %s o',
            store.place, names, lacks, vals, new_rows) USING OLD, NEW;
    ELSIF TG_OP = 'DELETE' THEN
        EXECUTE format('INSERT INTO _unship.%I (unship_op, unship_lacks%s) SELECT ''d'', %s%s FROM %s o',
            store.place, names, lacks, vals, old_rows) USING OLD, NEW;
    ELSE
        EXECUTE format('INSERT INTO _unship.%I (unship_op, unship_lacks%s) SELECT ''d'', %s%s FROM %s o',
            store.place, names, lacks, vals, 'ONLY ' || TG_RELID::regclass);
    END IF;
    RETURN NULL;
END
$keep$;
REVOKE ALL ON FUNCTION _unship.keep_rows() FROM PUBLIC;
"#;

/// Stands in for `DROP TABLE`: fails where that fails, and then keeps the tables here instead. Everything of them that
/// refers to something else goes, so that what is kept is in nobody's way.
const MOVE_ASIDE: &str = r"
CREATE OR REPLACE PROCEDURE _unship.move_aside(stores bigint[]) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $move$
DECLARE
    names text;
    store record;
    part record;
BEGIN
    SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY s.id) INTO names
    FROM _unship.salvage_store s
    JOIN pg_class c ON c.oid = (s.layout->>'oid')::oid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE s.id = ANY (stores) AND n.nspname = s.layout->'table'->>'schema' AND c.relname = s.layout->'table'->>'name'
    HAVING count(*) = cardinality(stores);
    IF names IS NULL THEN
        RAISE EXCEPTION 'a table that is to be dropped is not the one that was salvaged' USING ERRCODE = 'undefined_table';
    END IF;
    -- Whatever keeps the tables from being dropped is said in the server's own words. A drop that works is taken back.
    BEGIN
        EXECUTE 'DROP TABLE ' || names || ' RESTRICT';
        RAISE EXCEPTION USING ERRCODE = 'UN001';
    EXCEPTION WHEN SQLSTATE 'UN001' THEN NULL;
    END;
    FOR store IN
        SELECT c.oid::regclass AS rel, c.relowner, s.place FROM _unship.salvage_store s
        JOIN pg_class c ON c.oid = (s.layout->>'oid')::oid WHERE s.id = ANY (stores) ORDER BY s.id
    LOOP
        FOR part IN SELECT conname FROM pg_constraint WHERE conrelid = store.rel AND contype IN ('f', 'c', 'x') LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', store.rel, part.conname);
        END LOOP;
        FOR part IN SELECT tgname FROM pg_trigger WHERE tgrelid = store.rel AND NOT tgisinternal LOOP
            EXECUTE format('DROP TRIGGER %I ON %s', part.tgname, store.rel);
        END LOOP;
        FOR part IN SELECT polname FROM pg_policy WHERE polrelid = store.rel LOOP
            EXECUTE format('DROP POLICY %I ON %s', part.polname, store.rel);
        END LOOP;
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', store.rel);
        FOR part IN SELECT rulename FROM pg_rewrite WHERE ev_class = store.rel LOOP
            EXECUTE format('DROP RULE %I ON %s', part.rulename, store.rel);
        END LOOP;
        FOR part IN SELECT attname, attgenerated, attidentity FROM pg_attribute
            WHERE attrelid = store.rel AND attnum > 0 AND NOT attisdropped AND (atthasdef OR attidentity <> '') LOOP
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP %s', store.rel, part.attname,
                CASE WHEN part.attidentity <> '' THEN 'IDENTITY' WHEN part.attgenerated <> '' THEN 'EXPRESSION'
                    ELSE 'DEFAULT' END);
        END LOOP;
        FOR part IN SELECT n.nspname, s.stxname FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
            WHERE s.stxrelid = store.rel LOOP
            EXECUTE format('DROP STATISTICS %I.%I', part.nspname, part.stxname);
        END LOOP;
        FOR part IN SELECT x.indexrelid::regclass AS rel, x.indexrelid::bigint AS oid, k.conname,
                x.indisunique AND x.indpred IS NULL AND x.indexprs IS NULL AS stays
            FROM pg_index x LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.conrelid = store.rel
            WHERE x.indrelid = store.rel LOOP
            IF part.stays THEN
                EXECUTE format('ALTER INDEX %s RENAME TO %I', part.rel, store.place || '_' || part.oid);
            ELSE
                EXECUTE format('DROP INDEX %s', part.rel);
            END IF;
        END LOOP;
        FOR part IN SELECT d.objid::regclass AS rel FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
            WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = store.rel
            AND d.deptype = 'a' AND c.relkind = 'S' LOOP
            EXECUTE format('DROP SEQUENCE %s', part.rel);
        END LOOP;
        FOR part IN SELECT DISTINCT a.grantee::regrole AS grantee FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.oid = store.rel AND a.grantee NOT IN (0, store.relowner) LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', store.rel, part.grantee);
        END LOOP;
        FOR part IN SELECT DISTINCT t.attname, a.grantee::regrole AS grantee FROM pg_attribute t, aclexplode(t.attacl) a
            WHERE t.attrelid = store.rel AND a.grantee NOT IN (0, store.relowner) LOOP
            EXECUTE format('REVOKE ALL (%I) ON %s FROM %s CASCADE', part.attname, store.rel, part.grantee);
        END LOOP;
        EXECUTE format('ALTER TABLE %s RENAME TO %I', store.rel, store.place);
        EXECUTE format('ALTER TABLE %s SET SCHEMA _unship', store.rel);
    END LOOP;
END
$move$;
REVOKE ALL ON PROCEDURE _unship.move_aside(bigint[]) FROM PUBLIC;
";

/// Makes what is missing. A role that may not is told so.
pub(super) async fn make(conn: &mut PgConnection) -> Result<(), DatabaseFailure> {
    home::ensure(conn).await?;
    let made = async {
        sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MAKER_LOCK).execute(&mut *conn).await?;
        for sql in [TABLES, TYPE_SHAPE, KEEP_ROWS, MOVE_ASIDE] {
            sqlx::raw_sql(sql).execute(&mut *conn).await?;
        }
        sqlx::raw_sql("COMMIT").execute(&mut *conn).await
    };
    let ended = made.await;
    if ended.is_err() {
        // An open transaction would be in the way of what comes next; a lost connection has none.
        let _ = sqlx::raw_sql("ROLLBACK").execute(conn).await;
    }
    ended.map(drop).map_err(|error| failed("making the tables of salvage", &error))
}

/// Whether anything was ever salvaged here.
pub(super) async fn is_there(conn: &mut PgConnection) -> Result<bool, DatabaseFailure> {
    sqlx::query_scalar("SELECT to_regclass('_unship.salvage') IS NOT NULL")
        .fetch_one(conn)
        .await
        .map_err(|error| failed("looking for what was salvaged", &error))
}
