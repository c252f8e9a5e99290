//! `unship explain`

use std::process::ExitCode;

use super::{CliError, Output};
use unship_core::verdict::all_rules;

/// Explain a rule of the verdict: what it finds, why that matters, what settles it
///
/// Without a rule, lists all of them.
///
/// For example: `unship explain required-column`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the rule, as it stands in the reasons of `unship check`
    rule: Option<String>,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let Some(id) = &args.rule else {
        return list(output);
    };
    let rule = all_rules().find(|rule| rule.id == id).ok_or_else(|| {
        CliError::usage(format!("no rule is called `{}`", id.escape_debug()))
            .hint("`unship explain` lists them")
    })?;
    if output.is_json() {
        output.document(&serde_json::json!({ "id": rule.id, "title": rule.title, "page": rule.page }))?;
    } else {
        output.line(rule.page.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn list(output: &mut Output) -> Result<ExitCode, CliError> {
    if output.is_json() {
        let rules: Vec<_> =
            all_rules().map(|rule| serde_json::json!({ "id": rule.id, "title": rule.title })).collect();
        output.document(&rules)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = all_rules().map(|rule| rule.id.len()).max().unwrap_or_default();
    for rule in all_rules() {
        output.line(format!("{:width$}  {}", rule.id, rule.title));
    }
    Ok(ExitCode::SUCCESS)
}
