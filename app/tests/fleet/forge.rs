//! shithubd on the hosts with PostgreSQL on db-01: as its own playbook installs it, with plain units and one file in
//! `/usr/local/bin`, which is what the operator of the runbook has; or with the units of unship, which overlap.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use unship::load::LoadPlan;
use unship::load::plan::RequestPlan;

use crate::testbed::{Failure, run};
use crate::world::{Said, World, in_time, repository, request};

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
    /// Nothing of shithubd is on the hosts, its database is empty, the history is checked out, and these releases are
    /// built.
    pub fn new(world: &'w World, releases: &[&str]) -> Result<Forge<'w>, Failure> {
        let forge = Forge { world };
        forge.remove()?;
        let history = repository().join("examples/shithubd/history/make-history");
        run(Command::new(history).arg(forge.checkout()))?;
        for tag in releases {
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

    /// Writes `unship.toml` for the playbook's units, with an environment's table besides what all have.
    pub fn configure(&self, environment: &str) -> Result<(), Failure> {
        let unit = |name: &str| format!("systemd = {{ unit = \"{name}.service\" }}");
        self.configure_units([unit("shithubd"), unit("shithubd-worker")], environment)
    }

    /// Writes `unship.toml` for units that overlap, and puts on every host those that unship offers for it, with the
    /// service's own configuration.
    pub fn install_overlap(&self) -> Result<(), Failure> {
        self.configure_units(
            [String::new(), String::new()],
            "manager = \"systemd\"\ndata = \"/var/lib/shithubd\"",
        )?;
        let folder = self.world.path("units");
        let into = folder.display().to_string();
        self.unship(&["init", "--systemd", "--user", "shithub", "--into", &into])?.ends_with(0)?;
        let url = fs_err::read_to_string(self.world.testbed.file("shithub.url"))?;
        let own = format!("database_url = \"{}\"\ndata_dir = \"/var/lib/shithubd\"\n", url.trim());
        for host in self.world.hosts() {
            let put = |content: &[u8], path: &str| self.world.testbed.put(&host.name, content, path, "640");
            for file in fs_err::read_dir(&folder)? {
                let file = file?;
                let path = format!("/etc/systemd/system/{}", file.file_name().to_string_lossy());
                put(&fs_err::read(file.path())?, &path)?;
            }
            put(own.as_bytes(), "/etc/shithubd/shithubd.toml")?;
        }
        self.on_hosts(
            "chgrp shithub /etc/shithubd/shithubd.toml; install -d -o shithub -g shithub /var/lib/shithubd; \
             systemctl daemon-reload",
        )
        .map(drop)
    }

    fn configure_units(&self, [web, worker]: [String; 2], environment: &str) -> Result<(), Failure> {
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
{web}
[[unit]]
name = "worker"
command = ["bin/shithubd", "worker"]
{worker}
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

    /// Reads on every host.
    pub fn load(&self) -> Result<Vec<(String, unship::load::Load)>, Failure> {
        self.load_of(vec![
            request("repositories", "GET", "/api/repos", 90, 200),
            request("slow", "GET", "/slow?ms=1500", 10, 200),
        ])
    }

    /// These requests on every host, from inside its network.
    pub fn load_of(&self, requests: Vec<RequestPlan>) -> Result<Vec<(String, unship::load::Load)>, Failure> {
        let plan = LoadPlan { rate_per_s: 40, requests, ..LoadPlan::default() };
        let hosts = self.world.hosts().iter();
        hosts
            .map(|host| Ok((host.name.clone(), self.world.load_of(&host.name, PORT, plan.clone())?)))
            .collect()
    }

    /// One request on a host: status and answer; none where nobody answered.
    pub fn ask(
        &self,
        host: &str,
        (method, path): (&str, &str),
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let url = format!("http://127.0.0.1:{PORT}{path}");
        let mut words: Vec<String> =
            ["curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", "-X", method, &url]
                .map(str::to_owned)
                .into();
        let headers = [
            token.map(|token| format!("authorization: Bearer {token}")),
            body.map(|_| "content-type: application/json".to_owned()),
        ];
        words.extend(headers.into_iter().flatten().flat_map(|header| ["-H".to_owned(), header]));
        words.extend(body.into_iter().flat_map(|body| ["-d".to_owned(), body.to_string()]));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = self.world.testbed.at(host, &words).ok()?;
        let (answer, status) = said.rsplit_once('\n')?;
        Some((status.trim().parse().ok()?, serde_json::from_str(answer).unwrap_or_default()))
    }

    /// Both units of every host come to run this release and nothing else, looked at past unship.
    pub fn all_come_to_serve(&self, tag: &str) -> Result<(), Failure> {
        let program = Forge::digest(tag)?;
        self.world.hosts().iter().try_for_each(|host| {
            in_time(|| {
                let current =
                    self.world.testbed.at(&host.name, &["readlink", "-f", "/opt/shithubd/current"])?;
                let running = self.world.running(&host.name, "shithubd")?;
                let answers = self.ask(&host.name, ("GET", "/version"), None, None);
                let version = answers.as_ref().and_then(|(_, answer)| answer["version"].as_str());
                let is_so = current.trim().ends_with(&format!("/{tag}"))
                    && running == [program.as_str(), &program]
                    && version == Some(tag);
                is_so.then_some(()).ok_or_else(|| {
                    let found =
                        format!("current is {current:?}, it runs {running:?} and answers {answers:?}");
                    format!("{} should serve {tag}, {program}: {found}", host.name).into()
                })
            })
        })
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
        let mut rows = self.dump(&["--data-only", "--inserts", "--exclude-table=_sqlx_migrations"])?;
        rows.retain(|line| line.starts_with("INSERT"));
        rows.sort_unstable();
        Ok(EndState {
            hosts,
            migrations: self.query("select version from _sqlx_migrations where success order by version")?,
            schema: self.schema()?,
            rows,
        })
    }

    /// The database's schema, as pg_dump writes it.
    pub fn schema(&self) -> Result<String, Failure> {
        let mut schema = self.dump(&["--schema-only"])?;
        // The fence, and the notes of what is written until the hotfix comes, go with it.
        schema.retain(|line| !line.is_empty() && !line.starts_with("--") && !line.contains(" unship_"));
        Ok(schema.join("\n"))
    }

    fn dump(&self, options: &[&str]) -> Result<Vec<String>, Failure> {
        let said = self.on_database(&[&["pg_dump", WITHOUT_SALVAGE], options, &["shithub"]].concat())?;
        // What newer ones write to keep a dump's own commands apart is another one each time.
        let kept =
            said.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
        Ok(kept.map(str::to_owned).collect())
    }

    /// A row that only the newer schema has a place for.
    pub fn give_topic(&self) -> Result<(), Failure> {
        let text = "insert into repo_topics (repo_id, topic, created_at) select min(id), 'rust', 0 from repos on conflict do nothing";
        self.query(text).map(drop)
    }

    /// What a statement answers in the service's database.
    pub fn query(&self, text: &str) -> Result<String, Failure> {
        self.sql("shithub", text)
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
            "systemctl stop 'shithubd*' 2>/dev/null; \
             rm -rf /etc/systemd/system/shithubd* /etc/systemd/system/*.wants/shithubd* \
             /etc/shithubd /var/lib/shithubd /opt/shithubd \
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
