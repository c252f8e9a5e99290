//! The command on a small repository: what it is given, what is refused beforehand, and what becomes of one that
//! outlives unship.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex as StdMutex;

use unship_core::time::Timestamp;

use super::*;
use crate::config::Config;
use crate::source::Depot;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(1)
    }
}

/// What was said.
#[derive(Default)]
struct Heard(StdMutex<Vec<String>>);

impl Heard {
    fn all(&self) -> Vec<String> {
        self.0.lock().expect("a list").clone()
    }
}

impl Progress for Heard {
    fn started(&self, _: &str) {}
    fn done(&self, _: &str, _: u64) {}
    fn failed(&self, _: &str, _: &str) {}
    fn note(&self, text: &str) {
        self.0.lock().expect("a list").push(format!("note: {text}"));
    }
    fn said(&self, line: &str) {
        self.0.lock().expect("a list").push(line.to_owned());
    }
}

struct Place {
    folder: tempfile::TempDir,
}

fn git(folder: &Path, words: &[&str]) {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"];
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(identity).args(words);
    assert!(command.output().expect("git runs").status.success(), "git {words:?}");
}

/// `build.sh` makes a program that says its tag; `deploy.sh` is the deploy command of the tests.
impl Place {
    fn new(deploy: &str) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = folder.path().join("repository");
        fs_err::create_dir_all(&repository).expect("a folder");
        let place = Place { folder };
        git(&repository, &["init", "--quiet"]);
        place.write(
            "build.sh",
            "mkdir -p out; printf '#!/bin/sh\\necho %s' \"$(cat tag)\" >out/app; chmod +x out/app",
        );
        place.write("deploy.sh", deploy);
        place.write(".gitignore", "secret\ninventory\nlink\nout\n");
        for tag in ["v1", "v2"] {
            place.write("tag", tag);
            git(&repository, &["add", "."]);
            git(&repository, &["commit", "--quiet", "-m", tag]);
            git(&repository, &["tag", tag]);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs_err::write(self.path("repository").join(name), text).expect("a file");
    }

    fn command(&self, table: &str) -> ConfiguredCommand {
        let text = format!(
            "[service]\nname = \"app\"\nversion = [\"{{executable}}\"]\n\
             [build]\ncommand = [\"sh\", \"build.sh\"]\nartifact = \"out/app\"\n\
             [[unit]]\nname = \"web\"\ncommand = [\"bin/app\"]\n\
             [environment.test]\nstrategy = \"command\"\nhosts = [\"local\"]\n[environment.test.command]\n{table}\n"
        );
        let config = Config::parse(Path::new("unship.toml"), &text).expect("it is valid");
        let (_, environment) = config.environment(None).expect("the only one");
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let depot = Depot::at(&self.path("depot"));
        ConfiguredCommand {
            table: environment.command.clone().expect("a command"),
            source: Arc::new(GitSource::new(&config, &self.path("repository"), depot, Arc::clone(&clock))),
            folder: self.path("command"),
            placeholders: Placeholders::default(),
            environment: BTreeMap::from([("HERE".into(), self.folder.path().display().to_string())]),
            database_url_file: None,
            clock,
            ready: Mutex::new(None),
        }
    }
}

fn tag(name: &str) -> Tag {
    name.parse().expect("a tag")
}

fn run_id(name: &str) -> RunId {
    name.parse().expect("a run")
}

const SH: &str = "run = [\"sh\", \"deploy.sh\"]";

async fn deployed(command: &ConfiguredCommand, name: &str, heard: &Heard) -> Result<String, CheckFailure> {
    let artifact = command.prepare(&tag(name), heard).await.expect("it is ready");
    command.run(&run_id("r-1"), &artifact.manifest.release(), heard).await
}

