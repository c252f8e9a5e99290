//! Values that want to be commands, keys that are not the recorded ones, and files that were changed.

use std::path::Path;

use crate::testbed::Failure;
use crate::world::{BAD, GOOD, Units, World, in_proof, on_hosts};

const SECOND: &str = "web-02";

/// Each would make the file if it reached a shell, here or on a host.
fn attempts(canary: &str) -> Vec<String> {
    vec![
        format!("$(touch {canary})"),
        format!("`touch {canary}`"),
        format!("1.0.0;touch {canary}"),
        format!("1.0.0 && touch {canary}"),
        format!("1.0.0|touch {canary}"),
        format!("1.0.0\ntouch {canary}"),
        format!("-oProxyCommand=touch {canary}"),
        format!("'; touch {canary}; '"),
        format!("\"; touch {canary}; \""),
        "../../../etc/passwd".to_owned(),
        "--help".to_owned(),
    ]
}

fn canary(world: &World) -> String {
    format!("/tmp/canary-{}", world.service)
}

/// The file is nowhere.
fn unharmed(world: &World, after: &str) -> Result<(), Failure> {
    let canary = canary(world);
    let mut places = vec!["here".to_owned()];
    places.retain(|_| Path::new(&canary).exists());
    for host in world.hosts() {
        if world.testbed.at(&host.name, &["test", "!", "-e", &canary]).is_err() {
            places.push(host.name.clone());
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    Err(format!("`{after}` reached a shell on {}", places.join(", ")).into())
}

#[tokio::test]
async fn hostile_tags_reach_no_shell() {
    in_proof(Units::Socket, async |world| {
        world.deploy(&[GOOD])?;
        for tag in attempts(&canary(world)) {
            for words in [&["deploy", "--", &tag][..], &["rollback", "--yes", &format!("--to={tag}")]] {
                let said = world.unship(words)?;
                assert!(matches!(said.status, Some(1..=3)), "{words:?}: {:?}\n{}", said.status, said.text);
            }
            unharmed(world, &tag)?;
        }
        world.all_come_to_prove(GOOD)
    })
    .await;
}

/// Names of hosts, addresses, accounts and paths in the configuration.
#[tokio::test]
async fn hostile_configurations_reach_no_shell() {
    in_proof(Units::Socket, async |world| {
        world.deploy(&[GOOD])?;
        let file = world.path("service/unship.toml");
        let good = fs_err::read_to_string(&file)?;
        let root = format!("\"/opt/{}\"", world.service);
        for value in attempts(&canary(world)) {
            let value = format!("{value:?}");
            for place in ["\"web-02\"", "\"deploy\"", root.as_str()] {
                assert!(good.contains(place), "{place}");
                fs_err::write(&file, good.replacen(place, &value, 1))?;
                let said = world.unship(&["status"])?;
                assert!(said.status != Some(0), "{place} as {value}: {}", said.text);
                world.unship(&["rollback", "--yes"])?;
                unharmed(world, &value)?;
            }
        }
        fs_err::write(&file, good)?;
        world.all_come_to_prove(GOOD)
    })
    .await;
}

/// A host whose key is not the recorded one gets nothing and is named; the others are taken back.
#[tokio::test]
async fn a_changed_host_key_is_refused() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[GOOD, BAD])?;
        world.testbed.act(&["rekey", SECOND])?;
        let said = world.unship(&["rollback", "--mode", "degraded", "--yes"])?.ends_with(4)?;
        said.says(SECOND)?.says("host key")?;
        world.proves("web-01", GOOD)?;
        world.proves("web-03", GOOD)?;
        world.proves(SECOND, BAD)?;
        world.testbed.act(&["unrekey", SECOND])?;
        world.unship(&["rollback", "--to", GOOD, "--yes"])?.ends_with(0)?;
        world.all_come_to_prove(GOOD)
    })
    .await;
}

/// A target whose file was changed on a host is not started there.
#[tokio::test]
async fn a_tampered_artifact_is_refused() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[GOOD, BAD])?;
        let program = format!("/opt/{}/releases/{GOOD}/files/bin/tinyd", world.service);
        let script = "chmod u+w \"$1\" && printf x >>\"$1\"";
        world.testbed.at(SECOND, &["sh", "-c", script, "-", &program])?;
        let said = world.unship(&["rollback", "--mode", "degraded", "--yes"])?.ends_with(4)?;
        said.says(SECOND)?;
        world.proves("web-01", GOOD)?;
        world.proves("web-03", GOOD)?;
        let found = world.version(SECOND)?;
        assert_ne!(found, GOOD, "it runs what nobody made");
        Ok(())
    })
    .await;
}
