use super::*;

fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, String, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let full = folder.path().join(path);
        fs_err::create_dir_all(full.parent().expect("a parent")).expect("a folder");
        fs_err::write(full, text).expect("a file");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let found = runtime.block_on(project::look(folder.path()));
    (folder, written(&found), missing(&found))
}

#[test]
fn what_a_repository_shows_becomes_a_configuration_that_parses() {
    let (_folder, text, missing) = project(&[
        ("Cargo.toml", "[package]\nname = \"forge\"\n[dependencies]\nsqlx = \"0.9\"\n"),
        ("migrations/0001_a.up.sql", "CREATE TABLE a (id int);"),
        ("migrations/0001_a.down.sql", "DROP TABLE a;"),
        (".sqlx/query-1.json", "{}"),
        ("deploy/forge-web.service", "[Service]\nExecStart=/usr/local/bin/forge web --port %i\n"),
        (".github/workflows/ci.yml", "on: push"),
    ]);
    let config = Config::parse(Path::new("unship.toml"), &text).expect("it parses");
    assert_eq!(config.service.name.to_string(), "forge");
    assert_eq!(config.units.executable(), "bin/forge");
    let migrations = config.migrations.expect("migrations");
    assert_eq!(migrations.tool.map(|tool| tool.0), Some(unship_core::tools::Tool::Sqlx));
    assert_eq!(config.queries.expect("queries").paths.len(), 1);
    assert_eq!(missing, ["tags; releases are named by them"]);
}

#[test]
fn an_empty_or_hostile_repository_gives_one_too() {
    for files in [
        &[][..],
        &[("evil\"\n]/x.service", "ExecStart=/bin/\"x\\\"\n[[unit]]"), ("migrations/0001_\"x.sql", "")][..],
    ] {
        let (_folder, text, missing) = project(files);
        Config::parse(Path::new("unship.toml"), &text).expect("it parses");
        assert!(missing.iter().any(|line| line.contains("how it is built")));
    }
}
