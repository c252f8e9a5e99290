//! Zero loss: schemas, migrations, rows and writes are generated; a step down, the up again and a restore leave every
//! value as it was, without a conflict, except where an old release wrote in between; and what it wrote stays.
//!
//! Seeds make every case; a failing one names its own. `UNSHIP_PROVE_CASES` says how many; 500 unless given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use unship::database::postgres::salvage;
use unship::ports::{OnConflict, Salvaged, StepBy};
use unship_core::down::{Allowed, Dialect, LossKind, Program, Session};
use unship_core::release::Digest;
use unship_core::sql::ObjectName;
use unship_core::tools::Tool;

use crate::chance::Chance;
use crate::server::{Server, has_postgres};
use crate::world::{Heard, OWNER, by, say};

const CASES: u64 = 500;
/// Cases that run at once, each in a database of its own.
const LANES: usize = 4;
/// How many cases a lane lives through in one database.
const LIVES_MAX: u32 = 50;

/// Types with values that a careless copy would change.
const TYPES: &[(&str, &[&str])] = &[
    ("text", &["''", "'a'", "E'\\t\\'\"\\\\'", "'NULL'"]),
    ("numeric", &["1.00", "1e-20", "'NaN'", "-0.10"]),
    ("numeric(8,3)", &["1", "99999.999"]),
    ("float8", &["'-0'", "0.1", "'Infinity'", "1e-310"]),
    ("float4", &["0.1", "'NaN'"]),
    ("bytea", &["'\\x00ff27'", "''"]),
    ("int[]", &["'{}'", "'{1,NULL}'", "'[0:1]={4,5}'"]),
    ("timestamptz", &["'infinity'", "'2020-03-29 01:30:00+01'", "'0044-03-15 BC'"]),
    ("interval", &["'1 mon -1 day 00:00:00.5'"]),
    ("json", &["'{\"a\": 1,  \"a\":2}'", "'null'"]),
    ("jsonb", &["'{\"z\": 1.50, \"a\": [null]}'"]),
    ("char(4)", &["'x'", "''"]),
    ("uuid", &["'00000000-0000-0000-0000-0000000000ff'"]),
    ("bool", &["true", "false"]),
    ("bigint", &["9223372036854775807", "0", "-1"]),
    ("mood", &["'sad'", "'ok'"]),
    ("pair", &["'(1,\"x,\"\"y\")'", "'(,)'"]),
    ("email", &["'a@b'"]),
    ("mood[]", &["'{ok,sad}'"]),
    ("int4range", &["'[1,5)'", "'empty'"]),
    ("text COLLATE \"C\"", &["'Z'", "'a'"]),
];

