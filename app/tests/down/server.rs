//! A PostgreSQL server of the tests' own, which survives being killed: started again on the same files.

use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, PgConnection};
use unship::database::shadow::postgres::Binaries;

/// PostgreSQL refuses root: then the server runs as nobody.
const NOBODY: u32 = 65_534;
const START_MAX: Duration = Duration::from_secs(60);

/// Starts the server, and stops it and removes its files when our end of the pipe closes, however we ended. It waits
/// for the server all the while: one that was killed and has nobody who takes note of it still counts as running.
const WATCHDOG: &str = r#"dir=$1; shift
exec 3<&0
"$@" </dev/null 3<&- >>"$dir/log" 2>&1 & server=$!
{ read -r _ <&3; [ -e "$dir/ended.$server" ] || kill -QUIT "$server" 2>/dev/null; } & reader=$!
wait "$server"
: >"$dir/ended.$server"
wait "$reader"
rm -rf -- "$dir"
"#;

/// A running server.
pub struct Server {
    pub folder: PathBuf,
    bin: PathBuf,
    settings: Vec<String>,
    watchdogs: Mutex<Vec<Child>>,
    databases: AtomicU32,
}

/// Is there a PostgreSQL to test with? Without one, a loud skip, and a failure under `CI=true`.
pub fn has_postgres() -> bool {
    match Binaries::find(None) {
        Ok(_) => true,
        Err(error) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{error}");
            println!("SKIPPED: {error}");
            false
        }
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder that the server's account owns.
pub fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new("/var/tmp").join(format!("unship-test-{name}-{}-{count}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o711).create(&folder).expect("a folder");
    own(&folder);
    folder
}

/// Gives a folder to the server's account.
pub fn own(folder: &Path) {
    if is_root() {
        chown(folder, Some(NOBODY), Some(NOBODY)).expect("a folder of the server's account");
    }
}

fn as_server(command: &mut Command) -> &mut Command {
    command.current_dir("/").env("LC_ALL", "C");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

impl Server {
    /// One server for all tests of this process that do not hurt it.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Server::start(&[]))
    }

    /// A server of one's own.
    pub fn start(settings: &[&str]) -> Server {
        let bin = Binaries::find(None).expect("binaries").directory;
        let folder = folder("pg");
        let made = as_server(Command::new(bin.join("initdb")).args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--pgdata",
        ]))
        .arg(folder.join("data"))
        .output()
        .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Server::on(folder, settings)
    }

    /// A server on files that are there.
    pub fn on(folder: PathBuf, settings: &[&str]) -> Server {
        let bin = Binaries::find(None).expect("binaries").directory;
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let server =
            Server { folder, bin, settings, watchdogs: Mutex::new(Vec::new()), databases: AtomicU32::new(0) };
        server.launch();
        server
    }

    /// Starts it, and waits until it answers.
    pub fn launch(&self) {
        let started = Instant::now();
        while started.elapsed() < START_MAX {
            let ended = self.ended();
            let mut command = Command::new("/bin/sh");
            as_server(&mut command)
                .args(["-c", WATCHDOG, "unship-test"])
                .arg(&self.folder)
                .arg(self.bin.join("postgres"))
                .arg("-D")
                .arg(self.folder.join("data"))
                .arg("-k")
                .arg(&self.folder)
                .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=40"])
                .args([
                    "-c",
                    "max_prepared_transactions=4",
                    "-c",
                    "autovacuum=off",
                    "-c",
                    "shared_buffers=16MB",
                ])
                .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            self.watchdogs.lock().expect("a lock").push(command.spawn().expect("a shell"));
            // A server that was killed leaves processes behind for a moment, and then refuses to start.
            let tried = Instant::now();
            while tried.elapsed() < Duration::from_secs(20) {
                if self.answers() {
                    return;
                }
                if self.ended() > ended {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        panic!("the server does not start: {}", self.log());
    }

    /// Whether a session can be had. In a thread of its own: the caller may be inside a runtime.
    fn answers(&self) -> bool {
        let url = self.url("postgres", "postgres");
        let asked = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(PgConnection::connect(&url)).is_ok()
        });
        asked.join().expect("an answer")
    }

    /// How many of its processes have ended so far.
    fn ended(&self) -> usize {
        let names =
            fs_err::read_dir(&self.folder).expect("a folder").flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().starts_with("ended.")).count()
    }

    fn log(&self) -> String {
        fs_err::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn pid(&self) -> Option<Pid> {
        let text = fs_err::read_to_string(self.folder.join("data/postmaster.pid")).ok()?;
        Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
    }

    /// Kills the postmaster as a machine that loses power would, and starts it again on what is on the disk.
    pub fn kill_and_launch(&self) {
        let pid = self.pid().expect("a running server");
        let ended = self.ended();
        kill_process(pid, Signal::KILL).expect("killed");
        let killed = Instant::now();
        while self.ended() == ended && killed.elapsed() < START_MAX {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.launch();
    }

    /// Kills one session's process. The server then ends all others and recovers; returns when it has begun to.
    pub async fn kill_session(&self, pid: i32) {
        let mut witness = self.admin("postgres").await;
        let pid = Pid::from_raw(pid).expect("a process");
        if kill_process(pid, Signal::KILL).is_err() {
            // It had ended by itself.
            return;
        }
        let killed = Instant::now();
        while sqlx::query("SELECT 1").execute(&mut witness).await.is_ok() {
            assert!(killed.elapsed() < START_MAX, "the server takes no note of a killed session");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops it in order; its files stay.
    pub fn stop(&self) {
        let pid = self.pid().expect("a running server");
        kill_process(pid, Signal::INT).expect("stopped");
        let started = Instant::now();
        while self.folder.join("data/postmaster.pid").exists() && started.elapsed() < START_MAX {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A URL for a role, through a socket in a folder.
    pub fn url_through(folder: &Path, role: &str, database: &str) -> String {
        format!("postgres://{role}:hunter2@localhost/{database}?host={}", folder.display())
    }

    pub fn url(&self, role: &str, database: &str) -> String {
        Server::url_through(&self.folder, role, database)
    }

    /// A superuser's connection; tried for a while, since the server may be recovering.
    pub async fn admin(&self, database: &str) -> PgConnection {
        let started = Instant::now();
        loop {
            match PgConnection::connect(&self.url("postgres", database)).await {
                Ok(conn) => return conn,
                Err(error) if started.elapsed() > START_MAX => panic!("no connection: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// A name that no other database here has.
    pub fn new_name(&self) -> String {
        format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut watchdogs = std::mem::take(&mut *self.watchdogs.lock().expect("a lock"));
        for watchdog in &mut watchdogs {
            drop(watchdog.stdin.take());
        }
        for mut watchdog in watchdogs {
            let _ = watchdog.wait();
        }
        let _ = fs_err::remove_dir_all(&self.folder);
    }
}
