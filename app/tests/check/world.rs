//! What every test here needs: a server, migrations from words, and the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use unship::database::shadow::postgres::Binaries;
use unship::flow::check::{self, CheckReport, StepsSeen};
use unship::wire::{ShadowChoice, ShadowLimits, shadow};
use unship_core::tools::{self, MigrationFile, MigrationSet, Tool};
use unship_core::verdict::StepReport;

/// Is there a PostgreSQL to test with? Without one, a loud skip, and a failure under `CI=true`.
pub fn has_postgres() -> bool {
    match Binaries::find(None) {
        Ok(_) => true,
        Err(error) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{error}");
            println!("SKIPPED: {error}");
            false
        }
    }
}

pub struct Unseen;

impl StepsSeen for Unseen {
    fn begins(&mut self, _id: &str) {}
    fn judged(&mut self, _report: &StepReport) {}
}

/// Plain migrations from (name, up, down); an empty down is no down.
pub fn plain(steps: &[(&str, &str, &str)]) -> MigrationSet {
    set(Tool::Plain, steps)
}

pub fn set(tool: Tool, steps: &[(&str, &str, &str)]) -> MigrationSet {
    let mut files = Vec::new();
    for (place, (name, up, down)) in steps.iter().enumerate() {
        let file = |direction: &str, text: &str| {
            MigrationFile::new(format!("{:04}_{name}.{direction}.sql", place + 1), text)
        };
        files.push(file("up", up));
        if !down.is_empty() {
            files.push(file("down", down));
        }
    }
    tools::read(tool, files).expect("migrations")
}

pub fn check_with(set: &MigrationSet, limits: ShadowLimits) -> CheckReport {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let choice = ShadowChoice { limits, ..ShadowChoice::default() };
        let mut shadow = shadow(&choice, set.tool).await.expect("a shadow");
        let report = check::execute(check::plan(set), shadow.as_mut(), &mut Unseen).await.expect("a report");
        shadow.close().await.expect("closed");
        report
    })
}

pub fn check(set: &MigrationSet) -> CheckReport {
    check_with(set, ShadowLimits::default())
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

/// Runs the program with nothing of the caller's settings but the place of PostgreSQL.
pub fn unship(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unship"));
    command.current_dir(folder).args(arguments).env_clear();
    for name in ["PATH", "UNSHIP_PG_BIN"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("HOME", folder).env("GIT_CONFIG_NOSYSTEM", "1");
    command.output().expect("unship runs")
}

/// Standard output, standard error and exit status as one text, with what changes from run to run taken out.
pub fn said(output: &Output) -> String {
    let text = format!(
        "status {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines().map(steady).collect::<Vec<_>>().join("\n")
}

/// Times, rates and the server's version become words.
fn steady(line: &str) -> String {
    let line = match line.split_once("PostgreSQL ") {
        Some((before, after)) => {
            let version = after.split([',', ' ']).next().unwrap_or_default().trim_end_matches('.');
            format!("{before}PostgreSQL N{}", &after[version.len()..])
        }
        None => line.to_owned(),
    };
    let Some((before, after)) = line.split_once(" ms (") else { return line };
    let start = before.trim_end_matches(|c: char| c.is_ascii_digit());
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    format!("{start}N ms (N{rest}")
}

/// Writes files, with the folders that they are in.
pub fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
}

/// Commits all that is in a folder and tags it.
pub fn commit(folder: &Path, tag: &str) {
    if !folder.join(".git").exists() {
        git(folder, &["init", "-q"]);
    }
    git(folder, &["add", "."]);
    git(folder, &["commit", "-qm", tag]);
    git(folder, &["tag", tag]);
}

fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .status()
        .expect("git runs");
    assert!(status.success(), "git {arguments:?}");
}
