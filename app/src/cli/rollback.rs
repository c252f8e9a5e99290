//! `unship rollback`

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use unship_core::release::Tag;

use super::output::WARN;
use super::run_output::{self, plan_lines};
use super::site::{self, SiteArgs};
use super::{CliError, Output, exit};
use crate::flow::rollback::{Mode, Proposal, Request};
use crate::flow::schema::Schema;
use crate::flow::{self};
use crate::wire::LedgerUse;

/// Take the release that serves now back, to the newest known-good one
///
/// Shows what it will do and asks. For example: `unship rollback --mode panic-loop`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    site: SiteArgs,

    /// The release to go back to; the newest known-good one unless given
    #[arg(long, value_name = "TAG")]
    to: Option<String>,

    /// How the release fails; code that does harm while it runs is stopped before the other is started
    #[arg(long, value_enum, default_value_t = ModeArg::Unsure)]
    mode: ModeArg,

    /// More words on why, for the note and the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// The old code runs on the schema as it is now, though nothing here proves it
    #[arg(long)]
    accept_unknown_schema: bool,

    /// Act on the hosts alone when the ledger cannot be read or written
    ///
    /// Nobody is kept from acting at the same time but by the hosts themselves. What was done is merged into
    /// the ledger by the first command that can reach it.
    #[arg(long)]
    break_glass: bool,

    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// How a release fails.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ModeArg {
    /// It keeps ending by itself
    PanicLoop,
    /// It lets in whom it must not
    AuthRegression,
    /// It writes what is wrong
    DataCorruption,
    /// It is slow or answers with errors
    Degraded,
    /// Not known
    Unsure,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Mode {
        match mode {
            ModeArg::PanicLoop => Mode::PanicLoop,
            ModeArg::AuthRegression => Mode::AuthRegression,
            ModeArg::DataCorruption => Mode::DataCorruption,
            ModeArg::Degraded => Mode::Degraded,
            ModeArg::Unsure => Mode::Unsure,
        }
    }
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let to: Option<Tag> = args.to.as_deref().map(str::parse).transpose().map_err(
        |error: unship_core::release::NameError| {
            CliError::usage(error.to_string()).hint("`unship status` lists the releases")
        },
    )?;
    let request = Request {
        to,
        mode: args.mode.into(),
        reason: args.reason.clone(),
        accept_unknown_schema: args.accept_unknown_schema,
        break_glass: args.break_glass,
    };
    let site = args.site.site()?;
    site::block_on(async {
        let ledger = LedgerUse::of(args.break_glass);
        let world = site::world(&site, ledger).await?;
        let stop = site::stop_on_ctrl_c();
        let proposal = flow::rollback::plan(&world, site::run_id()?, &request).await;
        let proposal = proposal.map_err(|error| site::said(error, ledger))?;
        if args.dry_run && output.is_json() {
            return run_output::dry_run(&proposal.prepared, output);
        }
        show(&proposal, output);
        if args.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if !args.yes && !confirmed()? {
            return Err(CliError::new(exit::REFUSED, "nothing was changed: the answer was not `y`"));
        }
        let report = flow::run::execute(&world, proposal.prepared, &stop).await;
        run_output::finish(&report.map_err(|error| site::said(error, ledger))?, output)
    })
}

fn show(proposal: &Proposal, output: &mut Output) {
    let plan = &proposal.prepared.plan;
    output.note(format!("{} {}: {}", plan.service, plan.environment, plan.title()));
    output.note("");
    let mut failure = proposal.failure.iter();
    output.note(format!("  failure   {}; {}", plan.reason, failure.next().map_or("", String::as_str)));
    for line in failure {
        output.note(format!("            {line}"));
    }
    match &proposal.schema {
        Schema::Same => output.note("  schema    both releases have the same migrations"),
        Schema::Unknown { why, .. } => {
            output.note(format!("  schema    unknown: {why}"));
            output.note("            you accepted this with --accept-unknown-schema");
        }
    }
    for risk in &proposal.risks {
        output.note(format!("  {WARN}risk{WARN:#}      {risk}"));
    }
    output.note("  decision  roll the code back, leave the schema alone");
    output.note("");
    for line in plan_lines(plan) {
        output.note(line);
    }
    output.note("");
}

/// Asks the person at the terminal. Without one there is nobody to ask.
fn confirmed() -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::new(exit::REFUSED, "there is no terminal to ask at; nothing was changed")
            .hint("say yes beforehand with `--yes`"));
    }
    let mut stderr = anstream::stderr();
    let _ = write!(stderr, "Roll back now? [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| CliError::failed(format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
