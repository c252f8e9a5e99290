//! The other sides: what is measured against unship, each on the same hosts with a service of its own.
//!
//! Each takes tinyd from one of two releases to the other and comes back when its tool says that it is done. None
//! of them proves what serves afterwards; the benchmark looks, outside of what is measured.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::testbed::{Failure, Testbed, run};
use crate::tinyd::Tinyd;

/// A way to take a release back on all hosts.
pub trait Side {
    /// What it is called in the output.
    fn name(&self) -> &'static str;
    /// The port on which its service answers.
    fn port(&self) -> u16;
    /// Takes every host from `from`, which serves, to `to`; how long that took.
    fn back(&mut self, testbed: &Testbed, from: &str, to: &str) -> Result<Duration, Failure>;
}

/// A unit that serves on a socket of its own.
pub fn unit(name: &str, exec: &str) -> String {
    format!(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nExecStart={exec} serve\nSockets={name}.socket\n\
         Restart=on-failure\n[Install]\nWantedBy=multi-user.target\n"
    )
}

/// Its socket; `service` unless that is said elsewhere.
pub fn socket(port: u16, service: Option<&str>) -> String {
    let service = service.map(|service| format!("Service={service}\n")).unwrap_or_default();
    format!(
        "[Socket]\nListenStream=0.0.0.0:{port}\n{service}TriggerLimitIntervalSec=0\n[Install]\nWantedBy=sockets.target\n"
    )
}

/// Puts units on every host and starts them.
fn install(testbed: &Testbed, units: &[(String, String)], start: &[&str]) -> Result<(), Failure> {
    for host in testbed.web() {
        for (name, text) in units {
            testbed.put(&host.name, text.as_bytes(), &format!("/etc/systemd/system/{name}"), "644")?;
        }
        testbed.at(&host.name, &["systemctl", "daemon-reload"])?;
        testbed.at(&host.name, &[&["systemctl", "start"], start].concat())?;
    }
    Ok(())
}

/// Puts both releases below a folder of every host: `FOLDER/<name of the release>/tinyd`.
fn releases(testbed: &Testbed, tinyd: &Tinyd, folder: &str, names: [&str; 2]) -> Result<(), Failure> {
    for host in testbed.web() {
        for (tag, name) in tinyd.tags().into_iter().zip(names) {
            let binary = fs_err::read(tinyd.binary(tag))?;
            testbed.put(&host.name, &binary, &format!("{folder}/{name}/tinyd"), "755")?;
        }
    }
    Ok(())
}

/// ssh to every host at the same time: start the target, which waits until it is ready, and stop the other.
pub struct Floor {
    ssh_config: PathBuf,
}

impl Floor {
    pub fn set_up(testbed: &Testbed, tinyd: &Tinyd) -> Result<Floor, Failure> {
        releases(testbed, tinyd, "/opt/bench-floor", tinyd.tags())?;
        let first = format!("bench-floor@{}.service", tinyd.tags()[0]);
        let units = [
            ("bench-floor@.service".to_owned(), unit("bench-floor", "/opt/bench-floor/%i/tinyd")),
            ("bench-floor.socket".to_owned(), socket(8081, Some(&first))),
        ];
        install(testbed, &units, &["bench-floor.socket", &first])?;
        Ok(Floor { ssh_config: testbed.file("ssh_config") })
    }
}

impl Side for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn port(&self) -> u16 {
        8081
    }

    fn back(&mut self, testbed: &Testbed, from: &str, to: &str) -> Result<Duration, Failure> {
        let script = format!(
            "sudo systemctl start bench-floor@{to}.service && sudo systemctl stop --quiet bench-floor@{from}.service"
        );
        let began = Instant::now();
        let mut children = Vec::new();
        for host in testbed.web() {
            let mut ssh = Command::new("ssh");
            ssh.arg("-F").arg(&self.ssh_config).args([
                "-T",
                "-o",
                "BatchMode=yes",
                "--",
                &host.name,
                &script,
            ]);
            children.push(ssh.stdin(Stdio::null()).spawn()?);
        }
        for mut child in children {
            let status = child.wait()?;
            if !status.success() {
                return Err(format!("the floor's ssh ended with {status}").into());
            }
        }
        Ok(began.elapsed())
    }
}

