//! Files in flagd's format, held against flagd's published schemas and evaluated by flagd's own evaluator
//! (`@openfeature/flagd-core`): what unship writes is what flagd understands.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::servers::tool;
use super::site::{Site, repository};

/// Every kind of flag, and blanks where somebody likes them.
const FLAGS: &str = r#"{
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "flags": {
    "signup_open": { "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" },
    "search":   { "state": "ENABLED", "variants": { "old": "v1", "new": "v2" },
      "defaultVariant": "new" },
    "unused": { "state": "DISABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" },
    "beta": {
      "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off",
      "targeting": { "if": [ { "in": [ "@example.org", { "var": "email" } ] }, "on", "off" ] }
    }
  }
}
"#;

/// What flagd makes of the file.
fn evaluated(file: &Path) -> Option<Value> {
    tool("flagd", "flagd/ready")?;
    let output = Command::new(tool("flagd", "bin/node")?)
        .arg(fs_err::canonicalize(repository().join("testbed/flagd.js")).expect("it is there"))
        .arg(file)
        .current_dir(repository().join("target/tools/flagd"))
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[test]
fn flags_that_are_off_are_off_for_flagd_and_set_back_they_are_what_they_were() {
    let site = Site::with("[flags.flagd]\nfile = \"flags.json\"\n");
    let file = site.path("tinyd/flags.json");
    fs_err::write(&file, FLAGS).expect("writes");
    let Some(before) = evaluated(&file) else { return };
    let on = json!({ "signup_open": true, "search": "TYPE_MISMATCH", "unused": "disabled", "beta": true });
    assert_eq!(before, json!({ "fits": true, "flags": on }));

    assert_eq!(site.unship(&["deploy", "1.0.0"]).status, 0);
    let off = site.unship(&["flags", "off", "signup_open", "search", "beta"]);
    assert_eq!(off.status, 0, "{}", off.stderr);
    let now = evaluated(&file).expect("evaluated before");
    let expected =
        json!({ "signup_open": false, "search": "disabled", "unused": "disabled", "beta": "disabled" });
    assert_eq!(now, json!({ "fits": true, "flags": expected }));

    let run: Value = serde_json::from_str(&site.unship(&["log", "--json"]).stdout).expect("one document");
    let run = run[0]["run"].as_str().expect("a run").to_owned();
    let restored = site.unship(&["flags", "restore", &run]);
    assert_eq!(restored.status, 0, "{}", restored.stderr);
    assert_eq!(fs_err::read_to_string(&file).expect("reads"), FLAGS);

    // The schemas do find what is wrong.
    fs_err::write(&file, FLAGS.replace("ENABLED", "ON")).expect("writes");
    assert_eq!(evaluated(&file).expect("evaluated before")["fits"], false);
}
