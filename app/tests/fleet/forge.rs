//! shithubd on the hosts as its own playbook installs it: plain units, one file in `/usr/local/bin`, PostgreSQL on
//! db-01. What the operator of the runbook has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use unship::load::LoadPlan;

use crate::testbed::{Failure, run};
use crate::world::{Said, World, repository, request};

/// Good.
pub const GOOD: &str = "v1.0.0";
/// Accepts expired tokens. Between them are two migrations that only add, of a release in the middle.
pub const BAD: &str = "v1.2.0";
/// Where the playbook has it listen.
const PORT: u16 = 8080;

/// What was salvaged is kept beside the service's own schema.
const WITHOUT_SALVAGE: &str = "--exclude-schema=_unship";

/// The checkout of the operator's, and the hosts' state below it.
pub struct Forge<'w> {
    world: &'w World,
}

/// What two ways of going back are compared by: of every host, and of the database.
#[derive(Debug, PartialEq, Eq)]
pub struct EndState {
    /// Digests of the program's file and of what each unit executes, and of flags and configuration.
    pub hosts: Vec<String>,
    /// The versions of the migrations that are applied.
    pub migrations: String,
    /// The database's schema, as pg_dump writes it.
    pub schema: String,
    /// All rows of all tables but the one that says when migrations were applied.
    pub rows: Vec<String>,
}

impl<'w> Forge<'w> {
    /// Nothing of shithubd is on the hosts, its database is empty, and the history is checked out.
    pub fn new(world: &'w World) -> Result<Forge<'w>, Failure> {
        let forge = Forge { world };
        forge.remove()?;
        let history = repository().join("examples/shithubd/history/make-history");
        run(Command::new(history).arg(forge.checkout()))?;
        for tag in [GOOD, BAD] {
            forge.build(tag)?;
        }
        // What `cargo build` would make again for minutes is taken from where it was made once.
        let take = format!(
            "#!/bin/sh\nset -eu\nmkdir -p target/release\n\
             cp \"{}/v$(sed -n 's/^version = \"\\(.*\\)\"$/\\1/p' Cargo.toml | head -n 1)\" target/release/shithubd\n",
            builds().display()
        );
        world.script("take-build", &take)?;
        fs_err::write(forge.checkout().join("production"), forge.inventory()?)?;
        Ok(forge)
    }

    fn checkout(&self) -> PathBuf {
        self.world.path("forge")
    }

    /// Builds a release, once for all runs: in a clone of its tag alone, with what it compiles of other crates shared.
    fn build(&self, tag: &str) -> Result<(), Failure> {
        let commit = run(Command::new("git").args(["-C"]).arg(self.checkout()).args(["rev-parse", tag]))?;
        let (place, mark) = (builds().join(tag), builds().join(format!("{tag}.commit")));
        if place.exists() && fs_err::read_to_string(&mark).is_ok_and(|found| found == commit) {
            return Ok(());
        }
        let tree = self.world.path(tag);
        let mut clone = Command::new("git");
        clone.args(["clone", "--quiet", "--config", "advice.detachedHead=false", "--branch", tag]);
        run(clone.arg(self.checkout()).arg(&tree))?;
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--locked"]).current_dir(&tree).env_remove("CARGO_TARGET_DIR");
        run(cargo.env("CARGO_BUILD_BUILD_DIR", repository().join("target/unship-drill/shithubd/cargo")))?;
        fs_err::create_dir_all(builds())?;
        fs_err::copy(tree.join("target/debug/shithubd"), &place)?;
        fs_err::write(mark, commit)?;
        Ok(())
    }

    /// The inventory that the runbook calls `production`.
    fn inventory(&self) -> Result<String, Failure> {
        let hosts = self.world.hosts().iter();
        let hosts: Vec<String> =
            hosts.map(|host| format!("{} ansible_host={}\n", host.name, host.address)).collect();
        let url = fs_err::read_to_string(self.world.testbed.file("shithub.url"))?;
        Ok(format!(
            "[shithub]\n{}[shithub:vars]\nansible_user=deploy\nansible_python_interpreter=/usr/bin/python3\n\
             shithubd_database_url=\"{}\"\n",
            hosts.concat(),
            url.trim()
        ))
    }

    /// One of the runbook's lines, word by word, in the operator's checkout.
    pub fn by_hand(&self, line: &str) -> Result<String, Failure> {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir(self.checkout()).stdin(Stdio::null());
        self.as_operator(&mut command);
        run(&mut command)
    }

    /// The program in that checkout.
    pub fn unship(&self, words: &[&str]) -> Result<Said, Failure> {
        let mut command = self.world.command(words);
        command.current_dir(self.checkout()).env("UNSHIP_CONFIG", self.checkout().join("unship.toml"));
        self.as_operator(&mut command);
        Ok(Said::of(words, &command.output()?))
    }

    /// The operator has the testbed's ssh, Ansible, and a `cargo` that takes what was built.
    fn as_operator(&self, command: &mut Command) {
        let mut path = std::ffi::OsString::new();
        for folder in [self.world.testbed.file("bin"), repository().join("target/tools/bin")] {
            path.push(folder);
            path.push(":");
        }
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path).env("CARGO", self.world.path("take-build")).env("ANSIBLE_NOCOLOR", "1");
    }

