//! Rollbacks of three hosts under load, with every order in which a unit can be flipped.

use crate::world::{ALSO_GOOD, BAD, GOOD, Units, end, on_hosts, say};

/// A flip that overlaps loses nothing, whichever release it leaves: every failed request counts.
#[tokio::test]
async fn overlap_loses_no_request() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[GOOD, ALSO_GOOD])?;
        let loads = world.load_from_outside()?;
        world.unship(&["rollback", "--yes"])?.ends_with(0)?;
        let counted = end(loads).await?;
        world.all_come_to_prove(GOOD)?;
        say(&format!("overlap: {} of {} requests failed", counted.failed.len(), counted.sent));
        assert!(counted.sent > 100 && counted.failed.is_empty(), "{:#?}", counted.failed);
        Ok(())
    })
    .await;
}

/// What the bad release answers itself is its own; nothing else fails.
#[tokio::test]
async fn a_release_that_answers_500_is_taken_back() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[GOOD, BAD])?;
        let loads = world.load_from_outside()?;
        world.unship(&["rollback", "--mode", "degraded", "--yes"])?.ends_with(0)?;
        let counted = end(loads).await?;
        world.all_come_to_prove(GOOD)?;
        assert!(counted.by_bad > 0, "the bad release was not seen");
        assert!(counted.failed.is_empty(), "{:#?}", counted.failed);
        Ok(())
    })
    .await;
}

/// Code that does harm is stopped first: until the target is there the hold unit answers 503.
#[tokio::test]
async fn harmful_code_is_stopped_first() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[GOOD, ALSO_GOOD])?;
        let loads = world.load_from_outside()?;
        world.unship(&["rollback", "--mode", "data-corruption", "--yes"])?.ends_with(0)?;
        let counted = end(loads).await?;
        world.all_come_to_prove(GOOD)?;
        // Between the stop of the one and the start of the other the hold unit answers: nobody is cut off.
        let cut_off: Vec<_> =
            counted.failed.iter().filter(|failed| !failed.ends_with("status 503")).collect();
        assert!(cut_off.is_empty(), "{cut_off:#?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_gap_of_a_restart_is_told() {
    gap("restart", Units::Plain).await;
}

#[tokio::test]
async fn the_gap_of_a_swap_is_told() {
    gap("swap", Units::Swap).await;
}

/// Without a socket there is a gap in which nobody listens. It is measured and told, and nobody is cut off.
async fn gap(order: &str, units: Units) {
    on_hosts(units, async |world| {
        world.deploy(&[GOOD, ALSO_GOOD])?;
        world.unship(&["status"])?.ends_with(0)?.says(order)?;
        let loads = world.load()?;
        world.unship(&["rollback", "--yes"])?.ends_with(0)?;
        let counted = end(loads).await?;
        world.all_come_to_prove(GOOD)?;
        say(&format!(
            "{order}: {} of {} requests failed, the longest gap {} ms",
            counted.failed.len(),
            counted.sent,
            counted.gap.as_millis()
        ));
        // Requests in flight are still finished: what fails is refused, not cut off.
        let cut_off: Vec<_> = counted.failed.iter().filter(|failed| !failed.contains("refused")).collect();
        assert!(cut_off.is_empty(), "{cut_off:#?}");
        Ok(())
    })
    .await;
}

/// Held hosts answer 503 and nothing else until somebody lets them serve again.
#[tokio::test]
async fn a_hold_answers_for_the_release() {
    on_hosts(Units::Socket, async |world| {
        world.deploy(&[GOOD, BAD])?;
        world.unship(&["hold", "--yes"])?.ends_with(0)?;
        for host in world.hosts() {
            let url = format!("http://127.0.0.1:{}/", world.port);
            let words = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", &url];
            let status = world.testbed.at(&host.name, &words)?;
            assert_eq!(status, "503", "{}", host.name);
        }
        world.unship(&["rollback", "--mode", "data-corruption", "--yes"])?.ends_with(0)?;
        world.all_come_to_prove(GOOD)
    })
    .await;
}
