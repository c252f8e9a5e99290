//! The operator's program is killed at every point of one rollback of the fleet. `unship resume` finishes what was
//! begun, every host proves the target, and no request is lost. `make prove-fleet` runs it.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::testbed::{Failure, run};
use crate::world::{ALSO_GOOD, GOOD, Units, World, end, in_proof, repository, say, until};

fn killpoint(world: &World) -> Result<PathBuf, Failure> {
    let library = world.path("libkillpoint.so");
    let source = repository().join("testbed/killpoint/killpoint.c");
    let flags = ["-std=gnu11", "-O1", "-shared", "-fPIC", "-o"];
    run(Command::new("cc").args(flags).arg(&library).arg(source).arg("-ldl"))?;
    Ok(library)
}

#[tokio::test]
async fn the_operator_is_killed_at_every_point_of_a_flip() {
    in_proof(Units::Socket, async |world| {
        world.deploy(&[GOOD, ALSO_GOOD])?;
        let library = killpoint(world)?;
        let log = world.path("points");
        let rollback = |to: &str| {
            let mut command = world.command(&["rollback", "--to", to, "--yes"]);
            command.env("LD_PRELOAD", &library).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        // Back and forth between two good releases, each time with the other's mark lifted.
        let lift = |tag: &str| {
            world.unship(&["quarantine", "lift", tag, "--reason", "a test"])?.ends_with(0).map(drop)
        };
        let output = rollback(GOOD).env("KILLPOINT_LOG", &log).output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        lift(ALSO_GOOD)?;
        let points = fs_err::read_to_string(&log)?.lines().count();
        assert!(points > 30, "only {points} points");

        let loads = world.load()?;
        let (mut serves, mut other) = (GOOD, ALSO_GOOD);
        let mut kills = 0;
        for point in 0..points {
            let output = rollback(other).env("KILLPOINT_AT", point.to_string()).output()?;
            let place = format!("point {point} of {points}");
            let killed = output.status.signal() == Some(9);
            assert!(
                killed || output.status.success(),
                "{place}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            kills += usize::from(killed);
            let resumed = world.unship(&["resume"])?;
            match resumed.status {
                Some(0) => {}
                Some(1) if resumed.text.contains("there is no unfinished run") => {}
                _ => return Err(format!("{place}: {}", resumed.text).into()),
            }
            // It had not begun, or it is over.
            let began = world.version("web-01")? == other;
            let on = if began { other } else { serves };
            until(&format!("every host is on {on} after {place}"), || {
                Ok(world.all_come_to_prove(on).is_ok())
            })?;
            if began {
                lift(serves)?;
                (serves, other) = (other, serves);
            }
        }
        let counted = end(loads).await?;
        say(&format!(
            "{points} points, {kills} kills, {} requests, {} failed",
            counted.sent,
            counted.failed.len()
        ));
        assert!(kills * 10 >= points * 8, "most points were not reached: {kills}");
        assert!(counted.failed.is_empty(), "{:#?}", counted.failed);
        Ok(())
    })
    .await;
}
