//! unship's side: the whole command, on systemd over OpenSSH, with preflight and proof on.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::others::{Side, socket, unit};
use crate::testbed::{Failure, Host, Testbed, run};
use crate::tinyd::Tinyd;

const PORT: u16 = 8080;

pub struct Ours {
    folder: TempDir,
    program: PathBuf,
}

impl Ours {
    /// Brings both releases out, so that the first is known good and the second serves.
    pub fn set_up(testbed: &Testbed, tinyd: &Tinyd) -> Result<Ours, Failure> {
        let folder = tempfile::tempdir()?;
        run(Command::new("git")
            .args(["clone", "--quiet"])
            .arg(tinyd.history())
            .arg(folder.path().join("service")))?;
        let program = std::env::current_exe()?.with_file_name("unship");
        let ours = Ours { folder, program };
        fs_err::write(ours.folder.path().join("service/unship.toml"), ours.configuration(testbed))?;
        let units = [
            (
                "bench-unship-web@.service".to_owned(),
                unit("bench-unship-web", "/opt/bench-unship/releases/%I/files/bin/tinyd"),
            ),
            ("bench-unship-web.socket".to_owned(), socket(PORT, None)),
        ];
        for host in testbed.web() {
            for (name, text) in &units {
                testbed.put(&host.name, text.as_bytes(), &format!("/etc/systemd/system/{name}"), "644")?;
            }
            testbed.at(&host.name, &["systemctl", "daemon-reload"])?;
        }
        let [one, other] = tinyd.tags();
        // The first measurement goes to the other one: it has to be known good, and not bad.
        for tag in [other, one] {
            run(&mut ours.command(&["deploy", tag]))?;
        }
        Ok(ours)
    }

    fn configuration(&self, testbed: &Testbed) -> String {
        let names: Vec<String> = testbed.web().iter().map(|host| format!("{:?}", host.name)).collect();
        let table = |host: &Host| {
            format!("[environment.production.host.{}]\naddress = \"{}\"\n", host.name, host.address)
        };
        let tables: Vec<String> = testbed.web().iter().map(table).collect();
        format!(
            r#"[service]
name = "bench-unship"
version = ["{{executable}}", "version"]
stateless = true
[build]
command = ["make", "--silent"]
artifact = "tinyd"
[[unit]]
name = "web"
command = ["bin/tinyd", "serve"]
listen = "0.0.0.0:{PORT}"
[probe]
health = "/healthz"
version = "/version"
[environment.production]
manager = "systemd"
hosts = [{hosts}]
root = "/opt/bench-unship"
runtime = "/run/unship/bench-unship"
ledger = "{ledger}"
wave = "100%"
[environment.production.ssh]
config = "{ssh}"
sudo = true
sessions = {sessions}
{tables}"#,
            tables = tables.concat(),
            hosts = names.join(", "),
            ledger = self.folder.path().join("ledger").display(),
            ssh = testbed.file("ssh_config").display(),
            sessions = testbed.web().len(),
        )
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(self.folder.path().join("service"));
        command.env_remove("UNSHIP_CONFIG").env_remove("UNSHIP_ENV").env("NO_COLOR", "1");
        command
    }
}

impl Side for Ours {
    fn name(&self) -> &'static str {
        "unship"
    }

    fn port(&self) -> u16 {
        PORT
    }

    fn back(&mut self, _: &Testbed, from: &str, to: &str) -> Result<Duration, Failure> {
        let mut rollback = self.command(&["rollback", "--mode", "degraded", "--to", to, "--yes"]);
        let began = Instant::now();
        run(&mut rollback)?;
        let took = began.elapsed();
        // So that the next round can go back to it.
        run(&mut self.command(&[
            "quarantine",
            "lift",
            from,
            "--reason",
            "the benchmark goes back and forth",
        ]))?;
        Ok(took)
    }
}