/// Tables that are there before the migration. `id` tells rows apart where there is one.
const BASE: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
    CREATE TABLE a (id int PRIMARY KEY, s text, k int);
    CREATE TABLE b (id bigserial PRIMARY KEY, a_id int REFERENCES a ON DELETE CASCADE, t text);
    CREATE TABLE n (x int, y text);
    CREATE TABLE w (id text COLLATE \"C\", part mood, v text, PRIMARY KEY (id, part));
    CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
    CREATE TABLE p_0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE p_1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE noted (id bigserial PRIMARY KEY, line text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO noted (line) VALUES (TG_OP); RETURN NEW; END $$;
    INSERT INTO a SELECT n, 's' || n, n % 4 FROM generate_series(1, 12) n;
    INSERT INTO b (a_id, t) SELECT 1 + n % 12, 't' || n FROM generate_series(1, 20) n;
    INSERT INTO n SELECT n % 3, 'y' || n % 2 FROM generate_series(1, 9) n;
    INSERT INTO w SELECT 'k' || n % 5, (ARRAY['sad', 'ok'])[1 + n % 2]::mood, 'v' || n FROM generate_series(1, 10) n;
    INSERT INTO p SELECT n, 'v' || n FROM generate_series(1, 10) n;";
const TABLES: &[&str] = &["a", "b", "n", "w", "p"];

/// One generated history.
#[derive(Default)]
struct Case {
    up: Vec<String>,
    /// What the new release writes.
    rows: Vec<String>,
    /// What it writes while the salvage is copied.
    meanwhile: Vec<String>,
    /// In the order in which the up did it; the down goes the other way.
    down: Vec<String>,
    lost: Vec<LossKind>,
    captured: BTreeSet<String>,
    /// What the old release writes, and to which rows of `a`.
    old: Vec<String>,
    touched: BTreeSet<i32>,
    /// Columns that are written in another type: `table.column`.
    retyped: BTreeSet<String>,
    /// Everything in one statement list, or each statement a batch.
    one_batch: bool,
}

fn here(name: &str) -> ObjectName {
    ObjectName { schema: None, name: name.to_owned() }
}

/// `$1` is where the row's number goes.
fn values(chance: &mut Chance, of: &[&str]) -> String {
    let choices: Vec<&str> =
        (0..3).map(|_| if chance.one_in(4) { "NULL" } else { *chance.pick(of) }).collect();
    choices.join(", ")
}

fn add_column(case: &mut Case, chance: &mut Chance, place: usize) {
    let table = *chance.pick(TABLES);
    let (kind, of) = *chance.pick(TYPES);
    let name = format!("c{place}");
    let typed = kind.split(" COLLATE").next().unwrap_or(kind);
    let default = if chance.one_in(3) { format!(" DEFAULT {}", chance.pick(of)) } else { String::new() };
    case.up.push(format!("ALTER TABLE {table} ADD COLUMN {name} {kind}{default}"));
    case.down.push(format!(
        "ALTER TABLE {table} DROP COLUMN {}{name}",
        if chance.one_in(3) { "IF EXISTS " } else { "" }
    ));
    let list = values(chance, of);
    let order = if table == "n" { "x" } else { "length(id::text)" };
    case.rows.push(format!("UPDATE {table} SET {name} = (ARRAY[{list}]::{typed}[])[1 + {order} % 3]"));
    if typed.ends_with("[]") {
        // An array of arrays is another thing: one value for all.
        let one = chance.pick(of);
        case.rows.pop();
        case.rows.push(format!("UPDATE {table} SET {name} = {one}"));
    }
    if table == "a" && chance.one_in(2) {
        case.meanwhile.push(format!("UPDATE a SET {name} = NULL WHERE id = {}", 1 + chance.below(12)));
    }
    case.lost.push(LossKind::Column { table: here(table), column: name, default: None });
}

fn add_table(case: &mut Case, chance: &mut Chance, place: usize) {
    let name = format!("new{place}");
    let id = *chance.pick(&[
        "id serial PRIMARY KEY",
        "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "id int",
        "id int UNIQUE NOT NULL",
    ]);
    let (kind, of) = *chance.pick(TYPES);
    let refers = chance.one_in(2);
    let a = if refers { ", a_id int REFERENCES a ON DELETE CASCADE" } else { ", a_id int" };
    let more = *chance.pick(&["", ", twice int GENERATED ALWAYS AS (num * 2) STORED", ", CHECK (num >= 0)"]);
    case.up.push(format!("CREATE TABLE {name} ({id}, num int{a}, v {kind}{more})"));
    if chance.one_in(3) && !case.up.iter().any(|one| one.contains("noted")) {
        case.up.push(format!(
            "CREATE TRIGGER note AFTER INSERT OR UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION note()"
        ));
    }
    if chance.one_in(3) {
        case.up.push(format!("CREATE INDEX ON {name} (num)"));
    }
    let one = if chance.one_in(5) { "NULL" } else { *chance.pick(of) };
    let given = !(id.contains("serial") || id.contains("IDENTITY"));
    let (named, numbered) = if given { ("id, ", "n, ") } else { ("", "") };
    case.rows.push(format!(
        "INSERT INTO {name} ({named}num, a_id, v) SELECT {numbered}n, 1 + n % 12, {one} FROM generate_series(1, {}) n",
        chance.below(30)
    ));
    if chance.one_in(2) {
        let id = if given { "id, " } else { "" };
        let number = if given { "1000, " } else { "" };
        case.meanwhile.push(format!("INSERT INTO {name} ({id}num, a_id) VALUES ({number}7, 3)"));
        case.meanwhile.push(format!("DELETE FROM {name} WHERE num = 2"));
    }
    let exists = if chance.one_in(3) { "IF EXISTS " } else { "" };
    let cascade = *chance.pick(&["", " CASCADE", " RESTRICT"]);
    case.down.push(match chance.below(5) {
        0 => format!("DO $$ BEGIN DROP TABLE {name}; END $$"),
        _ => format!("DROP TABLE {exists}{name}{cascade}"),
    });
    case.lost.push(LossKind::Table { table: here(&name) });
}

/// The down changes rows that stay.
fn change_rows(case: &mut Case, chance: &mut Chance) {
    let (sql, tables): (&str, &[&str]) = *chance.pick(&[
        ("UPDATE a SET s = upper(s), k = k + 1 WHERE id % 2 = 0", &["a"][..]),
        ("UPDATE a SET s = NULL", &["a"]),
        ("DELETE FROM b WHERE id % 3 = 0", &["b"]),
        ("DELETE FROM a WHERE id IN (11, 12)", &["a"]),
        ("DO $$ BEGIN DELETE FROM a WHERE id = 10; UPDATE b SET t = 'x' WHERE id < 4; END $$", &["a", "b"]),
        ("TRUNCATE b", &["b"]),
        ("DELETE FROM n WHERE x = 1", &["n"]),
        ("UPDATE w SET v = v || '!' WHERE part = 'ok'", &["w"]),
        ("DELETE FROM w WHERE id = 'k1'", &["w"]),
        ("UPDATE p SET v = 'p' WHERE id > 4", &["p"]),
        ("DELETE FROM p_0", &["p", "p_0"]),
        ("INSERT INTO a VALUES (50, 'made', 1); UPDATE a SET s = 'twice' WHERE id > 40; DELETE FROM a WHERE id = 50", &["a"]),
    ]);
    case.up.push("SELECT 1".to_owned());
    case.down.push(sql.to_owned());
    case.captured.extend(tables.iter().map(|&table| table.to_owned()));
}

fn rename(case: &mut Case, chance: &mut Chance, place: usize) {
    // Only what no other part of a case names.
    let (up, down) = match chance.below(2) {
        0 => (
            format!("ALTER TABLE noted RENAME COLUMN line TO line{place}"),
            format!("ALTER TABLE noted RENAME COLUMN line{place} TO line"),
        ),
        _ => (
            format!("ALTER TABLE noted RENAME TO noted{place}"),
            format!("ALTER TABLE noted{place} RENAME TO noted"),
        ),
    };
    if case.up.iter().any(|one| one.contains("noted") || one.contains("note()")) {
        return;
    }
    case.up.push(up);
    case.down.push(down);
}

fn retype(case: &mut Case, chance: &mut Chance) {
    if !case.retyped.is_empty() || case.captured.contains("a") {
        return;
    }
    let (wide, narrow, write) = *chance.pick(&[
        ("numeric(8,2)", "integer", "k + 0.25"),
        ("text", "integer", "k::text"),
        ("float8", "integer", "k + 0.5"),
    ]);
    let using = |kind: &str| format!("ALTER TABLE a ALTER k TYPE {kind} USING k::{kind}");
    case.up.push(using(wide));
    case.down.push(using(narrow));
    case.rows.insert(0, format!("UPDATE a SET k = {write} WHERE id < 9"));
    case.retyped.insert("a.k".to_owned());
    let kind =
        LossKind::Rewritten { table: here("a"), column: "k".into(), from: wide.into(), to: narrow.into() };
    case.lost.push(kind);
}

fn case(seed: u64) -> Case {
    let mut chance = Chance::new(seed);
    let mut case = Case { one_batch: chance.one_in(2), ..Case::default() };
    for place in 0..=chance.below(4) {
        match chance.below(9) {
            0..=2 => add_column(&mut case, &mut chance, place),
            3..=5 => add_table(&mut case, &mut chance, place),
            6 | 7 if case.retyped.is_empty() => change_rows(&mut case, &mut chance),
            8 => retype(&mut case, &mut chance),
            _ => rename(&mut case, &mut chance, place),
        }
    }
    if chance.one_in(2) {
        for _ in 0..=chance.below(3) {
            let id = i32::try_from(1 + chance.below(9)).unwrap_or(1);
            case.touched.insert(id);
            case.old.push(match chance.below(3) {
                0 => format!("UPDATE a SET s = 'old' || id WHERE id = {id}"),
                1 => format!("DELETE FROM a WHERE id = {id}"),
                _ => format!("UPDATE b SET t = 'old' WHERE a_id = {id}"),
            });
        }
        case.old.push("INSERT INTO a VALUES (200, 'from the old', 1)".to_owned());
    }
    case
}

/// A row: what names it, the row of `a` that it hangs on, and all of it.
type Row = (Option<String>, Option<i32>, String);
type Rows = BTreeMap<String, Vec<Row>>;

/// Every row of every table, as exact text; only the columns of these numbers where some are given.
async fn rows(
    conn: &mut PgConnection,
    only: Option<&BTreeMap<String, Vec<i16>>>,
) -> Result<Rows, sqlx::Error> {
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.oid::text, relname::text FROM pg_class c WHERE relnamespace = current_schema()::regnamespace
        AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut all = Rows::new();
    for (oid, table) in tables {
        let columns: Vec<(i16, String)> = sqlx::query_as(
            "SELECT attnum, attname::text FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped ORDER BY attname",
        )
        .bind(&oid)
        .fetch_all(&mut *conn)
        .await?;
        let Some(wanted) = only.map_or(Some(None), |only| only.get(&oid).map(Some)) else { continue };
        let names = columns.iter().filter(|(num, _)| wanted.is_none_or(|wanted| wanted.contains(num)));
        // By number where two states are compared that may have other names.
        let mut names: Vec<&(i16, String)> = names.collect();
        if wanted.is_some() {
            names.sort();
        }
        let names: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
        let has = |name: &str| columns.iter().any(|(_, other)| other == name);
        let part = if has("part") { " || part::text" } else { "" };
        let id = if has("id") { format!("id::text{part}") } else { "NULL::text".to_owned() };
        let a = if table == "a" {
            "id"
        } else if has("a_id") {
            "a_id"
        } else {
            "NULL::int"
        };
        let sql = format!("SELECT {id}, {a}, ROW({})::text FROM {table} ORDER BY 1, 3", names.join(", "));
        all.insert(oid, sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut *conn).await?);
    }
    Ok(all)
}

/// Of each table the numbers of its columns, without those that are written in another type.
async fn numbers(conn: &mut PgConnection, case: &Case) -> Result<BTreeMap<String, Vec<i16>>, sqlx::Error> {
    let found: Vec<(String, String, i16)> = sqlx::query_as(
        "SELECT c.oid::text, c.relname || '.' || a.attname, a.attnum FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped",
    )
    .fetch_all(conn)
    .await?;
    let mut numbers: BTreeMap<String, Vec<i16>> = BTreeMap::new();
    for (oid, name, num) in found {
        if !case.retyped.contains(&name) {
            numbers.entry(oid).or_default().push(num);
        }
    }
    Ok(numbers)
}

/// A connection to a database of its own.
struct Lane {
    conn: PgConnection,
}

impl Lane {
    async fn open(server: &Server) -> Lane {
        let name = server.new_name();
        let mut admin = server.admin("postgres").await;
        say(&mut admin, &format!("DO $$ BEGIN CREATE ROLE {OWNER} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$")).await;
        say(&mut admin, &format!("CREATE DATABASE {name} OWNER {OWNER}")).await;
        let mut conn = PgConnection::connect(&server.url(OWNER, &name)).await.expect("a connection");
        say(
            &mut conn,
            // As in the program's own sessions nothing is compiled.
            "SET client_min_messages = error; SET extra_float_digits = 3; SET jit = off;
            CREATE SCHEMA tool; CREATE TABLE tool._sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
            installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL)",
        )
        .await;
        Lane { conn }
    }

    /// Lives through a case; what is wrong with its end, if anything. With `sabotage` a salvaged row is lost before
    /// the restore.
    async fn live(&mut self, seed: u64, case: &Case, sabotage: bool) -> Result<Option<String>, String> {
        let schema = format!("c{seed}");
        let conn = &mut self.conn;
        go(conn, &format!("CREATE SCHEMA {schema}; SET search_path = {schema}")).await?;
        let ended = life(conn, &schema, seed, case, sabotage).await;
        go(conn, &format!("ROLLBACK; DROP SCHEMA {schema} CASCADE")).await?;
        ended
    }
}

