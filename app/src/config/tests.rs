use super::*;

const EXAMPLE: &str = include_str!("../../../example.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("unship.toml"), text)
}

/// The example with `from` replaced by `to`; what the reader says about it, with its hint.
fn said(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "the example has no `{from}`");
    let error = parse(&EXAMPLE.replacen(from, to, 1)).expect_err("refused");
    match error.hint() {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    }
}

#[test]
fn the_commented_reference_is_valid_and_names_every_key() {
    let config = parse(EXAMPLE).expect("the example is valid");
    assert_eq!(config.service.name.as_str(), "shithub");
    assert_eq!(config.units.as_slice().len(), 3);
    let (name, environment) = config.environment(None).expect("the only one");
    assert_eq!((name.as_str(), environment.strategy), ("production", Strategy::Native));
    assert_eq!(config.limits.keep_releases, 5);
}

#[test]
fn a_typo_is_named_with_file_line_key_and_the_nearest_name() {
    insta::assert_snapshot!(said("listen = ", "lisen = "), @"
    unship.toml:30:1: `unit.lisen`: unknown field `lisen`, expected one of `name`, `command`, `listen`, `environment`, `notify`, `restart_delay`, `systemd`
    hint: did you mean `listen`?
    ");
}

#[test]
fn wrong_values_are_named_with_file_line_key_and_what_is_expected() {
    insta::assert_snapshot!(said("restart_delay = \"200ms\"", "restart_delay = 200"), @r#"unship.toml:35:17: `unit.restart_delay`: invalid type: integer `200`, expected a time with its unit, such as "200ms", "30s", "10m" or "2h""#);
    insta::assert_snapshot!(said("time_max = \"30m\"", "time_max = \"30 minutes\""), @r#"unship.toml:23:12: `build.time_max`: invalid value: string "30 minutes", expected a time with its unit, such as "200ms", "30s", "10m" or "2h""#);
    insta::assert_snapshot!(said("127.0.0.1:8080", "localhost"), @r#"unship.toml:30:10: `unit.listen`: the address `localhost` must be an IP address and a port, such as "127.0.0.1:8080""#);
    insta::assert_snapshot!(said("[\"bin/shithubd\", \"web\"]", "\"bin/shithubd web\""), @r#"unship.toml:28:11: `unit.command`: invalid type: string "bin/shithubd web", expected a command as a list of words, such as ["make", "build"]"#);
    insta::assert_snapshot!(said("target/release/shithubd", "../elsewhere"), @"unship.toml:19:12: `build.artifact`: the path `../elsewhere` must be relative, without `.`, `..` or empty parts");
    insta::assert_snapshot!(said("name = \"worker\"", "name = \"web\""), @"unship.toml:26:1: `unit`: two units are named `web`");
    insta::assert_snapshot!(said("hosts = [\"local\"]", "hosts = []"), @"unship.toml:251:9: `environment.production.hosts`: an environment needs at least one host");
    insta::assert_snapshot!(said("strategy = \"native\"", "strategy = \"nativ\""), @"
    unship.toml:248:12: `environment.production.strategy`: unknown variant `nativ`, expected `native` or `command`
    hint: did you mean `native`?
    ");
    insta::assert_snapshot!(said("artifact = ", "# artifact = "), @"
    unship.toml:16:1: `build`: missing field `artifact`
    hint: add `artifact`; `example.toml` shows how
    ");
    insta::assert_snapshot!(said("[service]", "[service"), @"unship.toml:8:9: unclosed table, expected `]`");
}

#[test]
fn couriers_that_cannot_be_meant_are_refused() {
    let courier =
        |lines: &str| said("[[aftercare.note]]\nvia = \"command\"", &format!("[[aftercare.note]]\n{lines}"));
    for (lines, expected) in [
        ("via = \"slack\"", "`command` has no meaning with `via = \"slack\"`"),
        ("via = \"smtp\"", "`command` has no meaning"),
        ("via = \"command\"\nname = \"incidents\"", "two couriers are named `incidents`"),
        ("via = \"comand\"", "unknown variant `comand`"),
        ("via = \"command\"\ntoken = \"hunter2\"", "unknown field `token`"),
    ] {
        let said = courier(lines);
        assert!(said.contains(expected), "{said}");
    }
    let mail = said("tls = \"starttls\"", "tls = \"none\"");
    assert!(mail.contains("a password is not sent without TLS"), "{mail}");
    let key = said("key_file = ", "key_command = [\"pass\", \"x\"]\nkey_file = ");
    assert!(key.contains("`key_file` or `key_command`, not both"), "{key}");
}

#[test]
fn an_environment_that_is_not_there_is_named_with_those_that_are() {
    let config = parse(EXAMPLE).expect("valid");
    let error = config.environment(Some(&"staging".parse().expect("a name"))).expect_err("not there");
    assert_eq!(error.to_string(), "there is no environment `staging` in unship.toml");
    assert_eq!(error.hint().as_deref(), Some("known: production"));
}

#[test]
fn no_text_makes_the_reader_panic() {
    proptest::proptest!(|(cut in 0..EXAMPLE.len(), junk in ".{0,20}")| {
        let mut text: String = EXAMPLE.chars().take(cut).collect();
        text.push_str(&junk);
        let _ = parse(&text);
    });
}

/// The example with a commented table in the place of the one that stands there.
fn with_other(stands: &str, other: &str) -> String {
    let text = EXAMPLE.replace("install = true\n", "");
    let (mut kept, mut dropped, mut opened) = (Vec::new(), false, false);
    for line in text.lines() {
        let line = match line.strip_prefix("# ") {
            Some(bare) if bare == format!("[{other}]") => {
                opened = true;
                bare
            }
            Some(bare) if opened => bare,
            _ => line,
        };
        opened &= !line.is_empty();
        dropped = line == format!("[{stands}]") || (dropped && !line.starts_with('[') && !line.is_empty());
        if !dropped {
            kept.push(line);
        }
    }
    kept.join("\n")
}

#[test]
fn every_place_of_flags_and_of_ci_in_the_reference_is_valid() {
    for other in ["unleash", "sql", "command"] {
        let text = with_other("flags.flagd", &format!("flags.{other}"));
        let config = parse(&text).unwrap_or_else(|error| panic!("{other}: {error}\n{text}"));
        let place = config.flags.and_then(|flags| flags.place).expect("a place");
        let named = match place {
            FlagPlace::Unleash(_) => "unleash",
            FlagPlace::Sql(_) => "sql",
            FlagPlace::Command(_) => "command",
            FlagPlace::Flagd(_) => "flagd",
        };
        assert_eq!(named, other);
    }
    for other in ["gitlab", "forgejo", "junit", "command"] {
        let text = with_other("ci.github", &format!("ci.{other}"));
        let config = parse(&text).unwrap_or_else(|error| panic!("{other}: {error}\n{text}"));
        assert!(!matches!(config.ci.expect("[ci]").place, CiPlace::GitHub(_)), "{other}");
    }
}

#[test]
fn two_places_at_once_and_none_are_refused() {
    let two = "[flags.command]\nlist = [\"a\"]\nset = [\"a\"]\n\n[ci]";
    let error = said("[ci]", two);
    assert!(error.contains("flags are in one place"), "{error}");
    let error = said("[ci.github]", "[ci.nobody]");
    assert!(error.contains("unknown field `nobody`"), "{error}");
}
