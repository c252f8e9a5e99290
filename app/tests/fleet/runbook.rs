//! The runbook on shithubd: its own commands, and then one `unship rollback` in the same incident. Both must end alike:
//! programs, schema, flags and rows. `make prove-fleet` runs these.

use crate::forge::{BAD, EndState, Forge, GOOD};
use crate::testbed::Failure;
use crate::world::{Units, end, in_proof, say};

const DEPLOY: &str = "make deploy ANSIBLE_INVENTORY=production";
const ONE_STEP_DOWN: &str = "ssh web-01 sudo -u shithub /usr/local/bin/shithubd migrate down";
const COMMAND: &str = "strategy = \"command\"\n[environment.production.command]\n\
                       run = [\"make\", \"deploy\", \"ANSIBLE_INVENTORY=production\"]\nuntracked = [\"production\"]\n\
                       preflight = [\"ansible-playbook\", \"--syntax-check\", \"-i\", \"production\", \"deploy/deploy.yml\"]\n\
                       environment = { BINARY = \"{artifact}\" }";

/// What people do with it; the same each time, and twice is once.
fn is_used(forge: &Forge<'_>) -> Result<(), Failure> {
    for words in ["create-user mona", "create-repo mona octo", "create-repo mona cat"] {
        forge.by_hand(&format!("ssh web-01 sudo -u shithub /usr/local/bin/shithubd admin {words}"))?;
    }
    Ok(())
}

fn checked_out_and_deployed(forge: &Forge<'_>, tag: &str) -> Result<(), Failure> {
    forge.by_hand(&format!("git checkout {tag}"))?;
    forge.by_hand(DEPLOY).map(drop)
}

fn is_good(state: &EndState, migrations: &str) -> Result<(), Failure> {
    let program = Forge::digest(GOOD)?;
    for host in &state.hosts {
        let digests: Vec<&str> = host.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert!(digests[..3].iter().all(|digest| *digest == program), "{host}");
        assert!(host.contains(&format!("\"version\":\"{GOOD}\"")), "{host}");
    }
    assert_eq!(state.migrations.split_whitespace().collect::<Vec<_>>().join(" "), migrations);
    assert!(!state.rows.is_empty());
    Ok(())
}

#[tokio::test]
async fn the_runbooks_commands_and_one_rollback_end_alike() {
    in_proof(Units::Plain, async |world| {
        let forge = Forge::new(world, &[GOOD, BAD])?;
        // The code alone: the migrations since only added something.
        checked_out_and_deployed(&forge, GOOD)?;
        is_used(&forge)?;
        checked_out_and_deployed(&forge, BAD)?;
        is_used(&forge)?;
        checked_out_and_deployed(&forge, GOOD)?;
        let by_hand = forge.end_state()?;
        is_good(&by_hand, "1 2 3 4")?;

        forge.configure(COMMAND)?;
        forge.unship(&["adopt", "--tag", GOOD, "--yes"])?.ends_with(0)?;
        forge.unship(&["deploy", BAD])?.ends_with(0)?;
        is_used(&forge)?;
        let rollback = ["rollback", "--mode", "auth-regression", "--accept-unknown-schema", "--yes"];
        forge.unship(&rollback)?.ends_with(0)?;
        assert_eq!(forge.end_state()?, by_hand);

        // The last resort: exactly one step of the schema, by the release that brought it, and then the code.
        checked_out_and_deployed(&forge, BAD)?;
        is_used(&forge)?;
        forge.by_hand(ONE_STEP_DOWN)?;
        checked_out_and_deployed(&forge, GOOD)?;
        let by_hand = forge.end_state()?;
        is_good(&by_hand, "1 2 3")?;

        forge.unship(&["quarantine", "lift", BAD, "--reason", "the same incident again"])?.ends_with(0)?;
        forge.unship(&["deploy", BAD])?.ends_with(0)?;
        is_used(&forge)?;
        forge.by_hand(ONE_STEP_DOWN)?;
        forge.unship(&rollback)?.ends_with(0)?;
        assert_eq!(forge.end_state()?, by_hand);
        Ok(())
    })
    .await;
}