    /// Writes `unship.toml` with an environment's table besides what all have.
    pub fn configure(&self, environment: &str) -> Result<(), Failure> {
        let text = format!(
            r#"[service]
name = "shithubd"
version = ["{{executable}}", "version"]
[build]
command = ["{take}"]
artifact = "target/release/shithubd"
[[unit]]
name = "web"
command = ["bin/shithubd", "web"]
listen = "0.0.0.0:{PORT}"
systemd = {{ unit = "shithubd.service" }}
[[unit]]
name = "worker"
command = ["bin/shithubd", "worker"]
systemd = {{ unit = "shithubd-worker.service" }}
[database]
url_file = "{url}"
[migrations]
folder = "migrations/postgres"
tool = "sqlx"
database = "postgresql"
up = ["{{executable}}", "migrate", "up"]
[probe]
health = "/healthz"
version = "/version"
version_field = "version"
time_max = "10s"
[limits]
ready = "30s"
drain = "30s"
[environment.production]
hosts = {{ ansible = "production", group = "shithub" }}
root = "/opt/shithubd"
ledger = "{ledger}"
{environment}
[environment.production.ssh]
config = "{ssh}"
sudo = true
"#,
            take = self.world.path("take-build").display(),
            url = self.world.testbed.file("shithub.url").display(),
            ledger = self.world.path("ledger").display(),
            ssh = self.world.testbed.file("ssh_config").display(),
        );
        Ok(fs_err::write(self.checkout().join("unship.toml"), text)?)
    }

    /// Reads on every host, from inside its network.
    pub fn load(&self) -> Result<Vec<(String, unship::load::Load)>, Failure> {
        let plan = LoadPlan {
            rate_per_s: 40,
            requests: vec![
                request("repositories", "GET", "/api/repos", 90, 200),
                request("slow", "GET", "/slow?ms=1500", 10, 200),
            ],
            ..LoadPlan::default()
        };
        let hosts = self.world.hosts().iter();
        hosts
            .map(|host| Ok((host.name.clone(), self.world.load_of(&host.name, PORT, plan.clone())?)))
            .collect()
    }

    /// The processes of both units on every host.
    pub fn processes(&self) -> Result<Vec<String>, Failure> {
        self.on_hosts("systemctl show -P MainPID -P InvocationID shithubd.service shithubd-worker.service")
    }

    /// What a line for a shell prints on every host.
    pub fn on_hosts(&self, script: &str) -> Result<Vec<String>, Failure> {
        let at = |host: &crate::testbed::Host| self.world.testbed.at(&host.name, &["sh", "-c", script]);
        self.world.hosts().iter().map(at).collect()
    }

    /// The digest of a release's program, as it was built.
    pub fn digest(tag: &str) -> Result<String, Failure> {
        let said = run(Command::new("sha256sum").arg(builds().join(tag)))?;
        Ok(said.split_whitespace().next().unwrap_or_default().to_owned())
    }

    pub fn end_state(&self) -> Result<EndState, Failure> {
        let hosts = self.on_hosts(
            "sha256sum </usr/local/bin/shithubd; for unit in shithubd shithubd-worker; do \
             sha256sum </proc/$(systemctl show -P MainPID $unit.service)/exe; done; \
             sha256sum </etc/shithubd/flags.json; sha256sum </etc/shithubd/shithubd.toml; \
             curl -sS --max-time 5 http://127.0.0.1:8080/version | grep -o '\"version\":\"[^\"]*\"'",
        )?;
        let lines = |words: &[&str]| -> Result<Vec<String>, Failure> {
            let said = self.on_database(words)?;
            // What newer ones write to keep a dump's own commands apart is another one each time.
            let kept = said
                .lines()
                .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
            Ok(kept.map(str::to_owned).collect())
        };
        let mut rows = lines(&[
            "pg_dump",
            "--data-only",
            "--inserts",
            WITHOUT_SALVAGE,
            "--exclude-table=_sqlx_migrations",
            "shithub",
        ])?;
        rows.retain(|line| line.starts_with("INSERT"));
        rows.sort_unstable();
        let mut schema = lines(&["pg_dump", "--schema-only", WITHOUT_SALVAGE, "shithub"])?;
        // The fence, and the notes of what is written until the hotfix comes, go with it.
        schema.retain(|line| !line.is_empty() && !line.starts_with("--") && !line.contains(" unship_"));
        Ok(EndState {
            hosts,
            migrations: self
                .sql("shithub", "select version from _sqlx_migrations where success order by version")?,
            schema: schema.join("\n"),
            rows,
        })
    }

    /// A row that only the newer schema has a place for.
    pub fn give_topic(&self) -> Result<(), Failure> {
        let text = "insert into repo_topics (repo_id, topic, created_at) select min(id), 'rust', 0 from repos on conflict do nothing";
        self.sql("shithub", text).map(drop)
    }

    fn sql(&self, database: &str, text: &str) -> Result<String, Failure> {
        self.on_database(&["psql", "-v", "ON_ERROR_STOP=1", "-qAtd", database, "-c", text])
    }

    fn on_database(&self, words: &[&str]) -> Result<String, Failure> {
        self.world.testbed.at("db-01", &[&["runuser", "-u", "postgres", "--"], words].concat())
    }

    /// Takes all of it from the hosts and out of the database.
    fn remove(&self) -> Result<(), Failure> {
        self.on_hosts(
            "systemctl stop shithubd.service shithubd-worker.service 2>/dev/null; \
             rm -rf /etc/systemd/system/shithubd*.service /etc/systemd/system/shithubd*.service.d \
             /etc/systemd/system/multi-user.target.wants/shithubd* /etc/shithubd /var/lib/shithubd /opt/shithubd \
             /usr/local/bin/shithubd; systemctl daemon-reload; systemctl reset-failed",
        )?;
        self.sql("postgres", "drop database if exists shithub with (force)")?;
        self.sql("postgres", "create database shithub owner shithub template template0").map(drop)
    }
}

impl Drop for Forge<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let _ = self.remove();
    }
}

/// Where built releases are kept.
fn builds() -> PathBuf {
    Path::new(&repository()).join("target/unship-fleet")
}
