//! Whole outputs of the command line.

use crate::world::{commit, has_postgres, said, unship, write};

/// Two releases: the newer one adds a harmless step, one with a question, and one that breaks with a bad down.
fn releases() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[
            (
                "migrations/0001_users.up.sql",
                "CREATE TABLE users (id bigint PRIMARY KEY, email text, name text);\n",
            ),
            ("migrations/0001_users.down.sql", "DROP TABLE users;\n"),
        ],
    );
    commit(folder.path(), "v1.0.0");
    write(
        folder.path(),
        &[
            ("migrations/0002_bio.up.sql", "ALTER TABLE users ADD COLUMN bio text;\n"),
            ("migrations/0002_bio.down.sql", "ALTER TABLE users DROP COLUMN bio;\n"),
            ("migrations/0003_email.up.sql", "ALTER TABLE users ALTER COLUMN email SET NOT NULL;\n"),
            ("migrations/0003_email.down.sql", "ALTER TABLE users ALTER COLUMN email DROP NOT NULL;\n"),
        ],
    );
    commit(folder.path(), "v1.1.0");
    write(
        folder.path(),
        &[
            ("migrations/0004_name.up.sql", "ALTER TABLE users DROP COLUMN name;\n"),
            (
                "migrations/0004_name.down.sql",
                "ALTER TABLE users ADD COLUMN name text NOT NULL DEFAULT '';\n",
            ),
            ("migrations/0005_never.up.sql", "SELECT 1;\n\nALTER TABLE nobody ADD COLUMN a text;\n"),
        ],
    );
    commit(folder.path(), "v1.2.0");
    folder
}

#[test]
fn a_span_that_cannot_be_taken_back_is_said_in_every_format() {
    if !has_postgres() {
        return;
    }
    let folder = releases();
    let span = ["check", "v1.0.0..v1.2.0", "--migrations", "migrations", "--tool", "golang-migrate"];
    insta::assert_snapshot!("span_text", said(&unship(folder.path(), &span)));
    insta::assert_snapshot!(
        "span_github",
        said(&unship(folder.path(), &[&span[..], &["--format", "github"]].concat()))
    );
    insta::assert_snapshot!(
        "span_markdown",
        said(&unship(folder.path(), &[&span[..], &["--format", "markdown"]].concat()))
    );
}

#[test]
fn the_exit_status_follows_the_policy() {
    if !has_postgres() {
        return;
    }
    let folder = releases();
    let status = |span: &str, more: &[&str]| {
        let arguments =
            [&["check", span, "--migrations", "migrations", "--tool", "golang-migrate"], more].concat();
        unship(folder.path(), &arguments).status.code()
    };
    assert_eq!(status("v1.0.0..v1.0.0", &[]), Some(0));
    assert_eq!(status("v1.0.0..v1.1.0", &[]), Some(11));
    assert_eq!(status("v1.0.0..v1.1.0", &["--fail-on", "breaks"]), Some(0));
    assert_eq!(status("v1.1.0..v1.2.0", &[]), Some(10));
    assert_eq!(status("v1.1.0..v1.2.0", &["--fail-on", "nothing"]), Some(0));
    assert_eq!(status("v9.9.9..v1.2.0", &[]), Some(2));
    assert_eq!(status("v1.0.0", &[]), Some(2));
}

#[test]
fn a_folder_is_judged_without_git_and_without_configuration() {
    if !has_postgres() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[
            ("m/1_users.up.sql", "CREATE TABLE users (id bigint PRIMARY KEY);\n"),
            ("m/1_users.down.sql", "DROP TABLE users;\n"),
            ("m/2_rename.up.sql", "ALTER TABLE users RENAME TO people;\n"),
        ],
    );
    let output =
        unship(folder.path(), &["check", "--all", "--migrations", "m", "--tool", "golang-migrate", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["tool"], "golang-migrate");
    assert_eq!(report["summary"]["steps"], 2);
    assert_eq!(report["steps"][0]["id"], "1_users");
    assert_eq!(report["steps"][0]["up"]["class"], "additive");
    assert_eq!(report["steps"][0]["down"]["class"], "exact");
    assert_eq!(report["steps"][1]["up"]["class"], "breaking");
    assert_eq!(report["steps"][1]["up"]["changes"][0]["change"], "renamed");
    assert_eq!(report["steps"][1]["down"]["class"], "missing");
    assert_eq!(report["steps"][1]["verdict"], "breaks");
    assert!(report["steps"][1]["ms"].is_number());
}

/// Files that no server could be sent, among good ones: every step has its answer, and the good ones theirs.
#[test]
fn files_that_cannot_be_read_are_steps_that_say_so() {
    if !has_postgres() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let big = format!("-- {}\nCREATE TABLE big (a int);\n", "x".repeat(20 << 20));
    write(
        folder.path(),
        &[
            ("m/1_users.up.sql", "CREATE TABLE users (id bigint PRIMARY KEY);\n"),
            ("m/1_users.down.sql", "DROP TABLE users;\n"),
            ("m/3_bio.up.sql", "ALTER TABLE users ADD COLUMN bio text;\n"),
            ("m/5_big.up.sql", &big),
            ("m/5_big.down.sql", "DROP TABLE big;\n"),
            ("m/7_follows.up.sql", "ALTER TABLE latin ADD COLUMN b int;\n"),
            ("m/8_last.up.sql", "ALTER TABLE users ADD COLUMN last text;\n"),
            ("m/8_last.down.sql", "ALTER TABLE users DROP COLUMN last;\n"),
        ],
    );
    let bytes = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("a file");
    bytes("m/2_latin.up.sql", b"-- caf\xe9\nCREATE TABLE latin (a int);\n");
    bytes("m/3_bio.down.sql", b"-- \xe9\nALTER TABLE users DROP COLUMN bio;\n");
    bytes("m/4_nul.up.sql", b"CREATE TABLE n (a int);\n\0");
    let huge = std::fs::File::create(folder.path().join("m/6_huge.up.sql")).expect("a file");
    huge.set_len(100 << 20).expect("a hole");
    let check = ["check", "--all", "--migrations", "m", "--tool", "golang-migrate"];
    insta::assert_snapshot!("unreadable_text", said(&unship(folder.path(), &check)));
}

#[test]
fn a_folder_is_named_as_on_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &[("m/1_a.up.sql", "SELECT 1;"), ("m/1_a.down.sql", "")]);
    let full = folder.path().join("m").to_string_lossy().into_owned();
    let error = |named: &str| {
        let output = unship(folder.path(), &["check", "--all", "--migrations", named]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for named in ["m", "./m", &full] {
        assert!(error(named).contains(&format!("migrations `{named}` are")), "{}", error(named));
    }
    for named in ["none", "/none/here", "m/1_a.up.sql"] {
        assert!(error(named).contains(&format!("`{named}` cannot be read: ")), "{}", error(named));
    }
}

#[test]
fn a_rule_is_explained_and_an_unknown_one_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    insta::assert_snapshot!("explain_rule", said(&unship(folder.path(), &["explain", "required-column"])));
    insta::assert_snapshot!("explain_unknown", said(&unship(folder.path(), &["explain", "no-such-rule"])));
    insta::assert_snapshot!("explain_all", said(&unship(folder.path(), &["explain"])));
}
