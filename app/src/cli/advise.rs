//! `unship advise`

use std::process::ExitCode;

use unship_core::explain::{self, Tags};

use super::failure::FailureArgs;
use super::output::{HINT, STRONG};
use super::site::{self, SiteArgs};
use super::{CliError, Output};
use crate::flow::decide::{Advice, advise};
use crate::plain::plain;
use crate::wire::LedgerUse;

/// Say whether to go back or forward, why, and what to run; change nothing
///
/// For example: `unship advise --mode small-bug --flag new_search --hotfix-eta 45m`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    site: SiteArgs,

    #[command(flatten)]
    failure: FailureArgs,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    site::block_on(async {
        let said = args.failure.said(&site).await;
        let world = site::world(&site, LedgerUse::Required).await?;
        let advice = advise(&world, &site::run_id()?, &said).await;
        if output.is_json() {
            output.document(&serde_json::json!({
                "from": advice.from,
                "to": advice.to,
                "decision": advice.decision,
                "headline": explain::headline(&advice.facts, &advice.decision),
                "reasons": explain::reasons(&advice.facts, &advice.decision),
                "commands": commands(&advice),
                "facts": advice.facts,
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let service = &world.target.service.name;
        output.line(format!("{STRONG}{service} {}{STRONG:#}{}", world.target.environment, releases(&advice)));
        output.line("");
        for line in lines(&advice) {
            output.line(line);
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn releases(advice: &Advice) -> String {
    match (&advice.from, &advice.to) {
        (Some(from), Some(to)) => format!(": {from} fails; {to} is known good"),
        (Some(from), None) => format!(": {from} fails"),
        _ => String::new(),
    }
}

fn commands(advice: &Advice) -> Vec<String> {
    let tags = Tags {
        from: advice.from.as_ref().map(|release| release.tag.as_str()),
        // The newest known-good release is what a rollback goes to anyway.
        to: None,
    };
    explain::command_lines(&advice.facts, &advice.decision, tags)
}

/// The advice for people, line by line.
pub(super) fn lines(advice: &Advice) -> Vec<String> {
    let (facts, decision) = (&advice.facts, &advice.decision);
    let mut lines = vec![
        format!("  failure   {}", facts.mode.words()),
        format!("  schema    {}", plain(&explain::span(&facts.span))),
        format!("  decision  {STRONG}{}{STRONG:#}", plain(&explain::headline(facts, decision))),
    ];
    for (index, reason) in explain::reasons(facts, decision).iter().enumerate() {
        let label = if index == 0 { "because" } else { "" };
        lines.push(format!("  {label:<8}  {}", plain(reason)));
    }
    lines.push(String::new());
    for (index, command) in commands(advice).iter().enumerate() {
        let label = if index == 0 { "run" } else { "" };
        lines.push(format!("  {label:<8}  {HINT}{}{HINT:#}", plain(command)));
    }
    lines
}
