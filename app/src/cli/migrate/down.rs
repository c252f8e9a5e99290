//! `unship migrate down`

use std::io::IsTerminal;
use std::process::ExitCode;

use unship_core::down::{Dialect, Program, Refusal, by_hand};
use unship_core::protocol::Epoch;
use unship_core::release::{Digest, EnvironmentName, NameError, ServiceName};

use super::open::{Opened, Where};
use super::text;
use crate::cli::rollback::confirmed;
use crate::cli::site::block_on;
use crate::cli::{CliError, Output, downs, exit};
use crate::flow::FlowError;
use crate::flow::down::{Downs, ProposedDown};
use crate::flow::migrate::{self, Parts, Site, Taken};
use crate::plain::plain;
use crate::ports::{Clock as _, StepBy};
use crate::wire::{SystemClock, who};

/// Whose steps those are that no site takes, in the database's own record.
const BY_HAND: &str = "by-hand";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    at: Where,

    /// Accept the loss that this digest names
    ///
    /// Without it the loss is shown and asked about. All of it is salvaged.
    #[arg(long, value_name = "DIGEST")]
    accept_loss: Option<Digest>,

    /// Accept that the down cannot be taken back once it has begun
    #[arg(long)]
    accept_not_atomic: bool,

    /// Keep others from applying it again until the fence is lifted
    #[arg(long, conflicts_with = "database_url_file")]
    fence: bool,

    /// Why, for the record and for whoever runs into the fence
    #[arg(long, value_name = "TEXT", default_value = "taken down by hand")]
    reason: String,

    /// Show what would be done and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the SQL for a person to run instead, with the way out, and change nothing
    #[arg(long)]
    print_commands: bool,

    /// Do not ask; a loss must be accepted all the same
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    block_on(async {
        let opened = Opened::of(&args.at).await?;
        let parts = opened.parts()?;
        let proposed =
            migrate::propose_newest(&parts, &opened.subject, args.fence, args.accept_not_atomic).await?;
        let live = proposed.live.name.clone();
        let Some(step) = only(proposed) else {
            return Err(CliError::failed(format!("nothing is applied in {live}")));
        };
        let program = step.program.clone();
        if args.print_commands {
            let program = program.ok_or_else(|| refused(&step))?;
            return commands(&program, &opened, output);
        }
        if args.dry_run && output.is_json() {
            output.document(&document(&step, None))?;
            return program.map(|_| ExitCode::SUCCESS).ok_or_else(|| refused(&step));
        }
        output.note(format!("{}: take {} down", plain(&live), plain(&step.migration)));
        for line in downs::step_lines(&step) {
            output.note(line);
        }
        let program = program.ok_or_else(|| refused(&step))?;
        if !step.report.is_nothing() {
            output.note(format!("  its digest is {}", step.report.digest()));
        }
        if args.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        accept(args, &step, &program)?;
        let taken = take(args, &opened, &parts, &program).await?;
        if output.is_json() {
            output.document(&document(&step, Some(&taken)))?;
        } else {
            for line in text::taken(&taken) {
                output.line(line);
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn only(proposed: Downs) -> Option<ProposedDown> {
    proposed.steps.into_iter().next()
}

fn document(step: &ProposedDown, taken: Option<&Taken>) -> serde_json::Value {
    serde_json::json!({ "step": step, "loss_digest": step.report.digest(), "taken": taken })
}

/// Asks, unless it was said beforehand. A loss is accepted by its digest or at a terminal, and in no other way.
fn accept(args: &Args, step: &ProposedDown, program: &Program) -> Result<(), CliError> {
    let digest = step.report.digest();
    let accepted = args.accept_loss == Some(digest);
    if let Some(other) = args.accept_loss.filter(|_| !accepted) {
        return Err(CliError::new(
            exit::REFUSED,
            format!("the loss is another one than {} names; nothing was changed", other.short()),
        )
        .hint(format!("if it is acceptable as it is now: `--accept-loss {digest}`")));
    }
    let destroys = !step.report.is_nothing();
    if destroys && !accepted && (args.yes || !std::io::stdin().is_terminal()) {
        return Err(CliError::new(
            exit::REFUSED,
            format!("the down of {} destroys data, and that was not accepted", step.migration),
        )
        .hint(format!("all of it is salvaged; to accept it: `--accept-loss {digest}`")));
    }
    if args.yes || accepted {
        return Ok(());
    }
    let what = match (destroys, program.atomic) {
        (true, _) => " and salvage this?",
        (false, true) => "?",
        (false, false) => ", though it cannot be taken back once begun?",
    };
    if confirmed(&format!("Take {} down{what}", plain(&step.migration)))? {
        return Ok(());
    }
    Err(CliError::new(exit::REFUSED, "nothing was changed: the answer was not `y`"))
}

async fn take(args: &Args, opened: &Opened, parts: &Parts<'_>, program: &Program) -> Result<Taken, CliError> {
    let Some(world) = &opened.world else {
        let by = by(args, opened, Epoch(1), name(BY_HAND)?, name(BY_HAND)?);
        return migrate::take(parts, program, &by).await.map_err(said);
    };
    let site = Site::take(world, opened.run.clone(), format!("take {} down", program.migration)).await?;
    let (service, environment) = (world.target.service.name.clone(), world.target.environment.clone());
    let by = by(args, opened, site.epoch(), service, environment);
    let taken = migrate::take(parts, program, &by).await;
    site.give_back().await;
    taken.map_err(said)
}

fn by(
    args: &Args,
    opened: &Opened,
    epoch: Epoch,
    service: ServiceName,
    environment: EnvironmentName,
) -> StepBy {
    StepBy {
        run: opened.run.clone(),
        step: 0,
        epoch,
        service,
        environment,
        release: opened.subject.release.clone(),
        reason: args.reason.clone(),
        who: who(),
        at: SystemClock.now(),
    }
}

fn name<T: std::str::FromStr<Err = NameError>>(text: &str) -> Result<T, CliError> {
    text.parse().map_err(|error: NameError| CliError::failed(error.to_string()))
}

/// What is not known to be done or not done is said so.
fn said(error: FlowError) -> CliError {
    match error {
        FlowError::Database(failure) if failure.in_doubt => CliError::new(exit::PARTIAL, failure.message)
            .hint(failure.hint.unwrap_or_else(|| "see what is applied: `unship migrate status`".into())),
        other => other.into(),
    }
}

fn refused(step: &ProposedDown) -> CliError {
    let why: Vec<String> = step.refusals.iter().map(ToString::to_string).collect();
    let only_not_atomic = step.refusals.iter().all(|refusal| matches!(refusal, Refusal::NotAtomic { .. }));
    let error = CliError::new(exit::REFUSED, why.join("; "));
    if only_not_atomic {
        return error.hint("to run it piece by piece as the tool does: `--accept-not-atomic`");
    }
    error.hint("nothing was changed; a hotfix on top of what serves (option 2) needs no down")
}

fn commands(program: &Program, opened: &Opened, output: &mut Output) -> Result<ExitCode, CliError> {
    let lines = by_hand(program).map_err(|error| CliError::failed(error.to_string()))?;
    let file = opened.url_file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    let file = format!("'{}'", file.replace('\'', "'\\''"));
    let client = match program.dialect {
        Dialect::Postgres => format!("psql --no-psqlrc --set ON_ERROR_STOP=1 \"$(cat {file})\""),
        Dialect::Sqlite => format!("sqlite3 -bail \"$(sed 's,^sqlite:\\(//\\)*,,' {file})\""),
    };
    if output.is_json() {
        output.document(&serde_json::json!({ "client": client, "sql": lines }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output.note("run this, and read what the first SELECT shows before you go on:");
    output.note(format!("  {client}"));
    for line in lines {
        output.line(line);
    }
    output.note(
        "the way out: before the COMMIT, ROLLBACK; after it, apply the migration again and copy back what",
    );
    output.note("the tables `unship_saved_...` hold");
    Ok(ExitCode::SUCCESS)
}
