//! Pairs of releases whose old query fails on the new schema, one for every way that was thought of: PostgreSQL
//! executes each, and none may be judged `compatible`. Beside them pairs that bear what looks alike, which have to be.
//!
//! They are files of SQL below `pairs/`: `-- pair: name`, then the older schema, `-- rows` in it, `-- step` for the
//! migration, `-- newer` for what the newer release writes, and `-- query: values` for the older release's query. The
//! table `a` with two rows is there in every pair but those that say `-- alone`.

use unship_core::verdict::Verdict;

use crate::property::{Case, broken};
use crate::queries::Bench;
use crate::world::has_postgres;

const A: &str = "CREATE TABLE a (id int PRIMARY KEY, k int, s text, active boolean DEFAULT false);\n";
const ROWS_OF_A: &str = "INSERT INTO a VALUES (1, 1, 'one', false), (2, 1, 'two', false);\n";

const FAILING: [&str; 6] = [
    include_str!("pairs/foreign_keys.sql"),
    include_str!("pairs/defaults.sql"),
    include_str!("pairs/limits.sql"),
    include_str!("pairs/partitions.sql"),
    include_str!("pairs/functions.sql"),
    include_str!("pairs/others.sql"),
];

const BORNE: &str = include_str!("pairs/borne.sql");

/// The pairs of one file, each with its name.
fn pairs(text: &'static str) -> impl Iterator<Item = (&'static str, Case)> {
    text.split("-- pair: ").skip(1).map(|pair| {
        let (name, rest) = pair.split_once('\n').expect("a name");
        (name, case(rest))
    })
}

fn case(text: &'static str) -> Case {
    let alone = text.lines().any(|line| line == "-- alone");
    let (mut base, mut rows) =
        if alone { (String::new(), String::new()) } else { (A.to_owned(), ROWS_OF_A.to_owned()) };
    let (mut step, mut newer, mut query) = (String::new(), String::new(), String::new());
    let mut values = Vec::new();
    let mut into = &mut base;
    for line in text.lines() {
        match line {
            "-- alone" => {}
            "-- rows" => into = &mut rows,
            "-- step" => into = &mut step,
            "-- newer" => into = &mut newer,
            _ if line.starts_with("-- query") => {
                into = &mut query;
                let list = line.trim_start_matches("-- query").trim_start_matches(": ");
                values.extend(
                    list.split(", ").filter(|value| !value.is_empty()).map(|value| value.trim_matches('\'')),
                );
            }
            _ => {
                into.push_str(line);
                into.push('\n');
            }
        }
    }
    Case { base, rows, step, new_rows: newer, queries: vec![(query.trim().to_owned(), values)] }
}

#[test]
fn every_pair_that_fails_is_found_out() {
    if !has_postgres() {
        return;
    }
    let bench = Bench::start();
    let mut conn = bench.connection();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, case) in FAILING.into_iter().flat_map(pairs) {
        count += 1;
        let failed =
            bench.block_on(broken(&mut conn, &case)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(failed.is_some(), "{name}: nothing fails, or the migration does not run");
        let span = bench.verdict(&case.base, &case.step, &[&case.queries[0].0], None);
        if span.verdict == Verdict::Compatible {
            wrong.push(format!("{name}: {failed:?}\n{:#?}", span.reasons));
        }
        assert_eq!(span.settles.is_empty(), span.verdict != Verdict::Unknown, "{name}");
    }
    assert!(count > 80 && wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_the_older_release_bears_is_compatible() {
    if !has_postgres() {
        return;
    }
    let bench = Bench::start();
    let mut conn = bench.connection();
    for (name, case) in pairs(BORNE) {
        let failed =
            bench.block_on(broken(&mut conn, &case)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(failed, None, "{name}");
        let span = bench.verdict(&case.base, &case.step, &[&case.queries[0].0], None);
        assert_eq!(span.verdict, Verdict::Compatible, "{name}: {:#?}", span.reasons);
    }
}