/// A playbook, run as the runbook says: `make deploy ANSIBLE_INVENTORY=production`.
pub struct Ansible {
    name: &'static str,
    port: u16,
    play: &'static str,
    settings: Vec<(&'static str, String)>,
    folder: TempDir,
    programs: PathBuf,
}

impl Ansible {
    /// The play that deploys a release from the operator's machine, with Ansible's own settings.
    pub fn whole(testbed: &Testbed, tinyd: &Tinyd) -> Result<Ansible, Failure> {
        let ansible = Ansible::new("ansible", 8082, "deploy.yml", Vec::new(), testbed, tinyd)?;
        let binary = fs_err::read(tinyd.binary(tinyd.tags()[0]))?;
        for host in testbed.web() {
            testbed.put(&host.name, &binary, "/usr/local/bin/tinyd", "755")?;
        }
        let units = [
            ("bench-ansible.service".to_owned(), unit("bench-ansible", "/usr/local/bin/tinyd")),
            ("bench-ansible.socket".to_owned(), socket(8082, Some("bench-ansible.service"))),
        ];
        fs_err::write(ansible.folder.path().join("bench-ansible.service"), &units[0].1)?;
        install(testbed, &units, &["bench-ansible.socket", "bench-ansible.service"])?;
        Ok(ansible)
    }

    /// The play that only changes a link and restarts, with no facts, pipelining, and all hosts at the same time.
    pub fn tuned(testbed: &Testbed, tinyd: &Tinyd) -> Result<Ansible, Failure> {
        let settings =
            vec![("ANSIBLE_PIPELINING", "1".to_owned()), ("ANSIBLE_FORKS", testbed.web().len().to_string())];
        let ansible = Ansible::new("ansible-tuned", 8083, "tuned.yml", settings, testbed, tinyd)?;
        releases(testbed, tinyd, "/opt/bench-tuned/releases", tinyd.tags())?;
        for host in testbed.web() {
            let first = format!("releases/{}", tinyd.tags()[0]);
            testbed.at(&host.name, &["ln", "-sfn", &first, "/opt/bench-tuned/current"])?;
        }
        let units = [
            ("bench-tuned.service".to_owned(), unit("bench-tuned", "/opt/bench-tuned/current/tinyd")),
            ("bench-tuned.socket".to_owned(), socket(8083, Some("bench-tuned.service"))),
        ];
        install(testbed, &units, &["bench-tuned.socket", "bench-tuned.service"])?;
        Ok(ansible)
    }

