//! The throwaway server goes when its owner goes, however that happens.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use unship::database::shadow::postgres::{Binaries, Cluster, PostgresShadow, Server};
use unship::ports::Shadow as _;
use unship::wire::ShadowLimits;
use unship_core::queries::{Outcome, QuerySet};

use crate::world::{has_postgres, plain};

fn directories_of(owner: u32) -> Vec<std::path::PathBuf> {
    let prefix = format!("unship-shadow-{owner}-");
    std::fs::read_dir("/var/tmp")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect()
}

/// Processes whose command line names the directory.
fn processes_in(directory: &std::path::Path) -> usize {
    let name = directory.to_string_lossy().into_owned();
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&name))
        })
        .count()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(30), "not so after 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn killed_with_kill_9_it_leaves_no_server_and_no_files() {
    if !has_postgres() {
        return;
    }
    killed_when("the directory is being made", |directory| directory.join("log").exists());
    killed_when("a migration runs", |directory| {
        let said = std::fs::read_to_string(directory.join("data/postmaster.pid")).unwrap_or_default();
        said.contains("ready") && processes_in(directory) > 0
    });
}

fn killed_when(moment: &str, has_come: impl Fn(&std::path::Path) -> bool) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("0001_sleep.up.sql"), "SELECT pg_sleep(600);").expect("a file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_unship"))
        .args(["check", "--all", "--tool", "plain", "--migrations"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("unship runs");
    let owner = child.id();
    wait_until(moment, || directories_of(owner).iter().any(|directory| has_come(directory)));
    let directory = directories_of(owner).remove(0);
    child.kill().expect("killed");
    child.wait().expect("reaped");
    wait_until("its files are gone", || !directory.exists());
    wait_until("its processes are gone", || processes_in(&directory) == 0);
}

/// Roles belong to the whole server: those who open at once must not run into each other over one.
#[test]
fn shadows_of_one_server_open_and_meet_missing_roles_at_once() {
    if !has_postgres() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let limits = ShadowLimits::default();
        let binaries = Binaries::find(None).expect("binaries");
        let server = Arc::new(Server::Throwaway(Cluster::start(binaries, &limits).await.expect("a cluster")));
        // Each has up to three connections, and the server has 32.
        let work: Vec<_> = (0..5).map(|_| tokio::spawn(meets_roles(Arc::clone(&server)))).collect();
        for one in work {
            one.await.expect("none broke down");
        }
    });
}

async fn meets_roles(server: Arc<Server>) {
    let mut shadow = PostgresShadow::open(server, ShadowLimits::default(), &[]).await.expect("a shadow");
    let granted = "CREATE TABLE t (a int); GRANT SELECT ON t TO reader; GRANT INSERT ON t TO writer;";
    let set = plain(&[("granted", granted, "DROP TABLE t;")]);
    let run = shadow.step(&set.migrations[0]).await.expect("an answer");
    assert!(run.up.is_ok(), "{:?}", run.up);
    let QuerySet { queries, .. } = unship_core::queries::read([("q.sql", "SELECT a FROM t")]);
    for (role, may) in [("reader", true), ("nobody_yet", false)] {
        let outcomes = shadow.plan_queries(&queries, Some(role)).await.expect("an answer");
        assert_eq!(matches!(outcomes[0], Outcome::Planned { .. }), may, "{role}: {outcomes:?}");
    }
    Box::new(shadow).close().await.expect("closed");
}
