//! Drills of tinyd with the real program: a service that is not the reference service, in C, with scenarios
//! of its own, so that nothing here can hang on what shithubd happens to be.
//!
//! Needs `cc`, `make` and `git`, which building unship needs as well. Each drill leaves nothing running: the
//! tests look for every process whose command line names the sandbox.

mod shithubd;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long processes may take to be gone once a drill was ended from outside: the drain and a little more.
const GONE_MAX: Duration = Duration::from_secs(20);

fn unship(words: &[&str]) -> Command {
    with_config("unship.toml", words)
}

fn with_config(file: &str, words: &[&str]) -> Command {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testbed/tinyd").join(file);
    let mut command = Command::new(env!("CARGO_BIN_EXE_unship"));
    command.arg("drill").arg("--config").arg(config).args(words).stdin(Stdio::null());
    command
}

/// A drill in a folder of its own.
struct Drill {
    folder: tempfile::TempDir,
    config: &'static str,
}

impl Drill {
    fn new() -> Drill {
        Drill::of("unship.toml")
    }

    fn of(config: &'static str) -> Drill {
        Drill { folder: tempfile::tempdir().expect("a folder"), config }
    }

    fn sandbox(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn command(&self, scenario: &str) -> Command {
        let mut command = with_config(self.config, &["--scenario", scenario, "--json", "--keep"]);
        command.arg(self.sandbox());
        command
    }

    fn run(&self, scenario: &str) -> (Output, Value) {
        let output = self.command(scenario).output().expect("runs");
        let json = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("no JSON: {error}\n{}", String::from_utf8_lossy(&output.stderr)));
        (output, json)
    }

    /// Processes whose command line names the sandbox.
    fn running(&self) -> Vec<String> {
        let sandbox = self.sandbox().display().to_string();
        let processes = std::fs::read_dir("/proc").expect("a /proc").flatten();
        let command_lines = processes.filter_map(|process| {
            let line = std::fs::read(process.path().join("cmdline")).ok()?;
            let working_in = std::fs::read_link(process.path().join("cwd")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            (line.contains(&sandbox) || working_in.starts_with(&sandbox)).then_some(line)
        });
        command_lines.collect()
    }

    #[track_caller]
    fn assert_nothing_runs(&self) {
        assert_eq!(self.running(), Vec::<String>::new());
    }

    /// Starts a drill and returns when the bad release serves.
    fn started(&self) -> Child {
        let mut child =
            self.command("never-fails").stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let bad = self.sandbox().join("root/releases/1.5.0").display().to_string();
        let until = Instant::now() + Duration::from_mins(1);
        while !runs_from(&bad) {
            let ended = child.try_wait().expect("can be asked");
            assert!(ended.is_none() && Instant::now() < until, "the bad release never served: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }
}

/// Whether a program from below a folder runs.
fn runs_from(folder: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("a /proc").flatten();
    processes
        .filter_map(|process| std::fs::read_link(process.path().join("exe")).ok())
        .any(|executable| executable.starts_with(folder))
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process id");
    kill_process(pid, signal).expect("a signal");
}

#[test]
fn a_release_that_answers_with_errors_is_taken_back_without_losing_a_request() {
    let drill = Drill::new();
    let (output, report) = drill.run("answers-500");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["scenario"], "answers-500");
    assert_eq!(report["outcome"], "rolled_back");
    assert_eq!(
        (&report["from"], &report["to"], &report["option"]),
        (&"1.1.0".into(), &"1.0.0".into(), &1.into())
    );
    assert_eq!(report["failed_requests"], 0);
    assert!(report["failed_by_bad_release"].as_u64() > Some(50), "{report:#}");
    assert!(report["requests"].as_u64() > Some(500), "{report:#}");
    assert!(report["ceremony_ms"].as_f64() > report["floor_ms"].as_f64(), "{report:#}");
    assert_eq!(report["smoke"], "none");
    drill.assert_nothing_runs();
}

#[test]
fn a_hotfix_is_shipped_without_losing_a_request() {
    let drill = Drill::new();
    let (output, report) = drill.run("hotfix");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!((&report["outcome"], &report["option"]), (&"rolled_forward".into(), &2.into()));
    assert_eq!(
        (&report["good"], &report["from"], &report["to"]),
        (&"1.0.0".into(), &"1.1.0".into(), &"1.5.0".into())
    );
    assert_eq!((&report["failed_requests"], &report["held_ms"]), (&0.into(), &Value::Null), "{report:#}");
    assert!(report["failed_by_bad_release"].as_u64() > Some(50), "{report:#}");
    drill.assert_nothing_runs();
}

#[test]
fn a_release_that_ends_by_itself_is_taken_back_without_losing_a_request() {
    let drill = Drill::new();
    let (output, report) = drill.run("ends-by-itself");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["outcome"], "rolled_back");
    assert_eq!(report["failed_requests"], 0);
    assert!(
        report["failed_by_bad_release"].as_u64() > Some(0),
        "it ends with requests in flight: {report:#}"
    );
    drill.assert_nothing_runs();
}

#[test]
fn a_fault_behind_a_flag_is_mended_by_the_flag_and_nothing_is_taken_back() {
    let drill = Drill::of("flagged.toml");
    let (output, report) = drill.run("flagged");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["outcome"], "flag_off");
    assert_eq!(
        (&report["from"], &report["to"], &report["flag"], &report["option"]),
        (&"1.9.0".into(), &"1.9.0".into(), &"greeting".into(), &Value::Null)
    );
    assert_eq!(report["failed_requests"], 0);
    assert!(report["failed_by_bad_release"].as_u64() > Some(20), "{report:#}");
    // What the run left: the flag is off in the file that the service reads.
    let flags = std::fs::read_to_string(drill.sandbox().join("data/flags.json")).expect("reads");
    assert!(flags.contains(r#""defaultVariant": "off""#), "{flags}");
    drill.assert_nothing_runs();
}

#[test]
fn a_flag_that_the_fault_does_not_sit_behind_mends_nothing_and_the_status_is_not_0() {
    let drill = Drill::of("flagged.toml");
    let (output, report) = drill.run("another-flag");
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["outcome"], "not_held");
    let gone =
        report["held"].as_array().expect("a list").iter().find(|held| held["what"] == "the failure is gone");
    assert_eq!(gone.expect("it is looked at")["held"], false);
    drill.assert_nothing_runs();
}

/// The canary: a drill that passes here passes anything.
#[test]
fn requests_that_are_dropped_during_the_rollback_are_counted_and_the_status_is_not_0() {
    let drill = Drill::new();
    let (output, report) = drill.run("drops-requests");
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["outcome"], "not_held");
    assert!(report["failed_requests"].as_u64() > Some(0), "{report:#}");
    drill.assert_nothing_runs();
}

#[test]
fn a_failure_that_never_shows_is_an_error_and_leaves_nothing_running() {
    let drill = Drill::new();
    let (output, error) = drill.run("never-fails");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        error["error"],
        "the failure did not show within 1000 ms: waited for 1 restarts, saw 0 restarts"
    );
    drill.assert_nothing_runs();
}

