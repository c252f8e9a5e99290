//! `unship hotfix`

use std::process::ExitCode;

use unship_core::release::{NameError, Tag};
use unship_core::verdict::SpanVerdict;

use super::failure::FailureArgs;
use super::output::{HINT, WARN};
use super::run_output::{self, plan_lines};
use super::site::{self, SiteArgs};
use super::{CliError, Output, aftercare, beside};
use crate::flow::{self, hotfix};
use crate::plain::plain;
use crate::wire::{LedgerUse, Upkeep};

/// Option 2: go forward, with a hotfix on top of the bad release
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make the branch of a hotfix, and say how to tag it and what it has to show
    Start(Start),
    /// Ship a hotfix: hold it to what it has to show, bring it out, and mark the release bad that it mends
    Ship(Ship),
}

#[derive(Debug, clap::Args)]
struct Start {
    /// The release to mend; what serves now unless given
    #[arg(long, value_name = "TAG")]
    on: Option<String>,

    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, clap::Args)]
struct Ship {
    /// The git tag of the hotfix
    tag: String,

    /// The release that it mends; what serves now unless given
    #[arg(long, value_name = "TAG")]
    on: Option<String>,

    #[command(flatten)]
    failure: FailureArgs,

    /// Ship it although it has not shown all that it must; the reason is shown and kept
    #[arg(long = "override", value_name = "REASON")]
    overrule: Option<String>,

    /// Go on without this host; may be given several times
    #[arg(long, value_name = "HOST")]
    without: Vec<String>,

    /// Build and show the plan, and change nothing on any host
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    match &args.verb {
        Verb::Start(args) => start(args, output),
        Verb::Ship(args) => ship(args, output),
    }
}

fn tag(text: &str) -> Result<Tag, CliError> {
    text.parse()
        .map_err(|error: NameError| CliError::usage(error.to_string()).hint("`git tag` lists the tags"))
}

fn start(args: &Start, output: &mut Output) -> Result<ExitCode, CliError> {
    let on = args.on.as_deref().map(tag).transpose()?;
    let site = args.site.site()?;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let started = hotfix::start(&world, &site::run_id()?, on.as_ref()).await?;
        if output.is_json() {
            output.document(&started)?;
            return Ok(ExitCode::SUCCESS);
        }
        output.line(format!("branch {} is at {}", started.branch, started.bad));
        output.line("");
        output.line("  before it ships it has to show that");
        for line in &started.must {
            output.line(format!("    {line}"));
        }
        output.line("");
        let on = args.on.as_ref().map(|on| format!(" --on {on}")).unwrap_or_default();
        for (label, command) in [
            ("run", format!("git switch {}    # mend it, and commit", started.branch)),
            ("", format!("git tag {}    # on that commit", started.tag)),
            ("", format!("unship hotfix ship {}{on}", started.tag)),
        ] {
            output.line(format!("  {label:<8}  {HINT}{command}{HINT:#}"));
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn ship(args: &Ship, output: &mut Output) -> Result<ExitCode, CliError> {
    let (hotfix_tag, on) = (tag(&args.tag)?, args.on.as_deref().map(tag).transpose()?);
    let mut site = args.site.site()?;
    site.upkeep = if args.dry_run { Upkeep::Never } else { Upkeep::Renew };
    site::block_on(async {
        let mut world = site::world(&site, LedgerUse::Required).await?;
        world.target.without = site::host_names(&args.without, &world)?;
        let stop = site::stop_on_ctrl_c();
        let request = hotfix::Request { on, mode: args.failure.mode(), overrule: args.overrule.clone() };
        let proposal = hotfix::plan(&world, site::run_id()?, &hotfix_tag, &request).await?;
        if args.dry_run && output.is_json() {
            return run_output::dry_run(&proposal.prepared, output);
        }
        show(&proposal, args.overrule.as_deref(), output);
        if args.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        let report = flow::run::execute(&world, proposal.prepared, &stop).await?;
        let code = run_output::finish(&report, output)?;
        aftercare::after(&site, output).await;
        Ok(code)
    })
}

fn show(proposal: &hotfix::Proposal, overrule: Option<&str>, output: &mut Output) {
    let plan = &proposal.prepared.plan;
    let (tag, bad) = (&plan.to, &proposal.bad);
    output.note(format!("{} {}: {tag}, a hotfix on top of {bad}", plan.service, plan.environment));
    output.note("");
    let towards = |release: &dyn std::fmt::Display, span: Option<&SpanVerdict>| match span {
        Some(span) => format!("{release} on its schema: {}", span.overall().word()),
        None => format!("{release} on its schema: not judged"),
    };
    output.note(format!("  schema    {}", towards(bad, proposal.towards_bad.as_ref())));
    if let Some((good, span)) = &proposal.towards_good {
        let good = format!("{good}, to which a rollback goes,");
        output.note(format!("            {}", towards(&good, span.as_ref())));
    }
    for line in proposal.ci.iter().flat_map(beside::ci_lines) {
        output.note(line);
    }
    for why in &proposal.unproven {
        output.note(format!(
            "  {WARN}override{WARN:#}  {}: {}",
            plain(why),
            plain(overrule.unwrap_or_default())
        ));
    }
    output.note("");
    for line in plan_lines(plan) {
        output.note(line);
    }
    output.note("");
}
