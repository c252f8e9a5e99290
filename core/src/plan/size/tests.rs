use super::*;

fn waves(size: WaveSize, serving: &[bool]) -> Vec<usize> {
    let count = serving.iter().filter(|serves| **serves).count();
    let hosts = serving.iter().copied().enumerate().collect();
    size.waves(hosts, serving.len(), count).iter().map(Vec::len).collect()
}

fn size(hosts: &str, capacity_min: &str) -> WaveSize {
    WaveSize { hosts: hosts.parse().expect("a share"), capacity_min: capacity_min.parse().expect("a share") }
}

#[test]
fn hosts_go_in_waves_of_at_most_the_size() {
    assert_eq!(waves(WaveSize::default(), &[true; 3]), [1, 1, 1]);
    assert_eq!(waves(size("2", "0"), &[true; 5]), [2, 2, 1]);
    assert_eq!(waves(size("25%", "0"), &[true; 20]), [5, 5, 5, 5]);
    assert_eq!(waves(size("25%", "0"), &[true; 3]), [1, 1, 1], "a part of a host is one host");
    assert_eq!(waves(size("100%", "0"), &[true; 20]), [20]);
    assert_eq!(waves(size("0", "0"), &[true; 2]), [1, 1], "none at a time would never end");
}

#[test]
fn capacity_bounds_a_wave_and_hosts_that_do_not_serve_cost_none() {
    assert_eq!(waves(size("100%", "15"), &[true; 20]), [5, 5, 5, 5]);
    assert_eq!(waves(size("100%", "75%"), &[true; 3]), [1, 1, 1], "nothing to spare: one at a time");
    assert_eq!(waves(size("100%", "1"), &[false; 3]), [3], "a panic loop everywhere");
    assert_eq!(waves(size("100%", "1"), &[true, false, true, false]), [2, 2], "one may be spared");
}

#[test]
fn what_is_written_is_read_back_and_nonsense_is_refused() {
    for text in ["0", "3", "25%", "100%"] {
        let share: Share = text.parse().expect("a share");
        assert_eq!(share.to_string(), text);
        let json = serde_json::to_string(&share).expect("JSON");
        assert_eq!(serde_json::from_str::<Share>(&json).expect("a share"), share);
    }
    for text in ["", "%", "-1", "+1", "101%", "1.5", "25 %", "99999999999"] {
        assert!(text.parse::<Share>().is_err(), "{text}");
    }
}
