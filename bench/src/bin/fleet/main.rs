//! `make bench-fleet`: `unship rollback` on 1, 3 and 20 hosts of the testbed against other ways to take a release back.
//!
//! - `floor`: ssh to all hosts at once, start the target, wait until it is ready, stop the other
//! - `ansible`: the runbook's `make deploy ANSIBLE_INVENTORY=production`
//! - `ansible-tuned`: no facts, pipelining, a link and a restart
//! - `capistrano`: Debian's `cap deploy:rollback`
//!
//! unship's time is that of the whole command with preflight and proof on. All sides flip all hosts at the same time,
//! take turns in every round, and go back and forth between the same two releases. After each measurement every host
//! is asked what it serves, and a wrong answer fails the benchmark.

mod others;
mod ours;
#[path = "../../../../app/tests/fleet/testbed.rs"]
mod testbed;
mod tinyd;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use others::{Ansible, Capistrano, Floor, Side};
use ours::Ours;
use testbed::{Failure, Testbed};
use tinyd::Tinyd;
use unship_bench::{Comparison, report};

/// The fleet's name: it stands beside those of others.
const FLEET: &str = "bench";
/// The sizes that are measured, unless others are given as arguments.
const SIZES: [usize; 3] = [1, 3, 20];
/// Rounds on fleets up to this size, and on larger ones.
const SMALL_FLEET: usize = 5;
const ROUNDS_SMALL: usize = 6;
const ROUNDS_LARGE: usize = 2;
/// What is aimed at on three hosts.
const AIMED_AT: usize = 3;
const AIMS: [(&str, f64); 3] = [("floor", 1.3), ("ansible", 0.04), ("capistrano", 1.0)];
/// How long a host may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), Failure> {
    let sizes =
        std::env::args().skip(1).map(|word| Ok(word.parse()?)).collect::<Result<Vec<usize>, Failure>>()?;
    let tinyd = Tinyd::build()?;
    for size in if sizes.is_empty() { SIZES.to_vec() } else { sizes } {
        let testbed = Testbed::up(FLEET, size, std::process::id())?;
        let measured = measure(&testbed, &tinyd);
        testbed.act(&["down"])?;
        measured?;
    }
    Ok(())
}

fn measure(testbed: &Testbed, tinyd: &Tinyd) -> Result<(), Failure> {
    let size = testbed.web().len();
    let mut ours = Ours::set_up(testbed, tinyd)?;
    let mut others: Vec<Box<dyn Side>> = vec![
        Box::new(Floor::set_up(testbed, tinyd)?),
        Box::new(Ansible::whole(testbed, tinyd)?),
        Box::new(Ansible::tuned(testbed, tinyd)?),
        Box::new(Capistrano::set_up(testbed, tinyd)?),
    ];
    let rounds = if size <= SMALL_FLEET { ROUNDS_SMALL } else { ROUNDS_LARGE };
    let mut ours_ms = Vec::new();
    let mut others_ms = vec![Vec::new(); others.len()];
    let [one, other] = tinyd.tags();
    // The first round warms caches and is not counted.
    for round in 0..=rounds {
        let (from, to) = if round % 2 == 0 { (one, other) } else { (other, one) };
        for (side, times) in others.iter_mut().zip(&mut others_ms) {
            times.push(timed(side.as_mut(), testbed, from, to)?);
        }
        ours_ms.push(timed(&mut ours, testbed, from, to)?);
    }
    ours_ms.remove(0);
    for (side, mut times) in others.iter().zip(others_ms) {
        times.remove(0);
        let name = if size == AIMED_AT { side.name().to_owned() } else { format!("{}-{size}", side.name()) };
        let ratio = report(&Comparison { name, ours: ours_ms.clone(), other: times, unit: "ms" })?;
        let aim = AIMS.iter().find(|(name, _)| size == AIMED_AT && *name == side.name());
        if let Some((name, aim)) = aim.filter(|(_, aim)| ratio > *aim) {
            note(&format!("{name}: the ratio is above {aim}, which is the aim"));
        }
    }
    Ok(())
}

/// One way from `from` to `to`, in milliseconds, and a look at what every host serves then.
fn timed(side: &mut dyn Side, testbed: &Testbed, from: &str, to: &str) -> Result<f64, Failure> {
    let took = side.back(testbed, from, to)?;
    for host in testbed.web() {
        let serves = version(host.address, side.port())?;
        if serves != to {
            return Err(format!("{}: {} serves {serves} in place of {to}", side.name(), host.name).into());
        }
    }
    Ok(took.as_secs_f64() * 1_000.0)
}

/// What `/version` says, on a connection of its own.
fn version(address: Ipv4Addr, port: u16) -> Result<String, Failure> {
    let mut stream = TcpStream::connect_timeout(&(address, port).into(), ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET /version HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a body")?;
    Ok(body.trim().to_owned())
}

fn note(text: &str) {
    unship::cli::output::say(text);
}
