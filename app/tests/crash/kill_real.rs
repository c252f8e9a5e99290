//! kill -9 of the real program: at every call that makes something last, in the middle of writes, at random
//! moments, and of the child runner too. After each, `unship resume` converges, no process of the release that
//! was to go is left, and no request is lost.

use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::real::{BAD, GOOD, Load, NEXT, Site, text, was_killed};
use crate::{say, thorough};

const ROLLBACK: &[&str] = &["rollback", "--yes"];

/// Goes on with what was left; answers whether the run had begun.
fn resume(site: &Site, place: &str) -> bool {
    let said = site.unship(&["resume"]);
    let words = text(&said);
    match said.status.code() {
        Some(0) => true,
        Some(1) if words.contains("there is no unfinished run") => {
            // It never began, or was over: `log` knows which.
            let log = text(&site.unship(&["log"]));
            log.contains("rollback") || log.contains(NEXT)
        }
        other => panic!("{place}: resume exits with {other:?}: {words}"),
    }
}

fn converges(site: &Site, place: &str) {
    let began = resume(site, place);
    let (serves, other) = if began { (GOOD, BAD) } else { (BAD, GOOD) };
    site.serves_only(serves, other);
}

struct Tally {
    sent: u64,
    kills: usize,
}

impl Tally {
    fn add(&mut self, load: Load, place: &str) {
        let (sent, lost) = load.end();
        assert!(lost.is_empty(), "{place}: lost {lost:?} of {sent}");
        self.sent += sent;
    }
}

#[test]
fn every_point_of_a_rollback() {
    let points = Site::new().points_of(ROLLBACK);
    assert!(points.len() > 30, "only {} points: {points:?}", points.len());
    for wanted in ["fdatasync", "fsync", "rename", "symlink", "write"] {
        assert!(points.iter().any(|name| name == wanted), "no {wanted} among {points:?}");
    }
    let mut tally = Tally { sent: 0, kills: 0 };
    let stride = if thorough() { 1 } else { 9 };
    for (number, name) in points.iter().enumerate().step_by(stride) {
        let halves = name.contains("write") || name == "send";
        for how in ["before", "after", "half"] {
            if how == "half" && !halves || how != "before" && !thorough() && number % 2 == 0 {
                continue;
            }
            let site = Site::new();
            let load = Load::start(site.port);
            let output = site.killed_at(ROLLBACK, number, how);
            let place = format!("{how} point {number}, {name}");
            // The last points may come in another order, or one fewer.
            assert!(was_killed(&output) || output.status.success(), "{place}: {}", text(&output));
            tally.kills += usize::from(was_killed(&output));
            converges(&site, &place);
            tally.add(load, &place);
        }
    }
    say(&format!("{} points, {} kills, {} requests, none lost", points.len(), tally.kills, tally.sent));
    assert!(tally.kills * 10 >= points.len() / stride * 9, "most were not reached");
}

/// As [`ROLLBACK`], with staging, and gone on with or aborted in turn.
#[test]
fn every_point_of_a_deploy() {
    let words: &[&str] = &["deploy", NEXT];
    let points = Site::new().points_of(words);
    let stride = if thorough() { 1 } else { 29 };
    let mut kills = 0;
    for (number, name) in points.iter().enumerate().step_by(stride) {
        let site = Site::new();
        let load = Load::start(site.port);
        let output = site.killed_at(words, number, "before");
        let place = format!("before point {number}, {name}");
        assert!(was_killed(&output) || output.status.success(), "{place}: {}", text(&output));
        kills += usize::from(was_killed(&output));
        if number % 2 == 0 {
            let began = resume(&site, &place) && site.version().as_deref() != Some(BAD);
            let (serves, other) = if began { (NEXT, BAD) } else { (BAD, NEXT) };
            site.serves_only(serves, other);
        } else {
            let said = site.unship(&["abort"]);
            let over = text(&said).contains("there is no unfinished run");
            assert_eq!(said.status.code(), Some(1), "{place}: {}", text(&said));
            let went_back = !over || site.version().as_deref() == Some(BAD);
            let (serves, other) = if went_back { (BAD, NEXT) } else { (NEXT, BAD) };
            site.serves_only(serves, other);
        }
        let (sent, lost) = load.end();
        assert!(lost.is_empty(), "{place}: lost {lost:?} of {sent}");
    }
    say(&format!("{} points, {kills} kills", points.len()));
}

/// How long a rollback takes here, to spread random moments over it.
fn duration() -> Duration {
    let site = Site::new();
    let began = Instant::now();
    assert!(site.unship(ROLLBACK).status.success());
    began.elapsed()
}

#[test]
fn random_moments() {
    let span = u64::try_from(duration().as_micros()).expect("short");
    let mut tally = Tally { sent: 0, kills: 0 };
    let count = if thorough() { 200 } else { 12 };
    for seed in 0..count {
        let mut chance = Chance::new(seed);
        let site = Site::new();
        let load = Load::start(site.port);
        let mut child = site.command(ROLLBACK).spawn().expect("unship starts");
        std::thread::sleep(Duration::from_micros(chance.below(span)));
        child.kill().expect("kills");
        let output = child.wait_with_output().expect("ends");
        let place = format!("seed {seed}");
        tally.kills += usize::from(was_killed(&output));
        converges(&site, &place);
        tally.add(load, &place);
    }
    say(&format!("{count} moments, {} kills, {} requests, none lost", tally.kills, tally.sent));
    assert!(tally.kills > 0, "all came too late");
}

/// The child runner is killed at a random moment of a rollback, in every other case with the program itself.
#[test]
fn random_moments_of_the_child_runner() {
    let span = u64::try_from(duration().as_micros()).expect("short");
    let mut tally = Tally { sent: 0, kills: 0 };
    let count = if thorough() { 200 } else { 12 };
    for seed in 0..count {
        let mut chance = Chance::new(1_000_000 + seed);
        let mut site = Site::new();
        let load = Load::start(site.port);
        let mut child = site.command(ROLLBACK).spawn().expect("unship starts");
        std::thread::sleep(Duration::from_micros(chance.below(span)));
        site.kill_supervise();
        if seed % 2 == 0 {
            std::thread::sleep(Duration::from_micros(chance.below(span / 4)));
            let _ = child.kill();
        }
        let output = child.wait_with_output().expect("ends");
        let place = format!("seed {seed}: {}", text(&output));
        site.supervise();
        assert!(matches!(output.status.code(), None | Some(0 | 1 | 4)), "{place}");
        if !output.status.success() {
            // Without the child runner it cannot be done, which is said and makes the run half done. What goes on
            // with such a one is a rollback by name, as it says itself.
            let resumed = site.unship(&["resume"]);
            let code = resumed.status.code();
            assert!(matches!(code, Some(0 | 1 | 4)), "{place}\n{}", text(&resumed));
            if code != Some(0) {
                let again = site.unship(&["rollback", "--yes", "--to", GOOD]);
                let same = text(&again).contains("is what serves now");
                assert!(again.status.success() || same, "{place}\n{}\n{}", text(&resumed), text(&again));
            }
        }
        site.serves_only(GOOD, BAD);
        tally.kills += 1;
        tally.add(load, &place);
    }
    say(&format!("{count} kills of the child runner, {} requests, none lost", tally.sent));
}