async fn go(conn: &mut PgConnection, sql: &str) -> Result<(), String> {
    let said = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await;
    said.map(drop).map_err(|error| format!("{sql}: {error}"))
}

async fn applied(conn: &mut PgConnection, up: &str, seed: u64) -> Result<(), String> {
    let row = format!("INSERT INTO tool._sqlx_migrations VALUES ({seed}, '', now(), true, '', 0)");
    go(conn, &format!("BEGIN; {up}; {row}; COMMIT")).await
}

async fn life(
    conn: &mut PgConnection,
    schema: &str,
    seed: u64,
    case: &Case,
    sabotage: bool,
) -> Result<Option<String>, String> {
    go(conn, BASE).await?;
    applied(conn, &case.up.join("; "), seed).await?;
    for sql in &case.rows {
        go(conn, sql).await?;
    }
    let (program, step) =
        (program(schema, seed, case), StepBy { run: format!("r{seed}").parse().expect("a run"), ..by(1) });
    let words = |failure: unship::ports::DatabaseFailure| failure.to_string();
    let mut prepared = salvage::prepare(conn, &program, &step, &Heard::default()).await.map_err(words)?;
    for sql in &case.meanwhile {
        go(conn, sql).await?;
    }
    let before = rows(conn, None).await.map_err(|error| error.to_string())?;
    go(conn, "BEGIN").await?;
    let locks: Vec<String> = program.locks.iter().map(|table| format!("{schema}.{}", table.name)).collect();
    go(conn, &format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", locks.join(", "))).await?;
    let batches = salvage::take(conn, &mut prepared).await.map_err(words)?;
    for batch in &batches {
        go(conn, batch).await?;
    }
    go(conn, &format!("DELETE FROM tool._sqlx_migrations WHERE version = {seed}")).await?;
    salvage::settle(conn, prepared).await.map_err(words)?;
    go(conn, "COMMIT").await?;
    for sql in &case.old {
        go(conn, sql).await?;
    }
    let stayed = numbers(conn, case).await.map_err(|error| error.to_string())?;
    let middle = rows(conn, Some(&stayed)).await.map_err(|error| error.to_string())?;
    applied(conn, &case.up.join("; "), seed).await?;
    let all = salvage::salvaged(conn).await.map_err(words)?;
    let Some(salvaged) = all.first().filter(|one| one.run == step.run) else {
        return Ok(compare(case, &before, &rows(conn, None).await.map_err(|error| error.to_string())?));
    };
    if sabotage && !lose_a_row(conn, salvaged).await? {
        return Ok(Some("nothing to lose".to_owned()));
    }
    let restored =
        salvage::restore(conn, salvaged, OnConflict::Keep, false, &Heard::default()).await.map_err(words)?;
    go(conn, &format!("SET search_path = {schema}")).await?;
    let after = rows(conn, None).await.map_err(|error| error.to_string())?;
    if case.touched.is_empty() && restored.conflicts_count > 0 {
        return Ok(Some(format!("conflicts although nobody wrote: {:#?}", restored.conflicts)));
    }
    let stays = rows(conn, Some(&stayed)).await.map_err(|error| error.to_string())?;
    salvage::drop_salvage(conn, salvaged).await.map_err(words)?;
    Ok(compare(case, &before, &after).or_else(|| overwritten(case, &middle, &stays)))
}

/// Takes a row out of the first store that has one.
async fn lose_a_row(conn: &mut PgConnection, salvaged: &Salvaged) -> Result<bool, String> {
    let Some(store) = salvaged.stores.iter().find(|store| store.rows > 0) else { return Ok(false) };
    let place = format!("_unship.{}", store.place.name);
    go(conn, &format!("DELETE FROM {place} WHERE ctid = (SELECT min(ctid) FROM {place})")).await?;
    Ok(true)
}

fn program(schema: &str, seed: u64, case: &Case) -> Program {
    let qualified =
        |name: &ObjectName| ObjectName { schema: Some(schema.to_owned()), name: name.name.clone() };
    let kinds = case.lost.iter().map(|kind| match kind.clone() {
        LossKind::Table { table } => LossKind::Table { table: qualified(&table) },
        LossKind::Column { table, column, default } => {
            LossKind::Column { table: qualified(&table), column, default }
        }
        LossKind::Rewritten { table, column, from, to } => {
            LossKind::Rewritten { table: qualified(&table), column, from, to }
        }
        LossKind::Rows { table } => LossKind::Rows { table: qualified(&table) },
        LossKind::Sequence { sequence } => LossKind::Sequence { sequence: qualified(&sequence) },
    });
    let allowed: Vec<Allowed> = kinds.map(|kind| Allowed { kind, affected_max: u64::MAX }).collect();
    let captured: Vec<ObjectName> = case.captured.iter().map(|table| qualified(&here(table))).collect();
    let mut locks: Vec<ObjectName> = TABLES.iter().map(|table| here(table)).collect();
    locks.extend(allowed.iter().map(|allowed| here(&allowed.kind.table().name)));
    locks.sort();
    locks.dedup();
    let mut down: Vec<String> = case.down.iter().rev().cloned().collect();
    if case.one_batch {
        down = vec![down.join(";\n")];
    }
    Program {
        dialect: Dialect::Postgres,
        tool: Tool::Sqlx,
        migration: format!("{seed}_case"),
        version: seed.to_string(),
        version_before: None,
        applied: vec![seed.to_string()],
        down: Digest::of(b"down"),
        session: Session { lock_ms_max: 5_000, lock_attempts_max: 2, statement_ms_max: 60_000 },
        table: ObjectName { schema: Some("tool".into()), name: "_sqlx_migrations".into() },
        tool_lock: None,
        locks,
        allowed,
        captured,
        batches: down,
        rows: Vec::new(),
        delta: Vec::new(),
        atomic: true,
        foreign_keys: true,
        fence: false,
    }
}

/// Tables by their names would be enough, were they not made anew: what is compared is their rows.
fn compare(case: &Case, before: &Rows, after: &Rows) -> Option<String> {
    let is_touched = |row: &Row| row.1.is_some_and(|a| case.touched.contains(&a));
    let flat = |rows: &Rows| -> BTreeMap<(Option<String>, String), usize> {
        let mut counts = BTreeMap::new();
        for (id, _, text) in rows.values().flatten().filter(|row| !is_touched(row)) {
            *counts.entry((id.clone(), text.clone())).or_default() += 1;
        }
        counts
    };
    let (mut was, mut is) = (flat(before), flat(after));
    if !case.old.is_empty() {
        // What the old release added is over and above.
        is.retain(|row, _| was.contains_key(row));
    }
    was.retain(|row, count| is.get(row) != Some(count));
    let lost: Vec<String> = was.iter().map(|(row, count)| format!("{count} x {row:?}")).collect();
    if !lost.is_empty() {
        return Some(format!("not as before:\n  {}", lost.join("\n  ")));
    }
    let more = is.iter().filter(|(row, _)| !flat(before).contains_key(*row)).count();
    (more > 0).then(|| format!("{more} rows more than before"))
}

/// Rows that the old release wrote are as it wrote them.
fn overwritten(case: &Case, middle: &Rows, after: &Rows) -> Option<String> {
    for (oid, rows) in middle {
        let written = rows.iter().filter(|row| row.1.is_some_and(|a| a == 200 || case.touched.contains(&a)));
        for row in written.filter(|row| row.2.contains("old")) {
            if !after.get(oid).is_some_and(|after| after.contains(row)) {
                return Some(format!("an old write is gone: {row:?}"));
            }
        }
    }
    None
}

fn said(seed: u64, case: &Case, why: &str) -> String {
    let mut down = case.down.clone();
    down.reverse();
    format!(
        "seed {seed}: {why}\nup {:#?}\nrows {:#?}\nmeanwhile {:#?}\ndown {down:#?}\ncaptured {:?}\nold {:#?}",
        case.up, case.rows, case.meanwhile, case.captured, case.old
    )
}

#[test]
fn nothing_is_lost_by_a_step_down() {
    if !has_postgres() {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = number("UNSHIP_PROVE_CASES").unwrap_or(CASES);
    let first = number("UNSHIP_PROVE_SEED").unwrap_or(1);
    let (next, wrong) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let counts = Mutex::new(BTreeMap::<&str, u64>::new());
    let server = Server::start(&[]);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
                    let (mut lane, mut lived) = (Lane::open(&server).await, 0);
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= first + cases || wrong.lock().expect("a lock").len() >= 5 {
                            break;
                        }
                        // A catalog that has seen too many schemas come and go slows everything down.
                        if lived == LIVES_MAX {
                            (lane, lived) = (Lane::open(&server).await, 0);
                        }
                        lived += 1;
                        let case = case(seed);
                        let ended = lane.live(seed, &case, false).await.unwrap_or_else(Some);
                        if let Some(why) = ended {
                            wrong.lock().expect("a lock").push(said(seed, &case, &why));
                        }
                        let mut counts = counts.lock().expect("a lock");
                        *counts.entry("cases").or_default() += 1;
                        *counts.entry("with old writes").or_default() += u64::from(!case.old.is_empty());
                        *counts.entry("that lose something").or_default() += u64::from(!case.lost.is_empty());
                        *counts.entry("whose down changes rows").or_default() +=
                            u64::from(!case.captured.is_empty());
                    }
                });
            });
        }
    });
    let (wrong, counts) = (wrong.into_inner().expect("a lock"), counts.into_inner().expect("a lock"));
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(cases < 100 || counts["that lose something"] * 2 > cases, "the cases show nothing: {counts:?}");
}

/// The test itself: a row that is lost from the salvage must be missed.
#[test]
fn a_salvage_that_lost_a_row_is_found_out() {
    if !has_postgres() {
        return;
    }
    let server = Server::shared();
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let mut lane = Lane::open(server).await;
        let case = Case {
            up: vec!["CREATE TABLE new0 (id int PRIMARY KEY, v text)".into()],
            rows: vec!["INSERT INTO new0 VALUES (1, 'x'), (2, 'y')".into()],
            down: vec!["DROP TABLE new0".into()],
            lost: vec![LossKind::Table { table: here("new0") }],
            ..Case::default()
        };
        assert_eq!(lane.live(1, &case, false).await, Ok(None));
        let found = lane.live(2, &case, true).await.expect("an end");
        assert!(found.is_some_and(|why| why.contains("not as before")));
    });
}
