use proptest::prelude::*;

use super::*;

fn statements(text: &str) -> Vec<&str> {
    split(text)
        .pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Statement(statement) => Some(&text[statement.span.clone()]),
            Piece::Meta(_) => None,
        })
        .collect()
}

#[test]
fn quotes_and_comments_hide_semicolons() {
    let text = "SELECT 'a;''b'; SELECT E'\\';' ; -- c;\nSELECT $x$ ; $$ ; $x$; /* ; /* ; */ ; */ SELECT \";\";;\nSELECT (1;2)";
    assert_eq!(
        statements(text),
        ["SELECT 'a;''b';", "SELECT E'\\';' ;", "SELECT $x$ ; $$ ; $x$;", "SELECT \";\";", "SELECT (1;2)"]
    );
}

#[test]
fn function_bodies_of_the_standard_keep_their_semicolons() {
    let text = "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;\nSELECT 3;";
    assert_eq!(statements(text).len(), 2);
    assert_eq!(statements("CREATE TABLE t (a int); BEGIN; COMMIT;").len(), 3);
}

#[test]
fn copy_data_is_no_sql() {
    let text = "COPY t (a, b) FROM STDIN WITH (FORMAT csv);\n1;'x\n\\N\n\\.\nSELECT 1;\nCOPY t TO STDOUT;\nSELECT 2;";
    let cut = split(text);
    assert_eq!(statements(text).len(), 4);
    let Piece::Statement(copy) = &cut.pieces[0] else { panic!("a statement") };
    assert_eq!(copy.copy_data.clone().map(|data| &text[data]), Some("1;'x\n\\N\n"));
    let Piece::Statement(next) = &cut.pieces[1] else { panic!("a statement") };
    assert_eq!(next.line, 5);
    let open = "COPY t FROM stdin;\n1\n2\n";
    let Piece::Statement(copy) = &split(open).pieces[0] else { panic!("a statement") };
    assert_eq!(copy.copy_data.clone().map(|data| &open[data]), Some("1\n2\n"));
}

#[test]
fn backslash_lines_end_where_the_line_ends() {
    let text = "\\set x 1\nSELECT 1;\n\\! rm;\nSELECT 2 \\gexec\nSELECT 3;";
    let cut = split(text);
    let commands: Vec<(&str, u32)> = cut
        .pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Meta(meta) => Some((meta.command.as_str(), meta.line)),
            Piece::Statement(_) => None,
        })
        .collect();
    assert_eq!(commands, [("\\set", 1), ("\\!", 3), ("\\gexec", 4)]);
    assert_eq!(statements(text), ["SELECT 1;", "SELECT 2", "SELECT 3;"]);
    let middle = batches("SELECT 1,\n\\echo x\n2;\nSELECT 3;");
    let sent: Vec<(u32, &str)> = middle.iter().map(|(line, text)| (*line, text.as_str())).collect();
    assert_eq!(sent, [(2, "\\echo x"), (1, "SELECT 1,\n\n2;"), (4, "SELECT 3;")]);
}

#[test]
fn what_stays_open_is_named_with_its_line() {
    let open = |text: &str| split(text).left_open;
    assert_eq!(open("SELECT 1;\nSELECT 'x"), Some((Open::Quote, 2)));
    assert_eq!(open("SELECT $a$ $b$"), Some((Open::DollarQuote, 1)));
    assert_eq!(open("SELECT \"x"), Some((Open::QuotedName, 1)));
    assert_eq!(open("/* /* */"), Some((Open::Comment, 1)));
    assert_eq!(open("SELECT 'x'"), None);
}

#[test]
fn comments_are_found_with_their_lines() {
    let found: Vec<(u32, &str)> = line_comments("-- a\nSELECT '-- b'; -- c\n\n/* -- d */ --e").collect();
    assert_eq!(found, [(1, "a"), (2, "c"), (4, "e")]);
    assert!(is_blank(" -- x\n/* y */ ;\n"));
    assert!(!is_blank("x"));
}

proptest! {
    #[test]
    fn every_text_can_be_cut(text in "\\PC*|[-'\"$;()\\\\/*a-cE\\n ]{0,80}") {
        let cut = split(&text);
        let mut end = 0;
        for piece in &cut.pieces {
            let span = match piece {
                Piece::Statement(statement) => statement.span.clone(),
                Piece::Meta(meta) => meta.span.clone(),
            };
            prop_assert!(text.get(span.clone()).is_some());
            if let Piece::Statement(statement) = piece {
                let newlines = text[..span.start].matches('\n').count();
                prop_assert_eq!(statement.line as usize, newlines + 1);
            }
            end = end.max(span.end);
        }
        prop_assert!(end <= text.len());
        let _ = batches(&text);
    }

    /// Cutting what was put together from whole statements gives them back.
    #[test]
    fn statements_round_trip(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("SELECT 'a;b'"), Just("SELECT $q$;$q$"), Just("UPDATE t SET a = (1)"), Just("SELECT \"x;\""),
                Just("DO $$ BEGIN NULL; END $$"), Just("SELECT E'\\'; '"),
            ],
            0..8,
        ),
        glue in prop_oneof![Just(";\n"), Just("; -- ;\n"), Just(";/* ; */ "), Just(" ;\r\n")],
    ) {
        let text = parts.iter().flat_map(|part| [*part, glue]).collect::<String>();
        let cut: Vec<String> =
            statements(&text).iter().map(|s| s.trim_end_matches(';').trim_end().to_owned()).collect();
        prop_assert_eq!(cut, parts);
    }
}
