use super::*;

const FILE: &str = r#"{
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "flags": {
    "signup_open": { "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" },
    "topics_ui":   {
      "state":"ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"
    },
    "search": { "state": "ENABLED", "variants": { "old": "v1", "new": "v2" }, "defaultVariant": "new" },
    "beta": {
      "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off",
      "targeting": { "if": [ { "in": [ "@example.org", { "var": "email" } ] }, "on", "off" ] }
    }
  }
}
"#;

struct World {
    _folder: tempfile::TempDir,
    flags: FlagdFile,
}

fn world(text: &str) -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flags.json");
    fs_err::write(&file, text).expect("a file");
    World { _folder: folder, flags: FlagdFile { file } }
}

impl World {
    fn text(&self) -> String {
        fs_err::read_to_string(&self.flags.file).expect("a file")
    }

    async fn read(&self) -> Vec<(String, bool)> {
        let flags = self.flags.read().await.expect("flags");
        flags.into_iter().map(|flag| (flag.name.to_string(), flag.value.on)).collect()
    }
}

fn acting() -> Acting {
    let run = "run-1".parse().expect("a run");
    Acting { run, epoch: unship_core::protocol::Epoch(1), step: 0, attempt: 1 }
}

const OFF: FlagValue = FlagValue { on: false, raw: None };

fn name(text: &str) -> FlagName {
    text.parse().expect("a flag")
}

#[tokio::test]
async fn a_flag_is_on_unless_it_is_disabled_or_false_for_everybody() {
    let on = |name: &str, on| (name.to_owned(), on);
    let expected = [on("signup_open", true), on("topics_ui", false), on("search", true), on("beta", true)];
    assert_eq!(world(FILE).read().await, expected);
}

#[tokio::test]
async fn turning_off_and_putting_back_gives_the_same_bytes_and_touches_nothing_else() {
    for flag in ["signup_open", "search", "beta"] {
        let world = world(FILE);
        let was = world.flags.read().await.expect("flags");
        let was = was.into_iter().find(|known| known.name == name(flag)).expect("the flag");
        world.flags.set(&name(flag), &OFF, &acting()).await.expect("set");
        let now = world.read().await;
        assert!(now.iter().all(|(known, on)| *known != flag || !on), "{flag}: {now:?}");
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let (before, after) = (lines(FILE), lines(&world.text()));
        let differing = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert_eq!((before.len(), differing), (after.len(), 1), "{flag}");
        world.flags.set(&name(flag), &was.value, &acting()).await.expect("put back");
        assert_eq!(world.text(), FILE, "{flag}");
    }
}

#[tokio::test]
async fn a_boolean_gets_its_false_variant_and_one_with_rules_is_disabled() {
    let world = world(FILE);
    world.flags.set(&name("signup_open"), &OFF, &acting()).await.expect("set");
    world.flags.set(&name("beta"), &OFF, &acting()).await.expect("set");
    let json: serde_json::Value = serde_json::from_str(&world.text()).expect("JSON");
    assert_eq!(json["flags"]["signup_open"]["defaultVariant"], "off");
    assert_eq!(json["flags"]["signup_open"]["state"], "ENABLED");
    assert_eq!(json["flags"]["beta"]["state"], "DISABLED");
    assert_eq!(json["flags"]["beta"]["defaultVariant"], "off");
}

#[tokio::test]
async fn a_release_s_own_file_changes_only_what_it_changed() {
    let turned_on = FILE.replace(
        "\"defaultVariant\": \"off\"\n    },\n    \"search\"",
        "\"defaultVariant\": \"on\"\n    },\n    \"search\"",
    );
    let new = turned_on.replace("\"search\": {", "\"fresh\": { \"state\": \"ENABLED\", \"variants\": {\"on\": true}, \"defaultVariant\": \"on\" },\n    \"search\": {");
    // A person closed sign-up; the release says nothing new about it.
    let world = world(FILE);
    world.flags.set(&name("signup_open"), &OFF, &acting()).await.expect("set");
    world.flags.install(&new, Some(FILE), &acting()).await.expect("installed");
    let now = world.read().await;
    for (flag, on) in [("signup_open", false), ("topics_ui", true), ("fresh", true)] {
        assert!(now.contains(&(flag.to_owned(), on)), "{flag}: {now:?}");
    }
    // Going back puts what the earlier file says of the flags that differ.
    world.flags.install(FILE, Some(&new), &acting()).await.expect("installed");
    let now = world.read().await;
    for (flag, on) in [("signup_open", false), ("topics_ui", false)] {
        assert!(now.contains(&(flag.to_owned(), on)), "{flag}: {now:?}");
    }
    // Once more changes nothing.
    let text = world.text();
    world.flags.install(FILE, Some(&new), &acting()).await.expect("installed");
    assert_eq!(world.text(), text);
}

#[tokio::test]
async fn mode_and_link_of_the_file_stay() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = world(FILE);
    let real = world.flags.file.clone();
    fs_err::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    let link = real.with_file_name("link.json");
    fs_err::os::unix::fs::symlink(&real, &link).expect("a link");
    world.flags.file = link.clone();
    world.flags.set(&name("search"), &OFF, &acting()).await.expect("set");
    assert!(fs_err::symlink_metadata(&link).expect("a link").is_symlink());
    let mode = fs_err::metadata(&real).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let left = fs_err::read_dir(real.parent().expect("a folder")).expect("a folder").count();
    assert_eq!(left, 2, "nothing else is left");
}

#[tokio::test]
async fn what_is_not_flagd_s_is_refused_and_left_as_it_is() {
    for text in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"flags": []}"#,
        r#"{"flags": {"a": {"state": "MAYBE"}}}"#,
        r#"{"flags": {"a": {"state": "ENABLED"}, "a": {"state": "DISABLED"}}}"#,
        r#"{"flags": {"a": {}}}"#,
    ] {
        let world = world(text);
        assert!(world.flags.read().await.is_err(), "{text}");
        assert!(world.flags.set(&name("a"), &OFF, &acting()).await.is_err(), "{text}");
        assert_eq!(world.text(), text);
    }
    let missing = FlagdFile { file: "/nonexistent/flags.json".into() };
    assert!(missing.read().await.is_err());
    assert!(world(FILE).flags.set(&name("nobody"), &OFF, &acting()).await.is_err());
}
