use super::*;

#[test]
fn however_long_it_takes_so_many_beats_are_kept_and_what_was_missed_is_among_them() {
    let mut beats = Vec::new();
    let mut thinned = 0;
    for at_ms in 0..10_000 {
        let took_us = (at_ms != 5_001).then_some(900);
        thinned += usize::from(keep(&mut beats, Beat { at_ms, took_us }));
        assert!(beats.len() <= BEATS_MAX);
    }
    assert!(thinned > 10);
    assert!(beats.is_sorted_by_key(|beat| beat.at_ms));
    let missed: Vec<u64> =
        beats.iter().filter(|beat| beat.took_us.is_none()).map(|beat| beat.at_ms).collect();
    assert_eq!(missed, [5_001]);
}
