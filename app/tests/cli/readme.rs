//! Every command that the README shows is run.

use super::site::{Site, repository};

/// The commands in the README's `sh` blocks, in order.
fn commands() -> Vec<String> {
    let text = fs_err::read_to_string(repository().join("README.md")).expect("README.md");
    let mut inside = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside && !command.is_empty() => commands.push(command.to_owned()),
            _ => {}
        }
    }
    commands
}

#[test]
fn every_command_of_the_readme_does_what_it_is_shown_for() {
    // The child runner of the site is the `unship supervise` of the README.
    let site = Site::new();
    let migrations = site.path("tinyd/migrations");
    fs_err::create_dir_all(&migrations).expect("makes");
    fs_err::write(migrations.join("0001_notes.up.sql"), "create table notes (id bigint);").expect("writes");
    fs_err::write(migrations.join("0001_notes.down.sql"), "drop table notes;").expect("writes");
    let mut run = 0;
    for command in commands() {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["make", target] => {
                let makefile = fs_err::read_to_string(repository().join("Makefile")).expect("Makefile");
                assert!(makefile.contains(&format!("\n{target}:")), "no target {target}");
            }
            ["cargo", "install", rest @ ..] => {
                assert_eq!(rest, ["--locked", "--path", "app"]);
                assert!(repository().join("app/Cargo.toml").exists());
            }
            ["unship", "supervise"] => {}
            ["unship", "check", ..] if !has_postgresql() => {
                assert!(std::env::var("CI").is_err(), "CI must have PostgreSQL");
                eprintln!("SKIP: no PostgreSQL server here: {command}");
            }
            ["unship", rest @ ..] => {
                let said = site.unship(rest);
                // After `deploy 1.2.0` the service is in its panic loop: status says so with its exit status.
                let well = said.status == 0 || (rest == ["status"] && said.status == 4);
                assert!(well, "{command} exits {}: {}{}", said.status, said.stdout, said.stderr);
            }
            _ => panic!("the README shows a command that no test knows: {command}"),
        }
        run += 1;
    }
    assert!(run > 10, "the README's commands were not found");
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
}

fn has_postgresql() -> bool {
    let debian = std::fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut versions| versions.next().is_some());
    debian || std::process::Command::new("initdb").arg("--version").output().is_ok()
}