#[tokio::test]
async fn it_runs_in_a_fresh_checkout_of_the_tag_with_what_git_does_not_have() {
    let place = Place::new("cp out/app $HERE/live; cat inventory secret; echo word; echo >&2 and");
    place.write("secret", "hunter22\n");
    place.write("inventory", "web-01\nweb-02\n");
    // What an unfinished change of the operator's own tree holds is not deployed.
    place.write("tag", "something else");
    let command = place.command(&format!("{SH}\nuntracked = [\"inventory\", \"secret\"]"));
    let heard = Heard::default();
    for name in ["v1", "v2", "v1"] {
        deployed(&command, name, &heard).await.expect("it is deployed");
        let live = fs_err::read_to_string(place.path("live")).expect("it was deployed");
        assert_eq!(live, format!("#!/bin/sh\necho {name}"));
        assert!(!command.folder_of(&tag(name)).exists(), "nothing stays");
    }
    assert_eq!(heard.all()[..5], ["web-01", "web-02", "[redacted]", "word", "and"]);
    let kept = fs_err::read_to_string(place.path("command/output/r-1.v2.log")).expect("it is kept");
    assert_eq!(kept, "web-01\nweb-02\n[redacted]\nword\nand\n");
}

#[tokio::test]
async fn what_it_needs_and_is_not_there_is_said_before_anything_is_run() {
    let place = Place::new("touch $HERE/ran");
    let heard = Heard::default();
    fs_err::write(place.path("outside"), "x").expect("a file");
    fs_err::os::unix::fs::symlink(place.path("outside"), place.path("repository/link")).expect("a link");
    let cases = [
        (
            format!("{SH}\nuntracked = [\"inventory\"]"),
            "`inventory`, which the deploy command needs, is not in",
        ),
        (format!("{SH}\nuntracked = [\"link\"]"), "is a symlink"),
        (format!("{SH}\nuntracked = [\"tag\"]"), "v1 has a `tag` of its own"),
        ("run = [\"no-such-program\"]".to_owned(), "program `no-such-program` is not there"),
        ("run = [\"./deploy\"]".to_owned(), "program `./deploy` is not there"),
        (
            format!("{SH}\npreflight = [\"sh\", \"-c\", \"echo no such host; exit 3\"]"),
            "the preflight of v1's deploy command failed: exit status: 3: no such host",
        ),
    ];
    for (table, expected) in cases {
        let refused = place.command(&table).prepare(&tag("v1"), &heard).await.expect_err("refused");
        assert!(refused.message.contains(expected), "{table}: {}", refused.message);
        assert!(refused.hint.is_some(), "{table}");
    }
    assert!(!place.path("ran").exists());
}

#[tokio::test]
async fn a_command_that_fails_or_takes_too_long_ends_with_all_that_it_started() {
    let place =
        Place::new("echo one; echo two; sleep 60 & echo $! >$HERE/pid; test -z \"$SLOW\" && exit 2; wait");
    let heard = Heard::default();
    let failed = deployed(&place.command(SH), "v1", &heard).await.expect_err("it fails");
    assert!(failed.message.contains("exit status: 2: one | two"), "{}", failed.message);
    // What it left behind holds the lock: it might still deploy.
    let pid = fs_err::read_to_string(place.path("pid")).expect("a pid");
    let refused = place.command(SH).prepare(&tag("v1"), &heard).await.expect_err("refused");
    assert!(refused.message.contains(&format!("sleep ({})", pid.trim())), "{}", refused.message);
    let _ = Command::new("kill").arg(pid.trim()).status();

    let slow = place.command(&format!("{SH}\ntime_max = \"1s\"\nenvironment = {{ SLOW = \"1\" }}"));
    slow.wait_for_earlier(&heard).await.expect("it is gone");
    let failed = deployed(&slow, "v1", &heard).await.expect_err("it takes too long");
    assert!(failed.message.contains("was ended after 1 s"), "{}", failed.message);
    place.command(SH).wait_for_earlier(&heard).await.expect("what it started is gone too");
    place.command(SH).prepare(&tag("v1"), &heard).await.expect("the next one may");
}

