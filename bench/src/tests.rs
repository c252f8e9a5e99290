use super::*;

#[test]
fn median_is_the_middle_and_never_a_guess() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[1.0, f64::NAN]), None);
}

#[test]
fn both_sides_alternate_after_one_warm_up() {
    let order = std::cell::RefCell::new(String::new());
    let comparison = paired::<()>(
        "order",
        "ms",
        2,
        || {
            order.borrow_mut().push('u');
            Ok(2.0)
        },
        || {
            order.borrow_mut().push('f');
            Ok(1.0)
        },
    )
    .expect("works");
    assert_eq!(*order.borrow(), "fufufu");
    assert_eq!((comparison.ours.len(), comparison.other.len()), (2, 2));
}

#[test]
fn the_line_and_the_file_say_the_same() {
    let directory = tempfile::tempdir().expect("works");
    let comparison = Comparison {
        name: "flip".into(),
        ours: vec![11.0, 12.0, 13.0],
        other: vec![10.0, 9.0, 50.0],
        unit: "ms",
    };
    let mut line = Vec::new();
    let ratio = report_to(&comparison, directory.path(), &mut line).expect("works");
    assert!((ratio - 1.2).abs() < 1e-9);
    assert_eq!(
        String::from_utf8(line).expect("works"),
        "bench flip: ours 12.0 ms other 10.0 ms ratio 1.20\n"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&fs_err::read(directory.path().join("flip.json")).expect("works"))
            .expect("works");
    assert_eq!(json["ours"], 12.0);
    assert_eq!(json["other"], 10.0);
    assert_eq!(json["ours_all"][2], 13.0);
}

#[test]
fn nothing_measured_is_an_error_and_not_a_ratio() {
    let comparison = Comparison { name: "none".into(), ours: vec![], other: vec![1.0], unit: "ms" };
    let error = report_to(&comparison, Path::new("/nonexistent"), &mut Vec::new()).expect_err("refused");
    assert_eq!(error.to_string(), "bench `none`: ours has no usable measurement");
}
