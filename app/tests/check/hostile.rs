//! SQL that means harm, or is only far too much: a clear answer, nothing outside touched, nothing left running.

use std::path::Path;
use std::time::{Duration, Instant};

use unship::wire::ShadowLimits;
use unship_core::tools::Tool;
use unship_core::verdict::UpClass;

use crate::world::{check, check_with, has_postgres, plain, set};

/// A file that an escape would make; in a folder that everybody may write to.
fn canary(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("unship-canary-{}-{name}", std::process::id()));
    path.to_string_lossy().into_owned()
}

#[test]
fn nothing_reaches_programs_files_or_other_databases() {
    if !has_postgres() {
        return;
    }
    let touched = canary("program");
    let program = format!("CREATE TABLE t (a text); COPY t FROM PROGRAM 'touch {touched}';");
    let hidden =
        format!("DO $$ BEGIN EXECUTE 'COPY (SELECT 1) TO PRO' || 'GRAM ''touch {touched}'''; END $$;");
    let shell = format!("\\! touch {touched}\nSELECT 1;");
    let written = format!("COPY (SELECT 1) TO '{touched}';");
    let trojan = format!(
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN \
         EXECUTE 'COPY (SELECT 1) TO PRO' || 'GRAM ''touch {touched}'''; END $$;\n\
         UPDATE pg_index SET indisvalid = indisvalid WHERE f() IS NULL;"
    );
    let reset =
        format!("RESET SESSION AUTHORIZATION; RESET ROLE; COPY (SELECT 1) TO PROGRAM 'touch {touched}';");
    let member = "GRANT pg_execute_server_program TO CURRENT_USER;";
    let superuser = "CREATE ROLE boss SUPERUSER;";
    let steps: Vec<(&str, &str, &str)> = vec![
        ("program", &program, "SELECT 1;"),
        ("hidden_program", &hidden, "SELECT 1;"),
        ("written_file", &written, "SELECT 1;"),
        ("read_file", "SELECT pg_read_file('/etc/passwd');", "SELECT 1;"),
        ("large_object", "SELECT lo_import('/etc/passwd');", "SELECT 1;"),
        ("drop_database", "DROP DATABASE postgres;", "SELECT 1;"),
        ("create_database", "CREATE DATABASE other;", "SELECT 1;"),
        ("alter_system", "ALTER SYSTEM SET archive_command = 'true';", "SELECT 1;"),
        ("load", "LOAD 'auto_explain';", "SELECT 1;"),
        ("language", "CREATE FUNCTION c() RETURNS int LANGUAGE c AS 'libc', 'getpid';", "SELECT 1;"),
        ("trojan", &trojan, "SELECT 1;"),
        ("reset", &reset, "SELECT 1;"),
        ("member", member, "SELECT 1;"),
        ("superuser", superuser, "SELECT 1;"),
        ("gateway", "SELECT pg_catalog.unship_elevated('guess', 'SELECT 1');", "SELECT 1;"),
        ("gateway_word", "SELECT digest FROM pg_catalog.unship_word;", "SELECT 1;"),
    ];
    let report = check(&plain(&steps));
    for step in &report.steps {
        assert_eq!(step.up.class, None, "{} ran", step.id);
        assert!(
            step.reasons.iter().any(|reason| reason.text.starts_with("could not run, because")),
            "{}",
            step.id
        );
    }
    let report = check(&plain(&[("shell", &shell, "SELECT 1;")]));
    assert_eq!(report.steps[0].up.class, Some(UpClass::None));
    assert!(report.steps[0].remarks[0].contains("would run a program"), "{:?}", report.steps[0].remarks);
    assert!(!Path::new(&touched).exists(), "something reached {touched}");
}