#[tokio::test]
async fn one_that_outlives_unship_is_waited_for_and_never_doubled() {
    let place = Place::new(
        "echo begun >>$HERE/log; while ! test -e $HERE/go; do sleep 0.05; done; echo said; echo ended >>$HERE/log",
    );
    let heard = Heard::default();
    let first = place.command(SH);
    let release = first.prepare(&tag("v1"), &heard).await.expect("ready").manifest.release();
    let run = run_id("r-1");
    // As when the process is killed: nobody waits for the command any more.
    let dropped = tokio::time::timeout(Duration::from_millis(500), first.run(&run, &release, &heard)).await;
    assert!(dropped.is_err(), "{dropped:?}");
    drop(first);

    let second = place.command(SH);
    let refused = second.prepare(&tag("v2"), &heard).await.expect_err("refused");
    assert!(
        refused.message.contains("the deploy command of v1 from run r-1 still runs"),
        "{}",
        refused.message
    );
    assert!(refused.hint.expect("a hint").contains("kill -TERM -- -"));
    let impatient = place.command(&format!("{SH}\ntime_max = \"300ms\""));
    impatient.wait_for_earlier(&heard).await.expect_err("it has a limit");

    fs_err::write(place.path("go"), "").expect("a file");
    second.wait_for_earlier(&heard).await.expect("it ends");
    assert_eq!(fs_err::read_to_string(place.path("log")).expect("a log"), "begun\nended\n");
    assert!(heard.all().iter().any(|line| line.contains("waiting for it to end")), "{:?}", heard.all());
    // Its output was not lost with unship.
    let kept = fs_err::read_to_string(place.path("command/output/r-1.v1.log")).expect("it is kept");
    assert_eq!(kept, "said\n");
}

#[tokio::test]
async fn a_flood_is_bounded_and_the_end_of_it_is_kept() {
    let place = Place::new(
        "i=0; while test $i -lt 40; do head -c 1000000 /dev/zero | tr '\\0' x; echo; \
                            sleep 0.02; i=$((i+1)); done; echo the end",
    );
    deployed(&place.command(SH), "v1", &Heard::default()).await.expect("it is deployed");
    let kept = fs_err::read(place.path("command/output/r-1.v1.log")).expect("it is kept");
    assert!(kept.len() < 24 << 20, "{} bytes", kept.len());
    assert!(kept.ends_with(b"the end\n"));
}

#[tokio::test]
async fn the_artifact_is_built_once_where_the_command_takes_it() {
    let place = Place::new("cp \"$BINARY\" $HERE/live; test ! -e out");
    let command = place.command(&format!("{SH}\nenvironment = {{ BINARY = \"{{artifact}}\" }}"));
    let heard = Heard::default();
    deployed(&command, "v1", &heard).await.expect("it is deployed");
    let live = fs_err::read_to_string(place.path("live")).expect("it was deployed");
    assert_eq!(live, "#!/bin/sh\necho v1");
    let release = command.prepare(&tag("v1"), &heard).await.expect("ready").manifest.release();
    let shown = command.shown(&release);
    assert!(shown[0].starts_with("git worktree add --detach "), "{shown:?}");
    assert!(shown.last().expect("a line").starts_with("BINARY=/"), "{shown:?}");
    assert!(shown.last().expect("a line").ends_with("/files/bin/app sh deploy.sh"), "{shown:?}");
}

#[tokio::test]
async fn a_command_that_builds_something_else_is_found_out() {
    let place = Place::new("echo '# later' >>out/app; cp out/app $HERE/live");
    let failed = deployed(&place.command(SH), "v1", &Heard::default()).await.expect_err("another artifact");
    assert!(failed.message.contains("another artifact than `build.command` makes"), "{}", failed.message);
    assert!(failed.hint.expect("a hint").contains("{artifact}"));
}

#[test]
fn commands_are_shown_as_a_person_would_type_them() {
    let words = ["make", "deploy", "A=b c", "it's", "", "\u{1b}[31m"].map(str::to_owned);
    assert_eq!(start::shown(words), r"make deploy 'A=b c' 'it'\''s' '' ''");
}
