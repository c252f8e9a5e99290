//! `unship status`

use std::process::ExitCode;

use unship_core::history::Standing;
use unship_core::protocol::{Instance, InstanceState, UnitFlip};

use super::output::{BAD, DIM, GOOD, STRONG, WARN};
use super::site::{self, SiteArgs};
use super::{CliError, Output, aftercare, exit, time_text};
use crate::flow::status::{HostStatus, Status, status};
use crate::plain::plain;
use crate::wire::{LedgerUse, Upkeep};

/// Show what every host serves, what is known of every release, and who runs what
///
/// The exit status is 0 when every host serves its release well, 4 when one does not.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let mut site = args.site.site()?;
    site.upkeep = Upkeep::Never;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let status = status(&world, site::run_id()?).await?;
        if output.is_json() {
            output.document(&status)?;
        } else {
            let service = &world.target.service.name;
            output.line(format!("{STRONG}{service} {}{STRONG:#}", world.target.environment));
            for line in lines(&status) {
                output.line(line);
            }
        }
        aftercare::after(&site, output).await;
        let well = status.missing.is_empty() && status.hosts.iter().all(|host| host.trouble.is_none());
        Ok(ExitCode::from(if well { exit::OK } else { exit::PARTIAL }))
    })
}

fn lines(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    for host in &status.hosts {
        lines.extend(host_lines(host));
    }
    for missing in &status.missing {
        let why = plain(&missing.why);
        lines.push(format!("  {:<16} {BAD}does not answer{BAD:#}: {why}", missing.host));
    }
    if !status.releases.is_empty() {
        lines.push(String::new());
    }
    for record in status.releases.iter().rev() {
        let style = match record.standing {
            Standing::KnownGood => GOOD,
            Standing::Bad => BAD,
            Standing::Unproven => DIM,
        };
        let standing = record.standing.words();
        let since = time_text(record.since);
        lines.push(format!(
            "  {:<16} {style}{standing:<10}{style:#} {DIM}{}  {}, {since}{DIM:#}",
            record.release,
            record.release.digest.short(),
            plain(&record.why)
        ));
    }
    lines.push(String::new());
    match (&status.serves, &status.rollback_target) {
        (Some(serves), Some(target)) => {
            lines.push(format!("  `unship rollback` would go from {serves} back to {target}"));
        }
        (Some(serves), None) => lines.push(format!("  no known-good release to go back to from {serves}")),
        (None, _) => lines.push(format!("  {WARN}the hosts serve no one release{WARN:#}")),
    }
    if let Some(holder) = &status.holder {
        let since = time_text(holder.since);
        lines.push(format!("  {WARN}{} is at work{WARN:#}: {}, since {since}", holder.who, holder.what));
    } else if let Some(run) = &status.unfinished {
        lines.push(format!(
            "  {WARN}run {run} is not finished{WARN:#}: go on with `unship resume`, or `unship abort`"
        ));
    }
    for delivery in &status.owed {
        lines.push(format!("  {WARN}owed{WARN:#}       {}", aftercare::line(delivery)));
    }
    lines
}

fn host_lines(host: &HostStatus) -> Vec<String> {
    let serves = host.state.current.as_ref().map_or("nothing", |current| current.tag.as_str());
    let mut lines = vec![match &host.trouble {
        None => format!("  {:<16} {serves:<12} {GOOD}serves well{GOOD:#}", host.host),
        Some(trouble) => format!("  {:<16} {serves:<12} {BAD}{trouble}{BAD:#}", host.host),
    }];
    lines.extend(host.state.instances.iter().map(instance_line));
    lines.extend(host.state.flips.iter().map(flip_line));
    for trouble in &host.state.troubles {
        lines.push(format!("      {WARN}damaged{WARN:#}      {}", plain(trouble)));
    }
    for mark in &host.state.quarantined {
        lines.push(format!("      quarantined  {:<12} {}", mark.release, plain(&mark.reason)));
    }
    lines
}

/// In which order a unit is flipped, and why in no better one.
fn flip_line(flip: &UnitFlip) -> String {
    let order = flip.order.words();
    if flip.gaps.is_empty() {
        return format!("      {DIM}{:<12} flips by {order}{DIM:#}", flip.unit);
    }
    let gaps: Vec<String> = flip.gaps.iter().map(ToString::to_string).collect();
    format!(
        "      {:<12} {WARN}flips by {order}, not by overlap:{WARN:#} {}; see `unship init --systemd`",
        flip.unit,
        plain(&gaps.join("; "))
    )
}

fn instance_line(instance: &Instance) -> String {
    let state = match instance.state {
        InstanceState::Starting => "starting",
        InstanceState::Ready => "ready",
        InstanceState::Draining => "finishing its requests",
        InstanceState::Restarting => "ended, starts again",
        InstanceState::Failed => "failed, nothing starts it again",
    };
    let proof = if instance.proved { "executable proved" } else { "executable not proved" };
    let restarts = match instance.restarts {
        0 => String::new(),
        1 => ", restarted once".into(),
        count => format!(", restarted {count} times"),
    };
    format!(
        "      {:<12} {:<12} {DIM}pid {}, {state}, {proof}{restarts}{DIM:#}",
        instance.unit, instance.release, instance.pid
    )
}
