use super::printed::{expression, group, names, parts};

#[test]
fn brackets_in_quotes_do_not_count() {
    assert_eq!(group("(a) b"), Some(("a", " b")));
    assert_eq!(group("((a = ')'::text)) NO INHERIT"), Some(("(a = ')'::text)", " NO INHERIT")));
    assert_eq!(group("(\"odd)name\", b)"), Some(("\"odd)name\", b", "")));
    assert_eq!(group("(never"), None);
    assert_eq!(group("none"), None);
}

#[test]
fn a_list_is_cut_at_its_own_commas() {
    assert_eq!(parts("a, f(b, c), \"d,e\", ','::text"), ["a", "f(b, c)", "\"d,e\"", "','::text"]);
    assert_eq!(names("a, \"B c\"").as_deref(), Some(&["a".to_owned(), "B c".to_owned()][..]));
    assert_eq!(names("a, (expression)"), None);
}

#[test]
fn an_element_loses_its_operator_class_and_order() {
    for (element, found) in [
        ("email", Some("email")),
        ("email DESC NULLS LAST", Some("email")),
        ("\"My col\" text_pattern_ops", Some("\"My col\"")),
        ("lower(email) text_pattern_ops", Some("lower(email)")),
        ("((a || ' '::text)) COLLATE \"C\"", Some("((a || ' '::text))")),
        ("", None),
    ] {
        assert_eq!(expression(element), found, "{element}");
    }
}