#[test]
fn ctrl_c_ends_everything_that_the_drill_started() {
    let drill = Drill::new();
    let mut child = drill.started();
    signal(&child, Signal::INT);
    let status = child.wait().expect("ends");
    assert_eq!(status.code(), Some(1));
    drill.assert_nothing_runs();
}

#[test]
fn a_drill_that_is_killed_leaves_nothing_running_either() {
    let drill = Drill::new();
    let mut child = drill.started();
    signal(&child, Signal::KILL);
    child.wait().expect("ends");
    let until = Instant::now() + GONE_MAX;
    while !drill.running().is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    drill.assert_nothing_runs();
}

#[test]
fn scenarios_can_be_listed_and_looked_at_without_starting_anything() {
    let list = unship(&["--list"]).output().expect("runs");
    assert_eq!(list.status.code(), Some(0));
    let first = String::from_utf8_lossy(&list.stdout).lines().next().map(str::to_owned);
    assert_eq!(
        first.as_deref(),
        Some(
            "answers-500     1.1.0 -> 1.0.0  healthy by its own account, and answers nearly every request with an error"
        )
    );
    let dry = unship(&["--scenario", "ends-by-itself", "--dry-run"]).output().expect("runs");
    assert_eq!(dry.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&dry.stdout).starts_with("ends-by-itself: 1.2.0 -> 1.0.0\n"));
}

#[test]
fn what_is_not_there_is_named() {
    let unknown = unship(&["--scenario", "panic-loop"]).output().expect("runs");
    assert_eq!(unknown.status.code(), Some(2));
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(said.contains("there is no scenario `panic-loop`"), "{said}");
    assert!(said.contains("hint: known: answers-500, ends-by-itself"), "{said}");

    let folder = tempfile::tempdir().expect("a folder");
    let taken = unship(&["--keep"]).arg(folder.path()).output().expect("runs");
    assert_eq!(taken.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("is there already"));
}