#[test]
fn what_takes_forever_or_fills_the_disk_is_stopped_and_the_rest_goes_on() {
    if !has_postgres() {
        return;
    }
    let limits = ShadowLimits { step_ms_max: 5_000, disk_bytes_max: 64 << 20, ..ShadowLimits::default() };
    let started = Instant::now();
    let steps = [
        ("sleeps", "SET statement_timeout = 0; SELECT pg_sleep(100000);", "SELECT 1;"),
        ("spins", "DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$;", "SELECT 1;"),
        (
            "catches",
            "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(10); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$;",
            "SELECT 1;",
        ),
        ("fills", "CREATE TABLE big AS SELECT md5(generate_series(1, 1000000000)::text);", "SELECT 1;"),
        (
            "recurses",
            "CREATE FUNCTION r() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE OR REPLACE FUNCTION r() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN r(); END'; SELECT r();",
            "SELECT 1;",
        ),
        ("goes_on", "CREATE TABLE fine (id bigint);", "DROP TABLE fine;"),
        ("down_sleeps", "CREATE TABLE slept (id bigint);", "SELECT pg_sleep(100000);"),
        ("goes_on_again", "CREATE TABLE finer (id bigint);", "DROP TABLE finer;"),
    ];
    let report = check_with(&plain(&steps), limits);
    for (step, words) in report.steps.iter().zip([
        "longer than 5000 ms",
        "longer than 5000 ms",
        "longer than 5000 ms",
        "more than 64 MiB",
    ]) {
        let error = step.up.error.as_ref().unwrap_or_else(|| panic!("{} ran", step.id));
        assert!(error.message.contains(words), "{}: {}", step.id, error.message);
    }
    assert_eq!(report.steps[4].up.class, None, "endless recursion ran");
    assert_eq!(report.steps[5].up.class, Some(UpClass::Additive));
    assert_eq!(report.steps[6].down.class.word(), "fails");
    assert_eq!(report.steps[7].down.class.word(), "exact");
    assert!(started.elapsed() < Duration::from_secs(90), "took {:?}", started.elapsed());
}

#[test]
fn broken_and_bottomless_text_gets_an_answer() {
    if !has_postgres() {
        return;
    }
    let parentheses = format!("SELECT {}1{};", "(".repeat(200_000), ")".repeat(200_000));
    let nots = format!("SELECT {} true;", "NOT ".repeat(200_000));
    let cases = format!("SELECT {}1{};", "CASE WHEN true THEN ".repeat(50_000), " END".repeat(50_000));
    let long = format!("SELECT '{}';", "x".repeat(20 << 20));
    let steps: Vec<(&str, &str, &str)> = vec![
        ("open_quote", "SELECT 'never closed;", "SELECT 1;"),
        ("open_dollar", "DO $body$ BEGIN", "SELECT 1;"),
        ("open_comment", "/* never closed\nSELECT 1;", "SELECT 1;"),
        ("parentheses", &parentheses, "SELECT 1;"),
        ("nots", &nots, "SELECT 1;"),
        ("cases", &cases, "SELECT 1;"),
        ("long", &long, "SELECT 1;"),
        ("unknown_meta", "\\frobnicate\nSELECT 1;", "SELECT 1;"),
        ("include", "\\i other.sql\nSELECT 1;", "SELECT 1;"),
        ("fine", "CREATE TABLE fine (id bigint);", "DROP TABLE fine;"),
    ];
    let report = check(&plain(&steps));
    assert_eq!(report.steps.len(), steps.len());
    let last = report.steps.last().expect("steps");
    assert_eq!((last.up.class, last.down.class.word()), (Some(UpClass::Additive), "exact"));
}

#[test]
fn copy_data_runs_as_psql_would_run_it_and_is_named_elsewhere() {
    if !has_postgres() {
        return;
    }
    let copy = "CREATE TABLE t (a int, b text);\nCOPY t (a, b) FROM STDIN;\n1\tone\n2\ttwo\n\\.\nALTER TABLE t ADD CHECK (a > 0);\n";
    let report = check(&plain(&[("copy", copy, "DROP TABLE t;")]));
    let step = &report.steps[0];
    assert_eq!(
        (step.up.class, step.down.class.word()),
        (Some(UpClass::Additive), "exact"),
        "{:?}",
        step.up.error
    );
    let report = check(&set(Tool::GolangMigrate, &[("copy", copy, "DROP TABLE t;")]));
    let error = report.steps[0].up.error.as_ref().expect("golang-migrate is not psql");
    assert!(error.message.contains("needs psql"), "{}", error.message);
}