/// The last resort in one command: what the runbook does in two steps of the schema and a deploy, while requests go on.
#[tokio::test]
async fn the_last_resort_by_hand_and_by_one_rollback_end_alike() {
    in_proof(Units::Plain, async |world| {
        let forge = Forge::new(world, &[GOOD, BAD])?;
        checked_out_and_deployed(&forge, GOOD)?;
        is_used(&forge)?;
        checked_out_and_deployed(&forge, BAD)?;
        is_used(&forge)?;
        forge.give_topic()?;
        forge.by_hand(ONE_STEP_DOWN)?;
        forge.by_hand(ONE_STEP_DOWN)?;
        checked_out_and_deployed(&forge, GOOD)?;
        let by_hand = forge.end_state()?;
        is_good(&by_hand, "1 2")?;

        forge.configure("strategy = \"native\"")?;
        forge.unship(&["adopt", "--tag", GOOD, "--yes"])?.ends_with(0)?;
        forge.unship(&["deploy", BAD])?.ends_with(0)?;
        is_used(&forge)?;
        forge.give_topic()?;
        let rollback = ["rollback", "--mode", "auth-regression", "--step-down", "--yes"];
        // Each step is accepted by name first.
        let refused = forge.unship(&rollback)?.ends_with(3)?.says("--accept-loss")?;
        let (_, digests) = refused.text.rsplit_once("to accept it: `").ok_or("no hint")?;
        let digests = digests.split('`').next().unwrap_or_default().split_whitespace();
        let rollback: Vec<&str> = rollback.into_iter().chain(digests).collect();
        // Units as these have nothing that could answer meanwhile, which keeps nobody from stopping what does harm.
        forge.unship(&rollback)?.ends_with(0)?.says("web has no hold unit")?.says("repo_topics")?;
        assert_eq!(forge.end_state()?, by_hand);
        // What both destroyed is kept by one of them.
        forge.unship(&["salvage", "list"])?.ends_with(0)?.says("repo_topics")?;
        Ok(())
    })
    .await;
}

/// A command that ends well and leaves the old processes running is no deploy: it is said, and taken back.
#[tokio::test]
async fn a_command_that_restarts_nothing_is_found_out() {
    in_proof(Units::Plain, async |world| {
        let forge = Forge::new(world, &[GOOD, BAD])?;
        checked_out_and_deployed(&forge, GOOD)?;
        let before = forge.end_state()?;
        let swap = "#!/bin/sh\nset -eu\nfor host in web-01 web-02 web-03; do\n\
                    ssh $host sudo install -m 755 /dev/stdin /usr/local/bin/.shithubd.new <\"$BINARY\"\n\
                    ssh $host sudo mv -T /usr/local/bin/.shithubd.new /usr/local/bin/shithubd </dev/null\ndone\n";
        world.script("swap", swap)?;
        forge.configure(&format!(
            "strategy = \"command\"\n[environment.production.command]\nrun = [\"{}\"]\n\
             environment = {{ BINARY = \"{{artifact}}\" }}",
            world.path("swap").display()
        ))?;
        forge.unship(&["adopt", "--tag", GOOD, "--yes"])?.ends_with(0)?;
        forge.unship(&["deploy", BAD])?.ends_with(1)?.says("replaced the file and restarted nothing")?;
        assert_eq!(forge.end_state()?, before);
        Ok(())
    })
    .await;
}

/// An install of that kind is taken over while it serves, and then taken back natively.
#[tokio::test]
async fn a_plain_install_is_adopted_without_downtime() {
    in_proof(Units::Plain, async |world| {
        let forge = Forge::new(world, &[GOOD, BAD])?;
        checked_out_and_deployed(&forge, GOOD)?;
        is_used(&forge)?;
        forge.configure("strategy = \"native\"")?;
        let before = forge.processes()?;
        let loads = forge.load()?;
        forge.unship(&["adopt", "--tag", GOOD, "--yes"])?.ends_with(0)?.says("a drop-in takes it away")?;
        let counted = end(loads).await?;
        assert!(counted.sent > 100 && counted.failed.is_empty(), "{:#?}", counted.failed);
        assert_eq!(forge.processes()?, before, "no process was touched");
        forge.unship(&["adopt", "--tag", GOOD, "--yes"])?.ends_with(0)?;

        forge.unship(&["deploy", BAD])?.ends_with(0)?;
        is_used(&forge)?;
        let loads = forge.load()?;
        forge.unship(&["rollback", "--accept-unknown-schema", "--yes"])?.ends_with(0)?;
        let counted = end(loads).await?;
        is_good(&forge.end_state()?, "1 2 3 4")?;
        say(&format!(
            "swap: {} of {} requests failed, the longest gap {} ms",
            counted.failed.len(),
            counted.sent,
            counted.gap.as_millis()
        ));
        // A unit without a socket refuses while nobody listens; what it has taken it finishes.
        let cut_off: Vec<_> = counted.failed.iter().filter(|failed| !failed.contains("refused")).collect();
        assert!(cut_off.is_empty(), "{cut_off:#?}");
        // What was before the start is gone, or the older release's own `migrate up` would run.
        for said in forge.on_hosts("systemctl show -P ExecStartPre shithubd.service")? {
            assert_eq!(said.trim(), "");
        }
        Ok(())
    })
    .await;
}
