//! Two `unship rollback --yes` of the real program at once.

use std::time::Duration;

use crate::chance::Chance;
use crate::real::{BAD, GOOD, Site, text};
use crate::{say, thorough};

/// The second starts this much later at most: well within the first one's run.
const OFFSET_US_MAX: u64 = 12_000;

#[test]
fn of_two_rollbacks_exactly_one_runs() {
    let count: u32 = if thorough() { 1_000 } else { 40 };
    let (mut first_won, mut late) = (0_u32, 0_u32);
    for seed in 0..count {
        let mut chance = Chance::new(2_000_000 + u64::from(seed));
        let site = Site::new();
        let start = || site.command(&["rollback", "--yes"]).spawn().expect("unship starts");
        let one = start();
        std::thread::sleep(Duration::from_micros(chance.below(OFFSET_US_MAX)));
        let two = start();
        let one = one.wait_with_output().expect("ends");
        let two = two.wait_with_output().expect("ends");
        let (winner, loser) = if one.status.success() { (&one, &two) } else { (&two, &one) };
        first_won += u32::from(one.status.success());
        let place = format!("seed {seed}: {}---\n{}", text(&one), text(&two));
        assert_eq!(winner.status.code(), Some(0), "nobody ran; {place}");
        let words = text(loser);
        match loser.status.code() {
            Some(5) => {
                assert!(words.contains("op@"), "it does not say who; {place}");
                assert!(words.contains(" since 20"), "it does not say since when; {place}");
            }
            // It came when all was over: what it was asked for is another thing then, and is refused.
            Some(3) if words.contains("no known-good release") => late += 1,
            other => panic!("the loser exits with {other:?}; {place}"),
        }
        site.serves_only(GOOD, BAD);
        let log = text(&site.unship(&["log"]));
        assert_eq!(log.matches("rollback").count(), 1, "one run is recorded; {log}");
    }
    say(&format!("{count} races: the first won {first_won}, {late} came when all was over"));
    assert!(late * 10 < count, "{late} of {count} were no races");
}
