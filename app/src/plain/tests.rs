use super::*;

#[test]
fn what_draws_is_taken_out_and_words_stay() {
    assert_eq!(plain("a \u{1b}[31mred\u{1b}[0m word"), "a red word");
    let drawn = plain("up\u{1b}]0;title\u{7}\r\u{8}\u{9b}2J\nnext\u{202e}");
    assert!(drawn.chars().all(|char| !char.is_control() && char != '\u{202e}'), "{drawn:?}");
    assert!(drawn.starts_with("up") && drawn.contains("next"), "{drawn:?}");
    assert_eq!(plain("größer → 3 `ok`"), "größer → 3 `ok`");
}
