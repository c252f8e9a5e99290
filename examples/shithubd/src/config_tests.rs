use super::*;

fn parse(text: &str) -> Result<File, ConfigError> {
    File::parse(Path::new("shithubd.toml"), text)
}

#[test]
fn the_environment_wins_over_the_file_and_the_command_line_over_both() {
    let file = parse("database_url = \"sqlite://file.db\"\ndata_dir = \"/srv/file\"\n").expect("valid");
    let settings = Settings { data_dir: Some("/srv/line".into()), ..Settings::default() };
    let config = Config::merge(&settings, Some(Secret::new("sqlite://env.db".into())), file);
    assert_eq!(config.database_url.expect("set").reveal(), "sqlite://env.db");
    assert_eq!(config.data_dir, Path::new("/srv/line"));
    assert_eq!(config.drain_idle_ms, 5_000);
}

#[test]
fn an_error_names_file_and_line_and_keeps_the_password_to_itself() {
    let error = parse("drain_idle_ms = 1\ndatabase_url = \"postgres://u:hunter2@h/d\" oops\n")
        .expect_err("does not parse")
        .to_string();
    assert!(error.contains("shithubd.toml, line 2"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn an_unknown_key_is_refused() {
    assert!(parse("databse_url = \"x\"\n").expect_err("typo").to_string().contains("databse_url"));
}

#[test]
fn a_configuration_prints_without_its_secret() {
    let file = parse("database_url = \"postgres://u:hunter2@h/d\"\n").expect("valid");
    let config = Config::merge(&Settings::default(), None, file);
    assert!(!format!("{config:?}").contains("hunter2"));
}
