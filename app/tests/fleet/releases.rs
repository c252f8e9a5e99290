//! Releases that misbehave, on real hosts: never ready, deaf to SIGTERM, a panic loop.

use std::time::{Duration, Instant};

use crate::world::{GOOD, NEVER_READY, PANICS, STUBBORN, Units, end, in_proof, on_hosts, until};

/// A deploy whose first host never gets ready goes back by itself, and nobody notices.
#[tokio::test]
async fn a_release_that_is_never_ready_goes_back() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[GOOD])?;
        let loads = world.load()?;
        world.unship(&["deploy", NEVER_READY])?.ends_with(1)?.says("web-01")?;
        let counted = end(loads).await?;
        world.all_come_to_prove(GOOD)?;
        assert!(counted.failed.is_empty(), "{:#?}", counted.failed);
        Ok(())
    })
    .await;
}

/// A process that ignores SIGTERM ends when its time is up, and what it answered meanwhile was its own.
#[tokio::test]
async fn a_process_that_ignores_being_stopped_is_ended() {
    in_proof(Units::Socket, async |world| {
        world.deploy(&[GOOD, STUBBORN])?;
        let began = Instant::now();
        world.unship(&["rollback", "--mode", "degraded", "--yes"])?.ends_with(0)?;
        assert!(began.elapsed() < Duration::from_secs(40), "it took {:?}", began.elapsed());
        world.all_come_to_prove(GOOD)
    })
    .await;
}

/// A release that ends by itself again and again, with RestartSec=100ms: its socket stays, the rollback is short, and
/// every host is on the target at the end.
#[tokio::test]
async fn a_panic_loop_is_taken_back() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[GOOD, PANICS])?;
        let host = &world.hosts()[0].name;
        let unit = format!("{}-web@{PANICS}.service", world.service);
        until("it has restarted three times", || {
            let count = world.testbed.at(host, &["systemctl", "show", "-P", "NRestarts", &unit])?;
            Ok(count.trim().parse::<u32>()? >= 3)
        })?;
        world.unship(&["rollback", "--mode", "panic-loop", "--yes"])?.ends_with(0)?;
        world.all_come_to_prove(GOOD)
    })
    .await;
}
