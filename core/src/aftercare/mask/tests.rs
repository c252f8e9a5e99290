use proptest::prelude::*;

use super::mask;

#[test]
fn what_looks_like_a_secret_is_taken_out() {
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAA\n-----END OPENSSH PRIVATE KEY-----";
    let cases = [
        ("postgres://app:hunter2@db:5432/x failed", "postgres://app:[redacted]@db:5432/x failed"),
        ("postgres://app:hun/ter2@db/x", "postgres://app:[redacted]@db/x"),
        ("PASSWORD=hunter2 ./run", "PASSWORD=[redacted] ./run"),
        ("DB_PASSWORD='hunter2' ok", "DB_PASSWORD='[redacted]' ok"),
        ("{\"token\":\"abc\",\"a\":1}", "{\"token\":\"[redacted]\",\"a\":1}"),
        ("token: abc def", "token: [redacted] def"),
        ("GET /x?access_token=abc&page=2", "GET /x?access_token=[redacted]&page=2"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("sent bearer abc and went on", "sent bearer [redacted] and went on"),
        ("it said ghp_0123456789abcdef0123 twice", "it said [redacted] twice"),
        ("key=glpat-abcdefghij1234567890!", "key=[redacted]!"),
        (&format!("found {key} there"), "found [redacted] there"),
        ("-----BEGIN RSA PRIVATE KEY-----\ncut", "[redacted]"),
    ];
    for (given, expected) in cases {
        assert_eq!(mask(given), expected, "{given}");
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "web-01: 1 running, restarted 12 times",
        "v1.4.0 (sha256:0b1c2d3e) at https://example.org:8443/a?b=c",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "the tokenizer failed: line 3",
        "",
        "  two  blanks\n\tand a tab ",
    ] {
        assert_eq!(mask(text), text);
    }
}

proptest! {
    #[test]
    fn a_password_in_an_address_never_comes_through(
        before in "[a-z ]{0,8}", password in "[A-Z0-9]{6,20}", after in "[a-z ]{0,8}",
    ) {
        let masked = mask(&format!("{before} pg://user:{password}@host/db {after}"));
        prop_assert!(!masked.contains(&password), "{}", masked);
    }

    #[test]
    fn any_text_can_be_masked_and_masking_twice_changes_nothing(text in any::<String>()) {
        let once = mask(&text);
        prop_assert_eq!(mask(&once), once);
    }
}
