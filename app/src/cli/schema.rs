//! What is known of going back over a span's migrations, in lines for a person.

use unship_core::release::Release;
use unship_core::verdict::{BootAnswer, QueryEvidence, SpanVerdict, Verdict};

use super::output::DIM;
use crate::flow::schema::Schema;
use crate::plain::plain;

/// Most migrations and reasons that are shown.
const LINES_MAX: usize = 8;
const MARGIN: &str = "            ";

/// The lines, the first with the word `schema` in front.
/// `changed`: the schema is taken back too, so that nothing has to be overruled.
pub(super) fn lines(schema: &Schema, from: Option<&Release>, to: &Release, changed: bool) -> Vec<String> {
    match schema {
        Schema::Same => vec!["  schema    both releases have the same migrations".to_owned()],
        Schema::TakenDown => {
            vec![format!(
                "  schema    what {to} does not know is taken down already: nothing of it is applied"
            )]
        }
        Schema::Unknown { why, .. } => vec![
            format!("  schema    unknown: {}", plain(why)),
            format!("{MARGIN}you accepted this with --accept-unknown-schema"),
        ],
        Schema::Judged { span } => judged(span, from, to, changed),
    }
}

fn judged(span: &SpanVerdict, from: Option<&Release>, to: &Release, changed: bool) -> Vec<String> {
    let from = from.map_or_else(|| "it".to_owned(), ToString::to_string);
    let overall = span.overall();
    let words = match overall {
        Verdict::Compatible => "and the old code runs on the new schema",
        Verdict::Unknown => "and it is not known whether the old code runs on the new schema",
        Verdict::Breaks => "and the old code does not run on the new schema",
    };
    let count = span.migrations.len();
    let migrations = if count == 1 { "1 migration".to_owned() } else { format!("{count} migrations") };
    let mut lines = vec![format!("  schema    {}: {from} added {migrations} {words}", overall.word())];
    let width =
        span.migrations.iter().map(|migration| migration.id.chars().count()).max().unwrap_or(0).min(40);
    for migration in span.migrations.iter().take(LINES_MAX) {
        lines.push(format!("{MARGIN}  {:width$}  {}", plain(&migration.id), plain(&migration.did)));
    }
    if count > LINES_MAX {
        lines.push(format!("{MARGIN}  and {} more", count - LINES_MAX));
    }
    let boots = match (span.boot.answer, span.boot.proven) {
        (BootAnswer::Starts, true) => "it boots there".to_owned(),
        (BootAnswer::Starts, false) => format!("it boots there by rule: {}", plain(&span.boot.why)),
        (BootAnswer::Refuses, true) => format!("it does not boot there: {}", plain(&span.boot.why)),
        (BootAnswer::Refuses, false) => {
            format!("whether it boots there was not tried: {}", plain(&span.boot.why))
        }
        (BootAnswer::Unknown, _) => format!("whether it boots there is not known: {}", plain(&span.boot.why)),
    };
    lines.push(match &span.queries {
        QueryEvidence::Yes { usable, passed, unusable, .. } => {
            let unusable =
                if *unusable == 0 { String::new() } else { format!(" ({unusable} prove nothing)") };
            format!(
                "{MARGIN}  {passed} of {usable} queries of {to} plan on the new schema{unusable}; {boots}"
            )
        }
        QueryEvidence::No { .. } => format!("{MARGIN}  no queries of {to} are known; {boots}"),
    });
    lines.extend(
        span.remarks
            .iter()
            .take(LINES_MAX)
            .map(|remark| format!("{MARGIN}  {DIM}note: {}{DIM:#}", plain(remark))),
    );
    if overall != Verdict::Compatible {
        let word = match overall {
            _ if changed => "because",
            Verdict::Unknown => "accepted",
            Verdict::Compatible | Verdict::Breaks => "overruled",
        };
        lines.extend(
            span.deciding()
                .take(LINES_MAX)
                .map(|reason| format!("{MARGIN}  {word}: {}", plain(&reason.text))),
        );
    }
    lines
}
