use super::*;

#[test]
fn every_mode_has_its_argument() {
    assert_eq!(MODES.map(|mode| mode.0), FailureMode::ALL);
}

#[test]
fn a_time_has_a_unit() {
    let eta = |text: &str| text.parse::<EtaArg>().map(|eta| eta.0);
    assert_eq!(eta("45m"), Ok(Hotfix::After { eta_ms: 45 * 60_000 }));
    assert_eq!(eta("0s"), Ok(Hotfix::After { eta_ms: 0 }));
    assert_eq!(eta("none"), Ok(Hotfix::OutOfTheQuestion));
    for wrong in ["45", "m", "-1m", "1d", "", "169h", "99999999999999999999h"] {
        assert!(eta(wrong).is_err(), "{wrong}");
    }
}
