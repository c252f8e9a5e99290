use std::collections::BTreeSet;

use super::*;
use crate::down::loss::Loss;
use crate::down::program::{RowChange, Value};
use crate::schema::{Address, Fact, Object};
use crate::sql;
use crate::tools::{self, MigrationFile, MigrationSet, Tool};

/// A catalog from lines: `table users`, `column users.email text`, `fk issues.owner users CASCADE`, `deferred`,
/// `index`, `trigger issues.touch audit`, `function audit plpgsql BODY`, `enum status open,closed`. The number of an
/// object is that of its first mention, so that the same line is the same object in every catalog of a test.
fn catalog(lines: &[&str]) -> Catalog {
    lines.iter().map(|line| object(line)).collect()
}

fn number(text: &str) -> u32 {
    text.bytes().fold(7, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

fn object(line: &str) -> Object {
    let mut words = line.splitn(3, ' ');
    let (kind, name, rest) =
        (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
    // `new:` makes another object under the same name; `was:a:b` is the object that was called a.
    let (name, identity) = match name.split(':').collect::<Vec<_>>()[..] {
        ["new", name] => (name, format!("new {name}")),
        ["was", was, name] => (name, was.to_owned()),
        _ => (name, name.to_owned()),
    };
    let (table, part) = name.split_once('.').map_or((name, None), |(table, part)| (table, Some(part)));
    let was_table = identity.split('.').next().unwrap_or("").to_owned();
    let address = match part {
        Some(_) if kind == "column" => Address {
            class: 1,
            oid: number(was_table.trim_start_matches("new ")),
            sub: i32::try_from(number(&identity) % 1_000_000).unwrap_or(1),
        },
        _ => Address { class: 1, oid: number(&identity), sub: 0 },
    };
    let named = match part {
        Some(part) => Name::part("public", table, part),
        None => Name::of("public", table),
    };
    let make = |kind: Kind| Object::new(kind, named.clone(), address);
    match kind {
        "table" => make(Kind::Table),
        "partition" => make(Kind::Table).with(Fact::PartitionBound, format!("public.{rest} FOR VALUES")),
        "view" => make(Kind::View).with(Fact::Definition, rest),
        "column" => make(Kind::Column).with(Fact::Type, rest),
        "generated" => make(Kind::Column).with(Fact::Type, "text").with(Fact::Generated, rest),
        "index" => make(Kind::Index).with(Fact::Definition, rest),
        "unique" => make(Kind::Index).with(Fact::Definition, rest).with(Fact::Unique, "t"),
        "composite" => make(Kind::Composite).with(Fact::Definition, rest),
        "domain" => make(Kind::Domain).with(Fact::Type, rest),
        "sequence" => make(Kind::Sequence).with(Fact::OwnedBy, rest),
        "foreign" => make(Kind::ForeignTable),
        "enum" => make(Kind::Enum).with(Fact::Values, rest.replace(',', "\n")),
        "fk" => {
            let (target, action) = rest.split_once(' ').unwrap_or((rest, ""));
            let definition = format!("FOREIGN KEY (x) REFERENCES public.{target}(id) {action}");
            make(Kind::Constraint).with(Fact::Sort, "f").with(Fact::Definition, definition)
        }
        "trigger" => make(Kind::Trigger).with(
            Fact::Definition,
            format!("CREATE TRIGGER t AFTER UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.{rest}()"),
        ),
        "function" => Object::new(Kind::Function, Name::of("public", format!("{name}()")), address)
            .with(Fact::Body, rest)
            .with(Fact::Options, "plpgsql volatile"),
        other => panic!("{other}"),
    }
}

/// One migration of a tool, with a plain up and this down.
fn migration(tool: Tool, down: &str) -> Migration {
    let up = "CREATE TABLE topics (id bigint);\n";
    let files = match tool {
        Tool::Sqlx => vec![("0012_topics.up.sql", up.to_owned()), ("0012_topics.down.sql", down.to_owned())],
        Tool::GolangMigrate => {
            vec![("000012_topics.up.sql", up.to_owned()), ("000012_topics.down.sql", down.to_owned())]
        }
        Tool::Goose => {
            vec![("00012_topics.sql", format!("-- +goose Up\n{up}-- +goose Down\n{down}"))]
        }
        Tool::Diesel => {
            vec![
                ("2026-01-12-000000_topics/up.sql", up.to_owned()),
                ("2026-01-12-000000_topics/down.sql", down.to_owned()),
            ]
        }
        Tool::Dbmate => {
            vec![("20260112_topics.sql", format!("-- migrate:up\n{up}-- migrate:down\n{down}"))]
        }
        Tool::Plain => vec![("012_topics.sql", up.to_owned()), ("012_topics.down.sql", down.to_owned())],
    };
    let files = files.into_iter().map(|(path, text)| MigrationFile::new(path, text.into_bytes())).collect();
    let mut set: MigrationSet = tools::read(tool, files).expect("a set");
    set.migrations.remove(0)
}

/// All that a case varies, with what is the same for most.
struct Case {
    dialect: Dialect,
    tool: Tool,
    down: &'static str,
    before: Catalog,
    after: Result<Catalog, RunFailureText>,
    locks: Vec<&'static str>,
    rewritten: Vec<(&'static str, &'static str)>,
    outside: Option<&'static str>,
    live: Option<Catalog>,
    affected: u64,
    in_the_way: Vec<String>,
    not_atomic: bool,
    has_table: bool,
}

type RunFailureText = &'static str;

impl Case {
    fn of(down: &'static str, before: &[&str], after: &[&str]) -> Case {
        Case {
            dialect: Dialect::Postgres,
            tool: Tool::Sqlx,
            down,
            before: catalog(before),
            after: Ok(catalog(after)),
            locks: Vec::new(),
            rewritten: Vec::new(),
            outside: None,
            live: None,
            affected: 41,
            in_the_way: Vec::new(),
            not_atomic: false,
            has_table: true,
        }
    }

    fn locked(mut self, locks: &[&'static str]) -> Case {
        self.locks = locks.to_vec();
        self
    }

    fn compiled(&self) -> (Vec<LossKind>, Compiled) {
        let migration = migration(self.tool, self.down);
        let script = migration.down.script().cloned();
        let facts = script.as_ref().map_or_else(Default::default, |script| sql::facts(&script.sql));
        let table = |name: &&str| ObjectName { schema: Some("public".into()), name: (*name).into() };
        let trial = Trial {
            before: self.before.clone(),
            after: self
                .after
                .clone()
                .map_err(|why| crate::verdict::RunFailure::not_sent("0012_topics.down.sql", Some(1), why)),
            outside: self.outside.map(str::to_owned),
            locks: self.locks.iter().map(table).collect(),
            rewritten: self.rewritten.iter().map(|(of, column)| (table(of), (*column).to_owned())).collect(),
            remarks: Vec::new(),
        };
        let live = self.live.clone().unwrap_or_else(|| self.before.clone());
        let known = Known {
            dialect: self.dialect,
            migration: &migration,
            facts: &facts,
            trial: &trial,
            around_up: None,
            top: &self.before,
            live: &live,
        };
        let kinds = known.losses();
        let losses = kinds.iter().map(|kind| Loss {
            kind: kind.clone(),
            rows: 100,
            affected: self.affected,
            bytes: 8_192,
            since_deploy: None,
        });
        let report = LossReport {
            migration: migration.id.clone(),
            down: script.map_or_else(|| crate::release::Digest::of(b""), |script| script.digest),
            losses: losses.collect(),
        };
        let applied = BTreeSet::from([migration.version.recorded().to_owned(), "11".to_owned()]);
        let table = ObjectName {
            schema: Some("public".into()),
            name: about(self.tool).table.map_or("none", |table| table.name).into(),
        };
        let session = Session { lock_ms_max: 2_000, lock_attempts_max: 15, statement_ms_max: 3_600_000 };
        let said = Said {
            session: &session,
            table: Some(&table).filter(|_| self.has_table),
            database: "shithub",
            applied: &applied,
            version_before: Some("11"),
            fence: true,
            not_atomic: self.not_atomic,
            in_the_way: &self.in_the_way,
            cannot_change: None,
        };
        (kinds, compile(&known, &said, &report))
    }

    fn program(&self) -> Program {
        let (_, compiled) = self.compiled();
        compiled.program.unwrap_or_else(|refusals| panic!("{}: {refusals:?}", self.down))
    }

    /// The refusals as sentences.
    fn refused(&self) -> String {
        let (_, compiled) = self.compiled();
        let refusals = compiled.program.err().unwrap_or_default();
        refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    /// What is destroyed and which rows are kept, as words.
    fn losses(&self) -> Vec<String> {
        self.compiled().0.iter().map(word).collect()
    }
}

fn word(kind: &LossKind) -> String {
    match kind {
        LossKind::Table { table } => format!("table {table}"),
        LossKind::Column { table, column, .. } => format!("column {table}.{column}"),
        LossKind::Rewritten { table, column, from, to } => {
            format!("{table}.{column} from {from} to {to}")
        }
        LossKind::Rows { table } => format!("rows {table}"),
        LossKind::Sequence { sequence } => format!("sequence {sequence}"),
    }
}

const BASE: [&str; 3] = ["table issues", "column issues.id bigint", "column issues.status text"];
const WITH_TOPICS: [&str; 5] = [
    "table issues",
    "column issues.id bigint",
    "column issues.status text",
    "table topics",
    "column topics.id bigint",
];

#[test]
fn a_program_for_each_tool() {
    for tool in Tool::ALL.into_iter().filter(|tool| *tool != Tool::Plain) {
        let case = Case { tool, ..Case::of("DROP TABLE topics;\n", &WITH_TOPICS, &BASE) };
        let program = case.locked(&["topics"]).program();
        insta::assert_snapshot!(
            format!("program_{tool}"),
            serde_json::to_string_pretty(&program).expect("JSON")
        );
    }
}

#[test]
fn a_program_can_be_run_by_hand() {
    let mut shown = Vec::new();
    for tool in [Tool::Dbmate, Tool::GolangMigrate] {
        let case = Case { tool, ..Case::of("DROP TABLE topics -- gone", &WITH_TOPICS, &BASE) };
        shown.extend(crate::down::by_hand(&case.locked(&["topics"]).program()).expect("names"));
    }
    insta::assert_snapshot!(shown.join("\n"));
    let name = |name: &str| ObjectName { schema: None, name: name.into() };
    let hostile = Program {
        table: name("a\"; DROP TABLE b; --"),
        rows: vec![RowChange {
            sql: "DELETE FROM {table} WHERE version = $1 AND $10 = $2".into(),
            values: vec![Value::Text("'; DROP TABLE c; --".into()), Value::Bytes(vec![0, 255])],
        }],
        ..Case::of("DROP TABLE topics", &WITH_TOPICS, &BASE).program()
    };
    let lines = crate::down::by_hand(&hostile).expect("names");
    let written = lines.iter().find(|line| line.starts_with("DELETE")).expect("the row");
    assert_eq!(
        written,
        "DELETE FROM \"a\"\"; DROP TABLE b; --\" WHERE version = '''; DROP TABLE c; --' AND $10 = '\\x00ff';"
    );
    let long = Program { table: name(&"x".repeat(64)), ..hostile };
    assert!(crate::down::by_hand(&long).is_err());
}

#[test]
fn what_is_destroyed_is_named() {
    let all = |more: &[&'static str]| [&BASE[..], more].concat();
    let cases: Vec<(Case, &[&str])> = vec![
        (Case::of("DROP TABLE topics", &WITH_TOPICS, &BASE), &["table public.topics"]),
        (
            Case::of("ALTER TABLE issues DROP COLUMN note", &all(&["column issues.note text"]), &BASE),
            &["column public.issues.note"],
        ),
        // Made anew under the same name.
        (
            Case::of("DROP TABLE issues; CREATE TABLE issues (id bigint)", &BASE, &["table new:issues"]),
            &["table public.issues"],
        ),
        // A rename keeps its rows and values.
        (
            Case::of(
                "ALTER TABLE tags RENAME TO topics",
                &["table tags", "column tags.id bigint"],
                &["table was:tags:topics", "column was:tags.id:topics.id bigint"],
            ),
            &[],
        ),
        (
            Case::of(
                "ALTER TABLE issues ALTER COLUMN id TYPE integer",
                &BASE,
                &["table issues", "column issues.id integer", "column issues.status text"],
            ),
            &["public.issues.id from bigint to integer"],
        ),
        (
            Case::of(
                "ALTER TABLE issues ALTER COLUMN n TYPE bigint",
                &all(&["column issues.n integer"]),
                &all(&["column issues.n bigint"]),
            ),
            &[],
        ),
        // What is computed comes back by itself.
        (
            Case::of(
                "ALTER TABLE issues DROP COLUMN lower",
                &all(&["generated issues.lower lower(status)"]),
                &BASE,
            ),
            &[],
        ),
        (
            Case::of(
                "ALTER TYPE state RENAME TO old",
                &["enum state open,closed", "table issues", "column issues.s state"],
                &["enum state open", "table issues", "column issues.s state"],
            ),
            &["public.issues.s from state to state without closed"],
        ),
        // The rows of a partition are those of its parent.
        (
            Case::of("DROP TABLE events", &["table events", "partition events_2026 events"], &[]),
            &["table public.events"],
        ),
    ];
    for (case, expected) in cases {
        assert_eq!(case.losses(), expected, "{}", case.down);
    }
}

#[test]
fn rows_that_statements_change_are_named_and_those_that_they_only_add_are_not() {
    let fk = |action: &str| {
        let mut lines = WITH_TOPICS.map(str::to_owned).to_vec();
        lines.push(format!("fk topics.owner issues {action}"));
        lines
    };
    let with = |lines: &[String], down: &'static str| {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        Case::of(down, &lines, &lines)
    };
    let plain = |down: &'static str| Case::of(down, &WITH_TOPICS, &WITH_TOPICS);
    let cases: Vec<(Case, &[&str])> = vec![
        (plain("UPDATE issues SET status = 'open'"), &["rows public.issues"]),
        (plain("DELETE FROM public.issues WHERE id = 1"), &["rows public.issues"]),
        (plain("TRUNCATE issues"), &["rows public.issues"]),
        (plain("INSERT INTO issues (id) VALUES (1)"), &[]),
        (
            plain("INSERT INTO issues (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET status = 'x'"),
            &["rows public.issues"],
        ),
        (plain("DO $$ BEGIN UPDATE issues SET status = 'x'; END $$"), &["rows public.issues"]),
        (
            plain(
                "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM topics; END $$;\n\
                 SELECT f(); DROP FUNCTION f()",
            ),
            &["rows public.topics"],
        ),
        (plain("CREATE TEMP TABLE t (id bigint); DELETE FROM t"), &[]),
        (with(&fk("ON DELETE CASCADE"), "DELETE FROM issues"), &["rows public.issues", "rows public.topics"]),
        (
            with(&fk("ON DELETE SET NULL"), "DELETE FROM issues"),
            &["rows public.issues", "rows public.topics"],
        ),
        (with(&fk(""), "DELETE FROM issues"), &["rows public.issues"]),
        (with(&fk(""), "TRUNCATE issues CASCADE"), &["rows public.issues", "rows public.topics"]),
        // Under the name that the script itself gave.
        (
            Case::of(
                "ALTER TABLE issues RENAME TO tickets; UPDATE tickets SET status = 'x'",
                &BASE,
                &[
                    "table was:issues:tickets",
                    "column was:issues.id:tickets.id bigint",
                    "column was:issues.status:tickets.status text",
                ],
            ),
            &["rows public.issues"],
        ),
    ];
    for (case, expected) in cases {
        assert_eq!(case.losses(), expected, "{}", case.down);
    }
}

#[test]
fn what_a_trigger_or_a_function_of_the_database_writes_counts() {
    let lines = [
        &WITH_TOPICS[..],
        &["trigger issues.touch on_touch", "function on_touch BEGIN DELETE FROM topics; RETURN new; END"],
    ]
    .concat();
    let update = Case::of("UPDATE issues SET status = 'x'", &lines, &lines);
    assert_eq!(update.losses(), ["rows public.issues", "rows public.topics"]);
    let insert = Case::of("INSERT INTO issues (id) VALUES (1)", &lines, &lines);
    assert_eq!(insert.losses(), ["rows public.topics"]);
    let call = Case::of("SELECT on_touch()", &lines, &lines);
    assert_eq!(call.losses(), ["rows public.topics"]);
    // To drop it is not to call it.
    let drop = Case::of("DROP FUNCTION on_touch()", &lines, &lines);
    assert_eq!(drop.losses(), Vec::<String>::new());
    // One that the live database alone has acts there.
    let live = Case {
        live: Some(catalog(&lines)),
        ..Case::of("UPDATE issues SET status = 'x'", &WITH_TOPICS, &WITH_TOPICS)
    };
    assert_eq!(live.losses(), ["rows public.issues", "rows public.topics"]);
}

#[test]
fn sql_that_is_put_together_while_it_runs_counts_for_what_it_locked_and_else_for_everything() {
    let dynamic = "DO $$ BEGIN EXECUTE 'DELETE FROM ' || 'issues'; END $$";
    let locked = Case::of(dynamic, &WITH_TOPICS, &WITH_TOPICS).locked(&["issues"]);
    assert_eq!(locked.losses(), ["rows public.issues"]);
    let unseen = Case::of(dynamic, &WITH_TOPICS, &WITH_TOPICS);
    assert_eq!(unseen.losses(), ["rows public.issues", "rows public.topics"]);
    // What changes no rows by itself is watched, and no loss.
    let ddl = "DO $$ BEGIN EXECUTE 'ALTER TABLE issues ADD COLUMN x int'; END $$";
    let ddl = Case::of(ddl, &WITH_TOPICS, &WITH_TOPICS).locked(&["issues"]);
    assert_eq!(ddl.losses(), Vec::<String>::new());
    assert_eq!(ddl.program().captured, [ObjectName { schema: Some("public".into()), name: "issues".into() }]);
}

#[test]
fn tables_of_the_live_database_alone_count_where_sql_is_put_together_while_it_runs() {
    let live = [
        &WITH_TOPICS[..],
        &["table hand", "fk hand.topic topics", "table apart", "partition issues_1 issues"],
    ];
    let live = Some(catalog(&live.concat()));
    let dynamic = "DO $$ BEGIN EXECUTE 'TRUNCATE ' || 'topics CASCADE'; END $$";
    let locked =
        Case { live: live.clone(), ..Case::of(dynamic, &WITH_TOPICS, &WITH_TOPICS).locked(&["topics"]) };
    assert_eq!(locked.losses(), ["rows public.hand", "rows public.topics"]);
    let program = locked.program();
    assert_eq!((program.captured.len(), program.locks.len()), (2, 2), "{program:#?}");
    let unseen = Case { live: live.clone(), ..Case::of(dynamic, &WITH_TOPICS, &WITH_TOPICS) };
    assert_eq!(
        unseen.losses(),
        ["rows public.apart", "rows public.hand", "rows public.issues", "rows public.topics"]
    );
    // A text that names them is about them.
    let named = Case { live, ..Case::of("TRUNCATE topics CASCADE", &WITH_TOPICS, &WITH_TOPICS) };
    assert_eq!(named.losses(), ["rows public.hand", "rows public.topics"]);
    assert!(named.refused().contains("it has table hand, which no migration makes"), "{}", named.refused());
}

#[test]
fn rows_on_another_server_are_not_changed() {
    let lines = [&BASE[..], &["foreign remote"]].concat();
    for down in ["DELETE FROM remote", "DO $$ BEGIN UPDATE remote SET x = 1; END $$"] {
        let case = Case::of(down, &lines, &lines);
        assert!(case.refused().contains("changes rows of remote, which are on another server"), "{down}");
    }
    assert_eq!(Case::of("DELETE FROM issues", &lines, &lines).refused(), "");
    let large = Case::of("DO $$ BEGIN PERFORM lo_unlink(id::oid) FROM issues; END $$", &BASE, &BASE);
    assert!(large.refused().contains("changes large objects with `lo_unlink()`"), "{}", large.refused());
}

#[test]
fn values_that_are_computed_anew_are_named() {
    let using = "ALTER TABLE issues ALTER status TYPE text USING left(status, 3), ALTER id SET NOT NULL";
    let rewritten = |down| Case { rewritten: vec![("issues", "status")], ..Case::of(down, &BASE, &BASE) };
    assert_eq!(rewritten(using).losses(), ["public.issues.status from text to text"]);
    // Nothing was written anew, or nothing is computed.
    assert_eq!(Case::of(using, &BASE, &BASE).losses(), Vec::<String>::new());
    assert_eq!(rewritten("ALTER TABLE issues ALTER status TYPE text").losses(), Vec::<String>::new());
    // Nobody knows what a text says that is put together.
    let dynamic = "DO $$ BEGIN EXECUTE 'ALTER TABLE ' || 'issues ALTER status TYPE text'; END $$";
    assert_eq!(rewritten(dynamic).losses(), ["public.issues.status from text to text"]);
    let narrowed = Case {
        rewritten: vec![("issues", "id")],
        ..Case::of(
            "ALTER TABLE issues ALTER id TYPE bigint USING id / 10",
            &["table issues", "column issues.id integer"],
            &["table issues", "column issues.id bigint"],
        )
    };
    assert_eq!(narrowed.losses(), ["public.issues.id from integer to bigint"]);
}

#[test]
fn rows_are_not_asked_whether_they_fit_what_is_computed() {
    let before =
        ["enum state open,closed", "table issues", "column issues.s state", "column issues.n bigint"];
    let after = ["enum state open", "table issues", "column issues.s state", "column issues.n integer"];
    let down = "ALTER TABLE issues ALTER s TYPE state USING 'open', ALTER n TYPE integer USING n::integer";
    let migration = migration(Tool::Sqlx, down);
    let facts = sql::facts(down);
    let column = |column: &str| {
        (ObjectName { schema: Some("public".into()), name: "issues".into() }, column.to_owned())
    };
    let trial = Trial { rewritten: vec![column("s")], ..Trial::of_nothing(catalog(&before)) };
    let (top, after) = (catalog(&before), catalog(&after));
    let known = Known {
        dialect: Dialect::Postgres,
        migration: &migration,
        facts: &facts,
        trial: &trial,
        around_up: None,
        top: &top,
        live: &top,
    };
    let changes = diff(&top, &known.asked(&after)).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(changes, ["column issues.n: type changed from bigint to integer"]);
}

#[test]
fn what_types_lose_is_lost_in_every_column_that_holds_them() {
    let before = [
        "composite addr street text, zip integer",
        "composite place home addr, note text",
        "domain places place[]",
        "table people",
        "column people.a addr",
        "column people.b public.places",
        "column people.c text",
        "table other",
        "column other.x integer",
        "column people.d other[]",
    ];
    let less = before
        .map(|line| if line.starts_with("composite addr") { "composite addr street text" } else { line });
    assert_eq!(
        Case::of("ALTER TYPE addr DROP ATTRIBUTE zip", &before, &less).losses(),
        [
            "public.people.a from addr to addr as (street text)",
            "public.people.b from public.places to public.places as (street text)"
        ]
    );
    assert_eq!(Case::of("ALTER TYPE addr ADD ATTRIBUTE zip", &less, &before).losses(), Vec::<String>::new());
    let gone: Vec<&str> = before.iter().copied().filter(|line| *line != "column other.x integer").collect();
    assert_eq!(
        Case::of("ALTER TABLE other DROP COLUMN x", &before, &gone).losses(),
        ["column public.other.x", "public.people.d from other[] to other[] without x"]
    );
}

#[test]
fn sequences_that_are_dropped_or_sent_back_are_named_unless_their_table_is() {
    let lines = [&WITH_TOPICS[..], &["sequence tickets", "sequence topics_id_seq public.topics.id"]].concat();
    let same = |down| Case::of(down, &lines, &lines).losses();
    assert_eq!(same("ALTER SEQUENCE tickets RESTART"), ["sequence public.tickets"]);
    assert_eq!(same("SELECT setval('tickets', 1)"), ["sequence public.tickets"]);
    assert_eq!(same("ALTER TABLE topics ALTER id RESTART"), ["sequence public.topics_id_seq"]);
    assert_eq!(
        same("TRUNCATE topics RESTART IDENTITY"),
        ["sequence public.topics_id_seq", "rows public.topics"]
    );
    assert_eq!(
        same("DO $$ BEGIN PERFORM setval(pg_get_serial_sequence('topics', 'id'), 1); END $$"),
        ["sequence public.topics_id_seq"]
    );
    assert_eq!(same("DELETE FROM issues"), ["rows public.issues"]);
    let without: Vec<&str> = lines.iter().copied().filter(|line| *line != "sequence tickets").collect();
    assert_eq!(Case::of("DROP SEQUENCE tickets", &lines, &without).losses(), ["sequence public.tickets"]);
    let rest = [&BASE[..], &["sequence tickets"]].concat();
    assert_eq!(Case::of("DROP TABLE topics", &lines, &rest).losses(), ["table public.topics"]);
}

#[test]
fn rows_of_a_table_that_is_dropped_afterwards_are_captured() {
    let case = Case::of("DELETE FROM topics; DROP TABLE topics", &WITH_TOPICS, &BASE);
    assert_eq!(case.losses(), ["table public.topics"]);
    let topics = ObjectName { schema: Some("public".into()), name: "topics".into() };
    assert_eq!(case.program().captured, [topics]);
}

#[test]
fn what_one_transaction_cannot_hold_is_refused_unless_accepted() {
    let plain = |down: &'static str| Case::of(down, &WITH_TOPICS, &WITH_TOPICS);
    let refused = [
        ("DROP INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY on line 1"),
        ("VACUUM issues", "VACUUM on line 1"),
        (
            "BEGIN; DROP TABLE x; COMMIT; BEGIN; DROP TABLE y; COMMIT;",
            "its own BEGIN on line 1 is not simply",
        ),
        ("DROP TABLE x; COMMIT; DROP TABLE y", "its own COMMIT on line 1"),
        ("DROP TABLE x;\nROLLBACK", "its own ROLLBACK on line 2"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE; DROP TABLE x; COMMIT", "its own BEGIN"),
        ("BEGIN; DROP TABLE x; COMMIT AND CHAIN", "its own BEGIN"),
        ("DO $$ BEGIN COMMIT; END $$", "a block commits by itself on line 1"),
    ];
    for (down, why) in refused {
        let said = plain(down).refused();
        assert!(said.contains("cannot be taken back once begun: ") && said.contains(why), "{down}: {said}");
        let program = Case { not_atomic: true, ..plain(down) }.program();
        assert!(!program.atomic && program.batches == [down], "{down}");
    }
    let outside =
        Case { outside: Some("unsafe use of new value"), ..plain("UPDATE issues SET status = 'x'") };
    assert!(outside.refused().contains("unsafe use of new value"), "{}", outside.refused());
    let held = [
        "SAVEPOINT a; DROP TABLE IF EXISTS x; ROLLBACK TO a",
        "SAVEPOINT a; DROP TABLE IF EXISTS x; ROLLBACK TO SAVEPOINT a; RELEASE a",
        "ALTER TYPE state ADD VALUE 'x'",
    ];
    for down in held {
        let program = plain(down).program();
        assert!(program.atomic && program.batches == [down], "{down}");
    }
}

#[test]
fn a_begin_and_a_commit_around_all_of_it_are_left_out_and_nothing_else_is() {
    let cases = [
        ("BEGIN;\nDROP TABLE x;\nCOMMIT;\n", "      \nDROP TABLE x;\n       \n"),
        ("begin work; DROP TABLE x; end transaction;", "            DROP TABLE x;                 "),
        (
            "-- begin\nSTART TRANSACTION;\nDROP TABLE x; COMMIT",
            "-- begin\n                  \nDROP TABLE x;       ",
        ),
    ];
    for (down, sent) in cases {
        let program = Case::of(down, &WITH_TOPICS, &WITH_TOPICS).program();
        assert!(program.atomic);
        assert_eq!(program.batches, [sent], "{down}");
    }
    // Statement by statement, as goose sends them.
    let goose = Case { tool: Tool::Goose, ..Case::of("BEGIN;\nDROP TABLE x;\nCOMMIT;\n", &BASE, &BASE) };
    assert_eq!(goose.program().batches, ["DROP TABLE x;"]);
}

#[test]
fn checks_that_wait_for_the_commit_stand_in_the_way_of_altering_their_table() {
    let lines = [&WITH_TOPICS[..], &["fk topics.owner issues DEFERRABLE INITIALLY DEFERRED"]].concat();
    let of = |down: &'static str| Case::of(down, &lines, &lines);
    let refused = [
        "UPDATE topics SET id = 1; ALTER TABLE topics ADD COLUMN x int",
        "DELETE FROM issues;\nALTER TABLE issues DROP COLUMN x",
    ];
    for down in refused {
        let said = of(down).refused();
        assert!(said.contains("checked at the commit"), "{down}: {said}");
    }
    let fine = [
        "ALTER TABLE topics ADD COLUMN x int; UPDATE topics SET id = 1",
        "UPDATE topics SET id = 1; SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE topics ADD COLUMN x int",
        "UPDATE topics SET id = 1; ALTER TABLE other ADD COLUMN x int",
    ];
    for down in fine {
        assert!(of(down).program().atomic, "{down}");
    }
}

#[test]
fn a_live_schema_that_differs_matters_where_the_down_touches_it() {
    let drop = |more: &[&str]| Case {
        live: Some(catalog(&[&WITH_TOPICS[..], more].concat())),
        ..Case::of("DROP TABLE topics", &WITH_TOPICS, &BASE)
    };
    let refused = drop(&["column topics.by_hand text"]).refused();
    assert_eq!(
        refused,
        "the database is not as 0012_topics left it: it has column topics.by_hand, which no migration makes"
    );
    assert!(drop(&["unique topics.u x"]).refused().contains("it has index topics.u"));
    let beside = [vec!["column issues.by_hand text"], vec!["index topics.i x"]];
    for more in beside {
        let (_, compiled) = drop(&more).compiled();
        assert!(compiled.program.is_ok(), "{more:?}: {:?}", compiled.program);
        assert!(compiled.remarks.join(" ").contains("beside what it touches"), "{:?}", compiled.remarks);
    }
    let lacks = Case { live: Some(catalog(&BASE)), ..Case::of("DROP TABLE topics", &WITH_TOPICS, &BASE) };
    assert!(lacks.refused().contains("it lacks table topics"), "{}", lacks.refused());
    // Rows that a down changes make a table one that it touches.
    let rows = Case {
        live: Some(catalog(&[&WITH_TOPICS[..], &["column issues.by_hand text"]].concat())),
        ..Case::of("UPDATE issues SET status = 'x'", &WITH_TOPICS, &WITH_TOPICS)
    };
    assert!(rows.refused().contains("issues.by_hand"), "{}", rows.refused());
}

#[test]
fn partitions_that_were_made_as_time_went_by_go_with_their_parent_and_are_not_altered_unseen() {
    let before = ["table events", "column events.id bigint", "column events.note text"];
    let live = || Some(catalog(&[&before[..], &["partition events_2026 events"]].concat()));
    let drop = Case { live: live(), ..Case::of("DROP TABLE events", &before, &[]) };
    assert_eq!(drop.program().delta, ["removes table public.events", "removes table public.events_2026"]);
    let alter = Case {
        live: live(),
        ..Case::of(
            "ALTER TABLE events DROP COLUMN note",
            &before,
            &["table events", "column events.id bigint"],
        )
    };
    assert!(alter.refused().contains("it has partition events_2026"), "{}", alter.refused());
}

#[test]
fn on_sqlite_a_table_that_is_dropped_and_made_again_empties_what_points_at_it_where_keys_are_enforced() {
    let lines = [&WITH_TOPICS[..], &["fk topics.owner issues ON DELETE CASCADE"]].concat();
    let rebuild = "CREATE TABLE n (id bigint); INSERT INTO n SELECT id FROM issues; DROP TABLE issues; \
                   ALTER TABLE n RENAME TO issues";
    let of = |tool: Tool, down: &'static str| Case {
        dialect: Dialect::Sqlite,
        tool,
        ..Case::of(down, &lines, &lines)
    };
    assert_eq!(of(Tool::Sqlx, rebuild).losses(), ["rows public.topics"]);
    assert_eq!(of(Tool::Dbmate, rebuild).losses(), Vec::<String>::new());
    let chosen = "CREATE TABLE n (id bigint); INSERT INTO n SELECT id FROM issues WHERE id > 1; DROP TABLE issues; \
                  ALTER TABLE n RENAME TO issues";
    assert_eq!(of(Tool::Dbmate, chosen).losses(), ["rows public.issues"]);
    assert_eq!(of(Tool::Sqlx, chosen).losses(), ["rows public.issues", "rows public.topics"]);
    assert!(
        of(Tool::Sqlx, rebuild).program().foreign_keys && !of(Tool::Dbmate, rebuild).program().foreign_keys
    );
}

#[test]
fn a_table_made_by_hand_that_rows_would_cascade_into_is_named() {
    let case = Case {
        live: Some(catalog(
            &[&WITH_TOPICS[..], &["table by_hand", "fk by_hand.issue issues ON DELETE CASCADE"]].concat(),
        )),
        ..Case::of("DELETE FROM issues", &WITH_TOPICS, &WITH_TOPICS)
    };
    assert_eq!(case.losses(), ["rows public.by_hand", "rows public.issues"]);
    assert!(case.refused().contains("it has table by_hand, which no migration makes"), "{}", case.refused());
}

#[test]
fn every_reason_is_given_and_not_only_the_first() {
    let case = Case {
        after: Err("syntax error"),
        has_table: false,
        ..Case::of("DROP INDEX CONCURRENTLY i", &WITH_TOPICS, &BASE)
    };
    let said = case.refused();
    for part in
        ["has no table `_sqlx_migrations`", "CONCURRENTLY", "fails: 0012_topics.down.sql:1: syntax error"]
    {
        assert!(said.contains(part), "{said}");
    }
    let way = Case {
        in_the_way: vec!["3 rows of issues.status are NULL".into()],
        ..Case::of("DROP TABLE topics", &WITH_TOPICS, &BASE)
    };
    assert_eq!(
        way.refused(),
        "the down of 0012_topics would fail on the live data: 3 rows of issues.status are NULL"
    );
    let plain = Case { tool: Tool::Plain, ..Case::of("DROP TABLE topics", &WITH_TOPICS, &BASE) };
    assert!(plain.refused().contains("plain keeps no record"), "{}", plain.refused());
    let empty = Case::of("-- nothing\n", &WITH_TOPICS, &WITH_TOPICS);
    assert_eq!(empty.refused(), "the down of 0012_topics is empty, and its up was not");
}

#[test]
fn the_same_loss_is_found_under_the_name_that_it_has_before_earlier_steps() {
    // The step before this one renames tickets back to issues; this one drops a column of issues.
    let top = catalog(&["table was:issues:tickets", "column was:issues.note:tickets.note text"]);
    let before = catalog(&["table issues", "column issues.note text", "table made"]);
    let migration = migration(Tool::Sqlx, "ALTER TABLE issues DROP COLUMN note");
    let facts = sql::facts("ALTER TABLE issues DROP COLUMN note");
    let trial = Trial {
        before,
        after: Ok(catalog(&["table issues", "table made"])),
        outside: None,
        locks: Vec::new(),
        rewritten: Vec::new(),
        remarks: Vec::new(),
    };
    let known = Known {
        dialect: Dialect::Postgres,
        migration: &migration,
        facts: &facts,
        trial: &trial,
        around_up: None,
        top: &top,
        live: &top,
    };
    let kinds = known.losses();
    assert_eq!(kinds.iter().map(word).collect::<Vec<_>>(), ["column public.issues.note"]);
    assert_eq!(known.in_live(&kinds[0]).as_ref().map(word).as_deref(), Some("column public.tickets.note"));
    // What only an earlier step makes is not there yet.
    let made = LossKind::Rows { table: ObjectName { schema: Some("public".into()), name: "made".into() } };
    assert_eq!(known.in_live(&made), None);
}
