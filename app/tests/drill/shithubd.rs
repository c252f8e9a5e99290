//! Option 3 of the reference service, with the real program and a real database: v1.4.0 is taken down to v1.3.1 under
//! load while users write; then the hotfix is shipped on top of what was taken down, and what only v1.4.0 knew is put
//! back.
//!
//! Needs what building shithubd needs, and python3. The first run builds three of its releases; `target/unship-drill`
//! keeps them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long the child runner may take until the service answers again.
const UP_MAX: Duration = Duration::from_secs(60);

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shithubd")
}

/// What a drill left in its folder.
struct Kept {
    _folder: tempfile::TempDir,
    sandbox: PathBuf,
}

/// The child runner, which ends with its standard input.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Kept {
    /// Rehearses the scenario, and keeps everything.
    fn after(scenario: &str) -> (Kept, Value) {
        let folder = tempfile::tempdir().expect("a folder");
        let sandbox = folder.path().join("s");
        let output = Command::new(env!("CARGO_BIN_EXE_unship"))
            .args(["drill", "--json", "--scenario", scenario, "--config"])
            .arg(example().join("unship.toml"))
            .arg("--keep")
            .arg(&sandbox)
            .stdin(Stdio::null())
            .output()
            .expect("runs");
        let report = json(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}\n{}", said(&output));
        (Kept { _folder: folder, sandbox }, report)
    }

    fn config(&self) -> PathBuf {
        self.sandbox.join("history/unship.toml")
    }

    fn address(&self) -> String {
        let text = std::fs::read_to_string(self.config()).expect("a configuration");
        let config: toml::Table = toml::from_str(&text).expect("TOML");
        let units = config["unit"].as_array().expect("units");
        let listens = units.iter().find_map(|unit| unit.get("listen")?.as_str());
        listens.expect("a unit that listens").to_owned()
    }

    /// Serves from the sandbox again, as a machine does that was started again.
    fn serve(&self) -> Serving {
        let child = Command::new(env!("CARGO_BIN_EXE_unship"))
            .args(["supervise", "--while-stdin-is-open", "--config"])
            .arg(self.config())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let serving = Serving(child);
        let until = Instant::now() + UP_MAX;
        while !is_healthy(&self.address()) {
            assert!(Instant::now() < until, "nothing serves");
            std::thread::sleep(Duration::from_millis(50));
        }
        serving
    }

    fn unship(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_unship"))
            .args(words)
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .output()
            .expect("runs")
    }

    /// What the users' own command finds.
    fn compared(&self) -> Value {
        let output = Command::new(example().join("history/drill-users"))
            .arg("compare")
            .arg(format!("http://{}", self.address()))
            .args([self.sandbox.join("data/shithubd.db"), self.sandbox.join("written")])
            .output()
            .expect("runs");
        assert!(output.status.success(), "{}", said(&output));
        json(&output)
    }

    fn written(&self, moment: &str) -> Value {
        let text = std::fs::read(self.sandbox.join(format!("written/{moment}.json"))).expect("was written");
        serde_json::from_slice(&text).expect("JSON")
    }
}

fn is_healthy(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = String::new();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no JSON: {error}\n{}", said(output)))
}

/// How many issues had something that only v1.4.0 can keep.
fn only_v1_4_0_knew(written: &Value) -> usize {
    let issues = written["issues"].as_object().expect("rows");
    let knew = |issue: &&Value| {
        !issue["triage_note"].is_null() || !["open", "done"].contains(&issue["status"].as_str().unwrap_or(""))
    };
    issues.values().filter(knew).count()
}

#[test]
fn what_users_wrote_outlives_migrate_down_and_comes_back_with_the_hotfix() {
    let (kept, report) = Kept::after("data-corruption");
    assert_eq!((&report["outcome"], &report["option"]), (&"rolled_back".into(), &3.into()), "{report:#}");
    assert_eq!((&report["from"], &report["to"]), (&"v1.4.0".into(), &"v1.3.1".into()));
    assert_eq!((&report["failed_requests"], &report["smoke"]), (&0.into(), &"passed".into()), "{report:#}");
    assert!(report["held_requests"].as_u64() > Some(0) && report["held_ms"].as_u64() > Some(0), "{report:#}");
    assert!(report["users"]["compared"].as_u64() > Some(100), "{report:#}");
    let losses = report["losses"].to_string();
    assert!(losses.contains("triage_note") && losses.contains("status"), "{losses}");
    let knew = only_v1_4_0_knew(&kept.written("between.left"));
    assert!(knew >= 5, "users wrote too little on v1.4.0: {knew}");

    let serving = kept.serve();
    // Anything but the hotfix of v1.4.0 would apply again what was taken down.
    let deployed = kept.unship(&["deploy", "v1.5.0"]);
    assert!(said(&deployed).contains("0006_issue_status"), "{}", said(&deployed));
    assert_eq!(deployed.status.code(), Some(3), "{}", said(&deployed));
    let shipped = kept.unship(&["hotfix", "ship", "v1.5.0", "--on", "v1.4.0"]);
    assert_eq!(shipped.status.code(), Some(0), "{}", said(&shipped));

    // The canary: before it is put back it is not there, and the comparison says so.
    let missing = kept.compared();
    assert!(missing["differences"].as_array().map(Vec::len) >= Some(knew - 1), "{missing:#}");

    let salvaged = json(&kept.unship(&["salvage", "list", "--json"]));
    let run = salvaged[0]["run"].as_str().expect("a run");
    let restored = kept.unship(&["migrate", "restore", run, "--json"]);
    let result = json(&restored);
    let conflicts: Vec<&Value> = result
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|one| one["result"]["conflicts"].as_array().expect("conflicts"))
        .collect();
    // The good release wrote to one issue that v1.4.0 had given a status, and to no other.
    assert_eq!(conflicts.len(), 1, "{result:#}");
    let compared = kept.compared();
    assert_eq!(compared["differences"], serde_json::json!([]), "{compared:#}");
    drop(serving);
}
