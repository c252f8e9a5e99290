use super::*;

#[test]
fn a_comparison_says_how_much_it_compared_and_what_differs() {
    let read = |text: &str| Compared::read(text.as_bytes());
    let good = read(r#"{"compared": 7, "differences": []}"#).expect("reads");
    assert_eq!((good.compared, good.held()), (7, Ok(())));
    let two = read(r#"{"compared": 7, "differences": ["a", "b"]}"#).expect("reads");
    assert_eq!(two.held(), Err("2 values differ, the first: a".into()));
    assert_eq!(
        read(r#"{"compared": 0, "differences": []}"#).expect_err("refused"),
        "it compared no value at all"
    );
    for wrong in ["", "{}", r#"{"compared": 1}"#, r#"{"compared": 1, "differences": [], "more": 1}"#] {
        assert!(read(wrong).expect_err(wrong).starts_with("it must print one JSON object"), "{wrong}");
    }
}