    fn new(
        name: &'static str,
        port: u16,
        play: &'static str,
        settings: Vec<(&'static str, String)>,
        testbed: &Testbed,
        tinyd: &Tinyd,
    ) -> Result<Ansible, Failure> {
        let folder = tempfile::tempdir()?;
        copy_all(&place("others/ansible"), folder.path())?;
        fs_err::copy(testbed.file("production"), folder.path().join("production"))?;
        for tag in tinyd.tags() {
            fs_err::copy(tinyd.binary(tag), folder.path().join(format!("tinyd-{tag}")))?;
        }
        let programs = place("../../../../target/tools/bin");
        Ok(Ansible { name, port, play, settings, folder, programs })
    }
}

impl Side for Ansible {
    fn name(&self) -> &'static str {
        self.name
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn back(&mut self, _: &Testbed, _: &str, to: &str) -> Result<Duration, Failure> {
        // Ansible keeps connections for a minute. Whoever takes a release back at night has none yet, as has unship.
        let connections = tempfile::Builder::new().prefix("ab").tempdir_in("/tmp")?;
        let mut make = Command::new("make");
        make.current_dir(self.folder.path())
            .args(["--silent", "deploy", "ANSIBLE_INVENTORY=production"])
            .arg(format!("PLAY={}", self.play))
            .arg(format!("TAG={to}"))
            .env("PATH", with_first(&self.programs))
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", connections.path())
            .envs(self.settings.iter().map(|(name, value)| (*name, value.as_str())));
        let began = Instant::now();
        run(&mut make)?;
        Ok(began.elapsed())
    }
}

/// Capistrano, as Debian has it: a link to the release before, and a restart.
pub struct Capistrano {
    folder: TempDir,
}

/// The folders that Capistrano names by time: the older one is what it goes back to.
const OLDER: &str = "20260101000000";
const NEWER: &str = "20260102000000";

impl Capistrano {
    pub fn set_up(testbed: &Testbed, tinyd: &Tinyd) -> Result<Capistrano, Failure> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("config");
        fs_err::create_dir_all(config.join("deploy"))?;
        fs_err::copy(place("others/capistrano/Capfile"), folder.path().join("Capfile"))?;
        fs_err::copy(place("others/capistrano/deploy.rb"), config.join("deploy.rb"))?;
        let servers: Vec<String> = testbed
            .web()
            .iter()
            .map(|host| format!("server \"{}\", user: \"deploy\", roles: %w[web]\n", host.address))
            .collect();
        let options = format!(
            "set :ssh_options, {{ config: false, keys: [\"{}\"], keys_only: true, verify_host_key: :always, \
             user_known_hosts_file: [\"{}\"], global_known_hosts_file: [] }}\n",
            testbed.file("id").display(),
            testbed.file("known_hosts").display(),
        );
        fs_err::write(config.join("deploy/production.rb"), servers.concat() + &options)?;
        releases(testbed, tinyd, "/opt/bench-cap/kept", tinyd.tags())?;
        let units = [
            ("bench-cap.service".to_owned(), unit("bench-cap", "/opt/bench-cap/current/tinyd")),
            ("bench-cap.socket".to_owned(), socket(8084, Some("bench-cap.service"))),
        ];
        install(testbed, &units, &["bench-cap.socket"])?;
        Ok(Capistrano { folder })
    }

    /// Capistrano archives and removes what it took back, and can only go back: each time the newer folder becomes
    /// the release that serves, and the older one the target.
    fn prepare(testbed: &Testbed, from: &str, to: &str) -> Result<(), Failure> {
        let script = format!(
            "cd /opt/bench-cap && rm -rf releases current *.tar.gz && mkdir releases && cp -a kept/{to} releases/{OLDER} \
             && cp -a kept/{from} releases/{NEWER} && touch -d '2 hours ago' releases/{OLDER} && touch releases/{NEWER} \
             && ln -s /opt/bench-cap/releases/{NEWER} current && chown -R deploy: /opt/bench-cap \
             && systemctl restart bench-cap.service"
        );
        testbed.web().iter().try_for_each(|host| testbed.at(&host.name, &["sh", "-c", &script]).map(drop))
    }
}

impl Side for Capistrano {
    fn name(&self) -> &'static str {
        "capistrano"
    }

    fn port(&self) -> u16 {
        8084
    }

    fn back(&mut self, testbed: &Testbed, from: &str, to: &str) -> Result<Duration, Failure> {
        Capistrano::prepare(testbed, from, to)?;
        let mut cap = Command::new("cap");
        cap.current_dir(self.folder.path()).args(["production", "deploy:rollback"]);
        let began = Instant::now();
        run(&mut cap)?;
        Ok(began.elapsed())
    }
}

/// A path beside this file's folder.
pub fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/fleet").join(path)
}

/// `PATH` with a folder before all others.
pub fn with_first(folder: &Path) -> std::ffi::OsString {
    let mut path = folder.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

fn copy_all(from: &Path, to: &Path) -> Result<(), Failure> {
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        fs_err::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
