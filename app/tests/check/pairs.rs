//! Pairs of releases whose old query fails on the new schema, one for every way that was thought of: PostgreSQL
//! executes each, and none may be judged `compatible`. Beside them pairs that bear what looks alike, which have to be.
//!
//! They are files of SQL below `pairs/`: `-- pair: name`, then the older schema, `-- rows` in it, `-- step` for the
//! migration, `-- newer` for what the newer release writes, and `-- query: values` for the older release's query. The
//! table `a` with two rows is there in every pair but those that say `-- alone`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use unship_core::verdict::{SpanVerdict, Verdict};

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

/// Pairs that are judged at once.
const LANES: usize = 4;

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

/// Says for every pair of the files what is wrong with it, several at once.
fn judged(files: &[&'static str], wrong: impl Fn(Option<String>, &SpanVerdict) -> Option<String> + Sync) {
    let bench = Bench::start();
    let all: Vec<(&str, Case)> = files.iter().copied().flat_map(pairs).collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let mut conn = bench.connection();
                while let Some((name, case)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let said = match bench.block_on(broken(&mut conn, case)) {
                        Err(error) => Some(error.to_string()),
                        Ok(failed) => {
                            let span = bench.verdict(&case.base, &case.step, &[&case.queries[0].0], None);
                            wrong(failed, &span).map(|why| format!("{why}: {:#?}", span.reasons))
                        }
                    };
                    let said = said.map(|said| format!("{name}: {said}"));
                    found.lock().expect("no lane broke down").extend(said);
                }
            });
        }
    });
    let found = found.into_inner().expect("no lane broke down");
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), all.len(), found.join("\n"));
}

#[test]
fn no_pair_that_fails_is_judged_compatible() {
    if !has_postgres() {
        return;
    }
    judged(&FAILING, |failed, span| match failed {
        None => Some("nothing fails, or the migration does not run".to_owned()),
        Some(failed) if span.verdict == Verdict::Compatible => Some(failed),
        Some(_) => (span.verdict == Verdict::Unknown && span.settles.is_empty())
            .then(|| "nothing is said of what would settle it".to_owned()),
    });
}

#[test]
fn what_the_older_release_bears_is_compatible() {
    if !has_postgres() {
        return;
    }
    judged(&[BORNE], |failed, span| {
        failed.or_else(|| (span.verdict != Verdict::Compatible).then(|| span.verdict.word().to_owned()))
    });
}
