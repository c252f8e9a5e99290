//! Hosts, networks and disks that fail around a rollback. A rollback goes on past a host that fails, names it, and does
//! not exit with 0; when the host is back, one more command takes it to the target as well.

use crate::testbed::Failure;
use crate::world::{ALSO_GOOD, BAD, GOOD, SLOW, Said, Units, World, end, in_proof, on_hosts};

const FIRST: &str = "web-01";
const SECOND: &str = "web-02";
const THIRD: &str = "web-03";

/// The rollback left this host out, said so, and the others are on the target.
fn passed_over(world: &World, said: Said, host: &str, target: &str) -> Result<(), Failure> {
    said.ends_with(4)?.says(host)?;
    let mut others = world.hosts().iter().filter(|other| other.name != host);
    others.try_for_each(|other| world.comes_to_prove(&other.name, target))
}

/// The host is there again: the same command takes it to the target, and every host proves it. A host whose agent
/// finished the flip while nobody could hear of it is there already.
fn mended(world: &World, target: &str) -> Result<(), Failure> {
    world.testbed.act(&["mend"])?;
    let said = world.unship(&["rollback", "--to", target, "--yes"])?;
    if said.status == Some(1) {
        said.says("is what serves now")?;
    } else {
        said.ends_with(0)?;
    }
    world.all_come_to_prove(target)
}

#[tokio::test]
async fn a_host_that_is_down_before_its_flip_is_named() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[GOOD, BAD])?;
        world.testbed.act(&["kill", SECOND])?;
        let said = world.unship(&["rollback", "--mode", "degraded", "--yes"])?;
        passed_over(world, said, SECOND, GOOD)?;
        mended(world, GOOD)
    })
    .await;
}

#[tokio::test]
async fn a_host_that_loses_power_during_its_flip_is_named() {
    in_proof(Units::Socket, async |world| {
        world.deploy(&[SLOW, BAD])?;
        let run = world.begin(&["rollback", "--mode", "degraded", "--yes"])?;
        world.until_flip_of(SECOND)?;
        world.testbed.act(&["kill", SECOND])?;
        passed_over(world, run.end()?, SECOND, SLOW)?;
        mended(world, SLOW)
    })
    .await;
}

/// What was proved before the power went is what the host boots.
#[tokio::test]
async fn a_host_that_loses_power_after_its_flip_boots_the_target() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[SLOW, BAD])?;
        let run = world.begin(&["rollback", "--mode", "degraded", "--yes"])?;
        world.until_flip_of(SECOND)?;
        world.testbed.act(&["kill", FIRST])?;
        let said = run.end()?;
        assert!(matches!(said.status, Some(0 | 4)), "{}", said.text);
        world.comes_to_prove(SECOND, SLOW)?;
        world.comes_to_prove(THIRD, SLOW)?;
        world.testbed.act(&["start", FIRST])?;
        // Nothing but the boot: the first request starts what the socket names.
        world.comes_to_prove(FIRST, SLOW)
    })
    .await;
}

#[tokio::test]
async fn a_host_that_reboots_during_its_flip_is_taken_to_the_target() {
    in_proof(Units::Socket, async |world| {
        world.deploy(&[SLOW, BAD])?;
        let run = world.begin(&["rollback", "--mode", "degraded", "--yes"])?;
        world.until_flip_of(SECOND)?;
        world.testbed.act(&["reboot", SECOND, "--wait"])?;
        let said = run.end()?;
        if said.status == Some(0) {
            return world.all_come_to_prove(SLOW);
        }
        passed_over(world, said, SECOND, SLOW)?;
        mended(world, SLOW)
    })
    .await;
}

#[tokio::test]
async fn a_network_that_is_cut_during_a_flip_is_said() {
    cut(&["cut", SECOND]).await;
}

#[tokio::test]
async fn a_network_that_is_reset_during_a_flip_is_said() {
    cut(&["cut", SECOND, "--rst"]).await;
}

/// The operator loses the host in the middle of its flip. Its users lose nothing.
async fn cut(words: &[&str]) {
    in_proof(Units::Socket, async |world| {
        world.deploy(&[SLOW, ALSO_GOOD])?;
        let loads = world.load()?;
        let run = world.begin(&["rollback", "--yes"])?;
        world.until_flip_of(SECOND)?;
        world.testbed.act(words)?;
        let said = run.end()?;
        passed_over(world, said, SECOND, SLOW)?;
        mended(world, SLOW)?;
        let counted = end(loads).await?;
        assert!(counted.failed.is_empty(), "{:#?}", counted.failed);
        Ok(())
    })
    .await;
}

/// A host that takes connections and never says a word.
#[tokio::test]
async fn an_ssh_that_hangs_is_given_up() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[GOOD, BAD])?;
        world.testbed.act(&["freeze", SECOND])?;
        let said = world.unship(&["rollback", "--mode", "degraded", "--yes"])?;
        passed_over(world, said, SECOND, GOOD)?;
        mended(world, GOOD)
    })
    .await;
}

/// A network that is slow is only slow.
#[tokio::test]
async fn a_slow_network_is_borne() {
    in_proof(Units::Socket, async |world| {
        world.deploy(&[GOOD, BAD])?;
        world.testbed.act(&["slow", SECOND, "80"])?;
        world.unship(&["rollback", "--mode", "degraded", "--yes"])?.ends_with(0)?;
        world.all_come_to_prove(GOOD)
    })
    .await;
}

/// A deploy that finds no room changes nothing. A rollback either needs none, or says which host has none.
#[tokio::test]
async fn a_full_disk_is_said() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[GOOD, BAD])?;
        world.testbed.act(&["fill-disk", SECOND])?;
        world.unship(&["deploy", ALSO_GOOD])?.ends_with(1)?.says(SECOND)?;
        world.all_come_to_prove(BAD)?;
        let said = world.unship(&["rollback", "--mode", "degraded", "--yes"])?;
        if said.status == Some(0) {
            return world.all_come_to_prove(GOOD);
        }
        passed_over(world, said, SECOND, GOOD)?;
        mended(world, GOOD)
    })
    .await;
}
