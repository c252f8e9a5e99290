//! What `migrate` says, for a person.

use crate::cli::output::{BAD, GOOD, WARN};
use crate::cli::time_text;
use crate::flow::migrate::{Raised, Standing, Status, Taken, Verified};
use crate::plain::plain;

pub(super) fn status(status: &Status) -> Vec<String> {
    let table = match &status.live.table {
        Some(table) => format!("table {table}"),
        None => "no table yet".to_owned(),
    };
    let mut lines = vec![format!("{}: {}, {}", plain(&status.live.name), status.tool, plain(&table))];
    if let Some(release) = &status.release {
        lines.push(format!("  files of {release}"));
    }
    for found in &status.migrations {
        let word = match found.standing {
            Standing::Applied => format!("{GOOD}applied{GOOD:#}    "),
            Standing::Edited => format!("{BAD}edited{BAD:#}     "),
            Standing::Unknown => format!("{BAD}unknown{BAD:#}    "),
            Standing::PassedOver => format!("{WARN}passed over{WARN:#}"),
            Standing::Pending => "pending    ".to_owned(),
        };
        let newest = if status.newest.as_ref() == Some(&found.migration) { "  (newest)" } else { "" };
        lines.push(format!("  {word}  {}{newest}", plain(&found.migration)));
    }
    if status.migrations.is_empty() {
        lines.push("  there are no migrations".to_owned());
    }
    if status.live.applied.dirty {
        lines.push(format!("  {BAD}dirty{BAD:#}: a run of {} broke off halfway", status.tool));
    }
    if let Some(why) = &status.live.cannot_change {
        lines.push(format!("  {WARN}nothing can be changed there{WARN:#}: {}", plain(why)));
    }
    for fence in &status.fences {
        let of = fence.release.as_ref().map(|release| format!(" of {release}")).unwrap_or_default();
        let since = time_text(fence.since);
        lines.push(format!(
            "  {WARN}fenced{WARN:#}       {}{of} since {since}: {}",
            plain(&fence.migration),
            plain(&fence.reason)
        ));
    }
    for salvaged in &status.salvaged {
        let rows: u64 = salvaged.stores.iter().map(|store| store.rows).sum();
        let restored = salvaged.restored.map(|at| format!(", put back {}", time_text(at)));
        lines.push(format!(
            "  salvaged     {rows} rows of {} by run {}{}",
            plain(&salvaged.migration),
            salvaged.run,
            restored.unwrap_or_default()
        ));
    }
    lines
}

pub(super) fn verified(verified: &Verified) -> Vec<String> {
    let mut lines: Vec<String> =
        verified.wrong.iter().map(|wrong| format!("{BAD}wrong{BAD:#}    {}", plain(wrong))).collect();
    lines.extend(verified.beside.iter().map(|beside| format!("{WARN}beside{WARN:#}   {}", plain(beside))));
    if verified.wrong.is_empty() {
        let count = verified.applied;
        let count = if count == 1 { "1 migration".to_owned() } else { format!("{count} migrations") };
        lines.push(format!(
            "{}: {count} applied, and the schema is what they make",
            plain(&verified.live.name)
        ));
    }
    lines
}

pub(super) fn raised(raised: &Raised, dry_run: bool) -> Vec<String> {
    let mut lines: Vec<String> = raised.applied.iter().map(|id| format!("applied {}", plain(id))).collect();
    let word = if dry_run { "would apply" } else { "not applied:" };
    lines.extend(raised.left.iter().map(|id| format!("{word} {}", plain(id))));
    if lines.is_empty() {
        lines.push("everything is applied".to_owned());
    }
    lines
}

pub(super) fn taken(taken: &Taken) -> Vec<String> {
    let mut lines = vec![format!("{} is down", plain(&taken.migration))];
    lines.extend(taken.did.said.iter().map(|line| format!("  {}", plain(line))));
    let micros = taken.did.locked_us;
    if micros > 0 {
        lines.push(format!("  its tables were locked for {}.{:03} ms", micros / 1_000, micros % 1_000));
    }
    lines.push(match &taken.newest {
        Some(version) => format!("  the newest applied version is {}", plain(version)),
        None => "  nothing is applied any more".to_owned(),
    });
    lines
}
