//! The throwaway server goes when its owner goes, however that happens.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::has_postgres;

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
