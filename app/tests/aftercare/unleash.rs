//! Flags on a real Unleash server, which keeps them on a real PostgreSQL server: what a deploy turned on is off after
//! the rollback, what a person turned on is left and said, `flags restore` sets back, and nothing of it is believed
//! that the server itself does not say.

use serde_json::{Value, json};

use super::servers::{ask, postgres, unleash};
use super::site::Site;

const TOKEN: &str = "*:*.s3cret-flags-5d20";

/// The flags that are on in the environment, as the server lists them, asked past all code of unship's.
fn on(url: &str) -> Vec<String> {
    let (status, body) = ask(url, "GET", "/api/admin/projects/default/features", TOKEN, None);
    assert_eq!(status, 200, "{body}");
    let listed: Value = serde_json::from_str(&body).expect("JSON");
    let on = |feature: &&Value| {
        let here = |place: &Value| place["name"] == "production" && place["enabled"] == true;
        feature["environments"].as_array().is_some_and(|places| places.iter().any(here))
    };
    let mut names: Vec<String> = listed["features"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(on)
        .map(|feature| feature["name"].as_str().expect("a name").to_owned())
        .collect();
    names.sort();
    names
}

fn turn(url: &str, flag: &str, state: &str) {
    let path = format!("/api/admin/projects/default/features/{flag}/environments/production/{state}");
    let (status, body) = ask(url, "POST", &path, TOKEN, None);
    assert_eq!(status, 200, "{body}");
}

/// A deploy of 1.5.0 turns `topics_ui` on: the smoke test of the service does so, as a release's own start would.
const SMOKE: &str = r#"
import subprocess, sys, urllib.request
executable, url, token_file = sys.argv[1:]
if subprocess.run([executable, "version"], capture_output=True, text=True).stdout.strip() == "1.5.0":
    urllib.request.urlopen(urllib.request.Request(
        url + "/api/admin/projects/default/features/topics_ui/environments/production/on",
        method="POST", headers={"authorization": open(token_file).read()}))
"#;

fn site(url: &str) -> Site {
    let site = Site::with(&format!(
        "[flags.unleash]\nurl = \"{url}\"\ntoken_file = \"token\"\nenvironment = \"production\"\n\
         [smoke]\ncommand = [\"python3\", \"smoke.py\", \"{{executable}}\", \"{url}\", \"token\"]\n\
         [aftercare]\nnote_file = \"{{root}}/../notes.log\"\n"
    ));
    fs_err::write(site.path("tinyd/token"), TOKEN).expect("writes");
    fs_err::write(site.path("tinyd/smoke.py"), SMOKE).expect("writes");
    site
}

#[test]
fn what_the_deploy_turned_on_is_turned_off_on_a_real_server_and_set_back() {
    let Some((_database, socket)) = postgres() else { return };
    let Some((_server, url)) = unleash(&socket, TOKEN) else { return };
    for flag in ["topics_ui", "signup open/2?", "later"] {
        let made = json!({ "name": flag, "type": "release" });
        let (status, body) = ask(&url, "POST", "/api/admin/projects/default/features", TOKEN, Some(&made));
        // The server takes no name that has to be escaped in an address.
        assert_eq!(status, if flag.contains(' ') { 400 } else { 201 }, "{flag}: {body}");
    }
    let made = json!({ "name": "signup", "type": "release" });
    assert_eq!(ask(&url, "POST", "/api/admin/projects/default/features", TOKEN, Some(&made)).0, 201);
    turn(&url, "signup", "on");
    let site = site(&url);
    for tag in ["1.0.0", "1.5.0"] {
        let deployed = site.unship(&["deploy", tag]);
        assert_eq!(deployed.status, 0, "{tag}: {}", deployed.stderr);
    }
    assert_eq!(on(&url), ["signup", "topics_ui"], "the deploy turned one on");
    turn(&url, "later", "on");

    // Who and when is known from the server's events.
    let listed = site.unship(&["flags", "list"]);
    assert_eq!(listed.status, 0, "{}", listed.stderr);
    let line = |name: &str| {
        let found = listed.stdout.lines().find(|line| line.contains(name));
        found.unwrap_or_else(|| panic!("{name}: {}", listed.stdout)).to_owned()
    };
    assert!(
        line("topics_ui").starts_with("on ") && line("topics_ui").contains("by admin"),
        "{}",
        listed.stdout
    );

    let shown = site.unship(&["rollback", "--dry-run"]);
    assert!(
        shown.stderr.contains("topics_ui") && shown.stderr.contains("left on  later"),
        "{}",
        shown.stderr
    );
    assert_eq!(on(&url), ["later", "signup", "topics_ui"], "a dry run changes nothing");
    let went = site.unship(&["rollback", "--yes", "--json"]);
    assert_eq!(went.status, 0, "{}", went.stderr);
    assert_eq!(on(&url), ["later", "signup"]);
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    let report: Value = serde_json::from_str(&went.stdout).expect("one document");
    let run = report["run"].as_str().expect("a run");
    let told = site.unship(&["report", run]);
    assert!(told.stdout.contains("topics_ui") && told.stdout.contains("later"), "{}", told.stdout);

    let restored = site.unship(&["flags", "restore", run]);
    assert_eq!(restored.status, 0, "{}", restored.stderr);
    assert_eq!(on(&url), ["later", "signup", "topics_ui"]);
    let off = site.unship(&["flags", "off", "topics_ui", "--reason", "lists twice"]);
    assert_eq!(off.status, 0, "{}", off.stderr);
    assert_eq!(on(&url), ["later", "signup"]);

    // A token that may not: nothing is changed, and it is not said.
    fs_err::write(site.path("tinyd/token"), "*:*.wr0ng-flags-11").expect("writes");
    let refused = site.unship(&["flags", "off", "later"]);
    assert_ne!(refused.status, 0);
    assert!(refused.stderr.contains("Unleash refuses the token (401)"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("wr0ng"), "{}", refused.stderr);
    assert_eq!(on(&url), ["later", "signup"]);
    // Another environment of the server: named, not taken for one without flags.
    fs_err::write(site.path("tinyd/token"), TOKEN).expect("writes");
    let text = fs_err::read_to_string(site.config()).expect("reads");
    fs_err::write(site.config(), text.replace("\"production\"", "\"producton\"")).expect("writes");
    let unknown = site.unship(&["flags", "list"]);
    assert_ne!(unknown.status, 0);
    assert!(
        unknown.stderr.contains("no flag of the project is in an environment `producton`"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_server_for_flags_that_is_away_delays_no_rollback_and_what_is_owed_is_said() {
    // Nobody listens there.
    let site = site("http://127.0.0.1:9");
    fs_err::write(site.path("tinyd/smoke.py"), "").expect("writes");
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    let went = site.unship(&["rollback", "--yes"]);
    assert_eq!(went.status, 0, "{}", went.stderr);
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    assert!(went.stderr.contains("the flags could not be read: Unleash does not answer"), "{}", went.stderr);
    let told = site.unship(&["report"]);
    assert!(told.stdout.contains("the flags could not be read"), "{}", told.stdout);
}
