//! Every command that a hint, a comment or a document tells people to run is one that the program has.

use std::path::Path;

use clap::{Command, CommandFactory};
use unship::cli::Cli;

use super::source::{File, files};

/// The commands that a text names: what stands between backticks, and lines of a document's code blocks.
fn named(file: &File) -> Vec<String> {
    // A string of the source goes on in the next line after a backslash.
    let mut lines: Vec<String> = Vec::new();
    for line in file.text.lines() {
        match lines.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push_str(line.trim_start());
            }
            _ => lines.push(line.to_owned()),
        }
    }
    let is_document = Path::new(&file.path).extension().is_some_and(|ending| ending == "md");
    let mut is_block = false;
    let mut named = Vec::new();
    for line in &lines {
        if is_document && line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            // What stands far to the right, or behind a hash, explains.
            let words = line.split("  ").next().unwrap_or_default().split('#').next().unwrap_or_default();
            named.push(words.to_owned());
        } else {
            named.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    named.retain(|words| {
        words.starts_with("unship ") && !words.starts_with("unship {") && !words.contains(": ")
    });
    named
}

/// What the program does not know of a command; none when it has all of it.
fn unknown(program: &Command, words: &str) -> Option<String> {
    let mut command = program;
    let mut words = words.split_whitespace().skip(1);
    while let Some(word) = words.next() {
        let word = word.trim_matches(['"', '\\', '[', ']', ',', ';', '.']);
        if let Some(flag) = word.strip_prefix("--") {
            let (flag, has_value) = flag.split_once('=').map_or((flag, false), |(flag, _)| (flag, true));
            let of = |of: &Command| of.get_arguments().find(|arg| arg.get_long() == Some(flag)).cloned();
            match of(command).or_else(|| of(program)) {
                Some(arg) if arg.get_action().takes_values() && !has_value => _ = words.next(),
                Some(_) => {}
                None if ["", "help", "version"].contains(&flag) => {}
                None => return Some(format!("`{}` has no `--{flag}`", command.get_name())),
            }
        } else if word == "help" || ["|", ">", "<", "&&"].contains(&word) {
            break;
        } else if command.has_subcommands() && word.starts_with(|first: char| first.is_ascii_lowercase()) {
            // Several at once, as in `list|drop`: each has to be there.
            let verbs: Vec<_> = word.split('|').map(|verb| (verb, command.find_subcommand(verb))).collect();
            for (verb, found) in verbs {
                let Some(found) = found else {
                    return Some(format!("`{}` has no verb `{verb}`", command.get_name()));
                };
                command = found;
            }
        }
    }
    None
}

#[test]
fn what_people_are_told_to_run_exists() {
    let program = Cli::command();
    let mut seen = 0;
    let mut wrong = Vec::new();
    for file in files(".rs").iter().chain(&files(".md")).chain(&files(".toml")) {
        for words in named(file) {
            seen += 1;
            if let Some(why) = unknown(&program, &words) {
                wrong.push(format!("{}: {words}: {why}", file.path));
            }
        }
    }
    assert!(seen > 100, "only {seen} commands were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let program = Cli::command();
    assert_eq!(unknown(&program, "unship rollback --to {target} --yes"), None);
    assert_eq!(unknown(&program, "unship migrate restore RUN --dry-run"), None);
    assert!(unknown(&program, "unship rollback --backwards").is_some());
    assert!(unknown(&program, "unship hold release --break-glass").is_some());
    assert!(unknown(&program, "unship undeploy").is_some());
}
