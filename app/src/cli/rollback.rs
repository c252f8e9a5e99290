//! `unship rollback`

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use unship_core::decision::{Act, Decided};
use unship_core::down::LossReport;
use unship_core::explain;
use unship_core::flags::Fate;
use unship_core::release::{Digest, NameError};

use super::failure::FailureArgs;
use super::output::WARN;
use super::run_output::{self, plan_lines};
use super::site::{self, SiteArgs};
use super::{CliError, Output, aftercare, beside, downs, exit, schema};
use crate::flow::flags::FlagWishes;
use crate::flow::rollback::{Aim, Proposal, RETRY_AFTER_S, Request};
use crate::flow::run::Prepared;
use crate::flow::{self, FlowError};
use crate::plain::plain;
use crate::wire::LedgerUse;

/// Take the release that serves now back, to the newest known-good one
///
/// Shows what it will do and asks. For example: `unship rollback --mode panic-loop`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    site: SiteArgs,

    /// The release to go back to; the newest known-good one unless given. `auto`: the newest known-good one that
    /// passed CI
    #[arg(long, value_name = "TAG")]
    to: Option<String>,

    /// Turn this flag off as well; may be given several times
    #[arg(long, value_name = "NAME")]
    flag_off: Vec<String>,

    /// Leave this flag as it is; may be given several times
    #[arg(long, value_name = "NAME")]
    keep_flag: Vec<String>,

    #[command(flatten)]
    failure: FailureArgs,

    /// More words on why, for the note and the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Go back although the decision is to go forward; the reason is kept in the record and told
    #[arg(long = "override", value_name = "REASON")]
    overrule: Option<String>,

    /// The old code runs on the schema as it is now, though nothing here proves it
    #[arg(long)]
    accept_unknown_schema: bool,

    /// Option 3, the last resort: take the migrations down that the target does not have, one checked step at a time,
    /// while every request is answered with 503, and then roll the code back
    ///
    /// It is what the decision says where the old code cannot run on the schema and no hotfix can be thought of
    /// (`--hotfix-eta none`); with this it is taken whatever the decision says.
    #[arg(long)]
    step_down: bool,

    /// Accept the loss that this digest names; may be given several times
    ///
    /// Without it every loss is shown and asked about. All of it is salvaged: `unship migrate restore` puts it back.
    #[arg(long, value_name = "DIGEST")]
    accept_loss: Vec<Digest>,

    /// Accept that the down of this migration cannot be taken back once it has begun; may be given several times
    #[arg(long, value_name = "MIGRATION")]
    accept_not_atomic: Vec<String>,

    /// What `Retry-After` says while requests are answered with 503, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = RETRY_AFTER_S)]
    retry_after: u32,

    /// Go on without this host even if it answers; may be given several times. Those that do not answer are gone
    /// on without in any case, and named
    #[arg(long, value_name = "HOST")]
    without: Vec<String>,

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

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let to = match args.to.as_deref() {
        None => Aim::Newest,
        Some("auto") => Aim::NewestGreen,
        Some(tag) => Aim::Named(tag.parse().map_err(|error: NameError| {
            CliError::usage(error.to_string()).hint("`unship status` lists the releases")
        })?),
    };
    let flags = FlagWishes { off: beside::names(&args.flag_off)?, keep: beside::names(&args.keep_flag)? };
    if let Some(both) = flags.off.intersection(&flags.keep).next() {
        return Err(CliError::usage(format!("the flag `{both}` cannot be turned off and left as it is")));
    }
    let site = args.site.site()?;
    site::block_on(async {
        let mut request = Request {
            to,
            said: args.failure.said(&site).await,
            overrule: args.overrule.clone(),
            reason: args.reason.clone(),
            accept_unknown_schema: args.accept_unknown_schema,
            step_down: args.step_down,
            accept_loss: args.accept_loss.iter().copied().collect(),
            not_atomic: args.accept_not_atomic.iter().cloned().collect(),
            retry_after_s: args.retry_after,
            break_glass: args.break_glass,
            flags,
        };
        let ledger = LedgerUse::of(args.break_glass);
        let mut world = site::world(&site, ledger).await?;
        world.target.without = site::host_names(&args.without, &world)?;
        let stop = site::stop_on_ctrl_c();
        let run = site::run_id()?;
        let mut proposal = flow::rollback::plan(&world, run.clone(), &request).await;
        if let Err(FlowError::GoForward { decided, .. }) = &proposal
            && !args.yes
            && !args.dry_run
        {
            for line in decision_lines(decided) {
                output.note(line);
            }
            request.overrule = overruled()?;
            proposal = flow::rollback::plan(&world, run.clone(), &request).await;
        }
        if let Err(FlowError::LossNotAccepted { reports, .. }) = &proposal
            && !args.yes
            && !args.dry_run
            && std::io::stdin().is_terminal()
        {
            request.accept_loss.extend(accepted(reports, output)?);
            proposal = flow::rollback::plan(&world, run.clone(), &request).await;
        }
        let mut proposal = proposal.map_err(|error| site::said(error, ledger))?;
        if args.dry_run && output.is_json() {
            let Proposal { prepared: Prepared { plan, .. }, schema, downs, flags, ci, decided } = &proposal;
            output.document(&serde_json::json!({
                "plan": plan, "digest": plan.digest(), "decided": decided, "schema": schema, "downs": downs,
                "flags": flags, "ci": ci,
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        show(&proposal, output);
        if args.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if !args.yes && ask_about_flags(&proposal, &mut request)? {
            let again = flow::rollback::plan(&world, run, &request).await;
            proposal = again.map_err(|error| site::said(error, ledger))?;
            show(&proposal, output);
        }
        if !args.yes && !confirmed("Roll back now?")? {
            return Err(CliError::new(exit::REFUSED, "nothing was changed: the answer was not `y`"));
        }
        let report = flow::run::execute(&world, proposal.prepared, &stop).await;
        let code = run_output::finish(&report.map_err(|error| site::said(error, ledger))?, output)?;
        aftercare::after(&site, output).await;
        Ok(code)
    })
}

fn show(proposal: &Proposal, output: &mut Output) {
    let plan = &proposal.prepared.plan;
    output.note(format!("{} {}: {}", plan.service, plan.environment, plan.title()));
    output.note("");
    let decided = &proposal.decided;
    let mut failure = decided.health.iter().map(explain::health);
    output.note(format!("  failure   {}; {}", plain(&plan.reason), failure.next().unwrap_or_default()));
    for line in failure {
        output.note(format!("            {line}"));
    }
    for line in schema::lines(&proposal.schema, plan.from.as_ref(), &plan.to, proposal.downs.is_some()) {
        output.note(line);
    }
    for line in proposal.downs.iter().flat_map(|downs| downs::lines(downs, plan)) {
        output.note(line);
    }
    for risk in &decided.risks {
        output.note(format!("  {WARN}risk{WARN:#}      {}", plain(risk)));
    }
    for line in proposal.ci.iter().flat_map(beside::ci_lines) {
        output.note(line);
    }
    for line in proposal.flags.iter().flat_map(beside::flag_lines) {
        output.note(line);
    }
    let mut decided = decided.clone();
    // The plan itself begins with that.
    decided.decision.hold_first &= proposal.downs.is_none();
    for line in decision_lines(&decided) {
        output.note(line);
    }
    output.note("");
    for line in plan_lines(plan) {
        output.note(line);
    }
    output.note("");
}

/// Shows every loss and asks about it by itself; the digests of those that are accepted.
fn accepted(reports: &[LossReport], output: &mut Output) -> Result<Vec<Digest>, CliError> {
    let mut digests = Vec::new();
    for report in reports {
        for line in downs::report_lines(report) {
            output.note(line);
        }
        if !confirmed(&format!("Take {} down and salvage this?", plain(&report.migration)))? {
            return Err(CliError::new(exit::REFUSED, "nothing was changed: the answer was not `y`"));
        }
        digests.push(report.digest());
    }
    Ok(digests)
}

/// Asks about every flag that somebody turned on since; true when an answer changed what is to be done.
fn ask_about_flags(proposal: &Proposal, request: &mut Request) -> Result<bool, CliError> {
    let asked = proposal.flags.iter().flat_map(|flags| flags.of(Fate::Ask));
    let mut changed = false;
    for flag in asked {
        if confirmed(&format!("Turn off {} too?", plain(flag.name.as_str())))? {
            request.flags.off.insert(flag.name.clone());
            changed = true;
        }
    }
    Ok(changed)
}

/// The decision, what speaks for it, and who decided otherwise.
fn decision_lines(decided: &Decided) -> Vec<String> {
    let (facts, decision) = (&decided.facts, &decided.decision);
    let mut lines = vec![format!("  decision  {}", plain(&explain::headline(facts, decision)))];
    // What everybody expects needs no reasons.
    if decision.act != Act::CodeBack {
        for reason in explain::reasons(facts, decision) {
            lines.push(format!("            {}", plain(&reason)));
        }
    }
    if decision.hold_first && facts.can_be_held {
        lines.push(format!("            contain it first: `unship hold --mode {}`", facts.mode));
    }
    if let Some(overruled) = &decided.overruled {
        let instead = match overruled.act {
            Act::DownAndBack => "stepping down",
            _ => "rolling back",
        };
        lines.push(format!("  {WARN}override{WARN:#}  {instead} all the same: {}", plain(&overruled.reason)));
    }
    lines
}

/// Asks why to go back all the same. No answer is an answer.
fn overruled() -> Result<Option<String>, CliError> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let answer = asked("Roll back all the same? Say why, or nothing to leave it: ")?;
    Ok(Some(answer.trim().to_owned()).filter(|reason| !reason.is_empty()))
}

/// Asks the person at the terminal. Without one there is nobody to ask.
pub(super) fn confirmed(question: &str) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::new(exit::REFUSED, "there is no terminal to ask at; nothing was changed")
            .hint("say yes beforehand with `--yes`"));
    }
    let answer = asked(&format!("{question} [y/N] "))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn asked(question: &str) -> Result<String, CliError> {
    let mut stderr = anstream::stderr();
    let _ = write!(stderr, "{question}");
    let _ = stderr.flush();
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| CliError::failed(format!("cannot read the answer: {error}")))?;
    Ok(answer)
}
