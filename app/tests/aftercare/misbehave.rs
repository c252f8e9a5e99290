//! Receivers that hang, refuse, redirect, flood or cannot be trusted: the rollback is as fast as ever and says what it
//! always says; what is owed is shown. And nothing that a run leaves holds a secret.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};

use super::receiver::{OK, Receiver, lock};
use super::site::Site;
use super::tls::{fixture, server_config};

/// The budget that the configuration names, and what starting and ending a process may take besides.
const BUDGET: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(6);

fn hangs() -> Receiver {
    Receiver::new(Arc::new(|_, _| std::thread::sleep(Duration::from_secs(120))))
}

/// Two gigabytes, as long as somebody reads.
fn floods() -> Receiver {
    Receiver::new(Arc::new(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..2_048 {
            if stream.write_all(&chunk).is_err() {
                return;
            }
        }
    }))
}

fn answers(status: &'static str) -> Receiver {
    Receiver::new(Arc::new(move |_, stream| {
        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }))
}

/// A rolled back site whose notes go to `hooks`; how long the run said it took, and the whole command.
fn rolled_back(hooks: &[(&str, String)]) -> (Site, u64, Duration) {
    let mut lines = format!("[aftercare]\nbudget = \"{}s\"\n", BUDGET.as_secs());
    for (name, url) in hooks {
        lines.push_str(&format!(
            "[[aftercare.note]]\nvia = \"webhook\"\nname = \"{name}\"\nurl = \"{url}\"\n"
        ));
    }
    let site = Site::with(&lines);
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    let began = Instant::now();
    let said = site.unship(&["rollback", "--mode", "panic-loop", "--yes", "--json"]);
    let took = began.elapsed();
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    let report: serde_json::Value = serde_json::from_str(&said.stdout).expect("one document");
    // The outcome is said before anybody is told.
    let outcome = said.stderr.find("rolled back").expect("the outcome");
    assert!(said.stderr.find("owed").is_none_or(|owed| owed > outcome), "{}", said.stderr);
    (site, report["took_ms"].as_u64().expect("a time"), took)
}

#[test]
fn no_receiver_delays_or_fails_a_rollback_and_status_shows_what_is_owed() {
    let (_, alone_ms, alone) = rolled_back(&[]);
    let receivers = [
        ("hangs", hangs()),
        ("fails", answers("500 Internal Server Error")),
        ("busy", answers("429 Too Many Requests\r\nretry-after: 600")),
        ("redirects", answers("302 Found\r\nlocation: http://127.0.0.1:9/")),
        ("floods", floods()),
    ];
    let mut hooks: Vec<(&str, String)> =
        receivers.iter().map(|(name, receiver)| (*name, format!("{}/hook", receiver.url))).collect();
    // A server that speaks no TLS, and one that nobody answers for.
    let plain = Receiver::answering(OK);
    hooks.push(("bad-tls", plain.url.replace("http://", "https://")));
    hooks.push(("nobody", "http://127.0.0.1:9/".into()));
    let good = Receiver::answering(OK);
    hooks.push(("good", good.url.clone()));
    let (site, took_ms, took) = rolled_back(&hooks);
    eprintln!(
        "the run took {took_ms} ms, without receivers {alone_ms} ms; the command {took:?} and {alone:?}"
    );
    assert!(took_ms < alone_ms + 1_500, "{took_ms} ms against {alone_ms} ms");
    assert!(took < alone + BUDGET + SLACK, "{took:?} against {alone:?}");
    let status = site.unship(&["status"]);
    assert_eq!(status.status, 0, "{}", status.stderr);
    for (name, _) in hooks.iter().filter(|(name, _)| *name != "good") {
        let owed =
            status.stdout.lines().any(|line| line.contains("owed") && line.contains(&format!(".{name}")));
        assert!(owed, "{name}: {}", status.stdout);
    }
    assert!(!status.stdout.contains(".rollback.good"), "{}", status.stdout);
    assert_eq!(good.got().len(), 1);
    let list: serde_json::Value =
        serde_json::from_str(&site.unship(&["aftercare", "list", "--json"]).stdout).expect("one document");
    let state = |name: &str| {
        let all = list.as_array().expect("a list");
        let found = all.iter().find(|one| one["courier"] == name);
        found.map(|one| one["state"].as_str().unwrap_or_default().to_owned()).expect("it is listed")
    };
    assert_eq!(state("redirects"), "gave_up");
    assert_eq!(state("good"), "delivered");
    assert_eq!(state("bad-tls"), "waiting");
    // Nobody followed the redirect, and whoever wants to be left alone is.
    assert_eq!(receivers[3].1.got().len(), 1);
    assert_eq!(receivers[2].1.got().len(), 1);
    // What somebody drops is no longer owed.
    let dropped =
        list.as_array().expect("a list").iter().find(|one| one["courier"] == "redirects").expect("it");
    let id = dropped["id"].as_str().expect("an id");
    assert_eq!(site.unship(&["aftercare", "drop", id, "--reason", "told by hand"]).status, 0);
    assert!(!site.unship(&["status"]).stdout.contains(id));
    assert_eq!(site.unship(&["aftercare", "drop", "../../x", "--reason", "y"]).status, 1);
}

#[test]
fn a_run_that_is_killed_right_after_its_end_tells_all_the_same() {
    let receiver = hangs();
    let notes = "[aftercare]\nnote_file = \"{root}/../notes.log\"\n";
    let hook = format!("[[aftercare.note]]\nvia = \"webhook\"\nurl = \"{}\"\n", receiver.url);
    let site = Site::with(&format!("{notes}{hook}"));
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    // The receiver has the whole request when the process is killed: between send and record.
    let mut child = site.spawn(&["rollback", "--yes"]);
    site.until("the receiver has it", || !receiver.got().is_empty());
    child.kill().expect("is killed");
    child.wait().expect("ended");
    let list: serde_json::Value =
        serde_json::from_str(&site.unship(&["aftercare", "list", "--json"]).stdout).expect("one document");
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");
    assert_eq!(site.unship(&["aftercare", "list"]).status, 0);
    // The next command delivers: the line is there once, the hook gets the same key again.
    site.unship(&["status"]);
    let text = fs_err::read_to_string(site.path("notes.log")).expect("reads");
    assert_eq!(text.lines().count(), 1, "{text}");
    let keys: BTreeSet<Option<String>> =
        receiver.got().iter().map(|got| got.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert!(receiver.got().len() >= 2);
}

const SECRETS: [&str; 8] = [
    "s3cret-slack-8c1f",
    "s3cret-key-77aa",
    "s3cret-token-41d0",
    "s3cret-mail-09be",
    "s3cret-flags-3e6b",
    "s3cret-ci-90d2",
    // The mail password as it goes over the wire: alone, and as \0u\0 and itself (RFC 4616).
    "czNjcmV0LW1haWwtMDliZQ==",
    "AHUAczNjcmV0LW1haWwtMDliZQ==",
];

/// A mail server that repeats what it is sent when it refuses a log-in; what it was sent.
fn indiscreet_mail_server() -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let said = Arc::new(Mutex::new(String::new()));
    let (shared, config) = (Arc::clone(&said), server_config("server.pem"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = BufReader::new(StreamOwned::new(connection, stream));
            let mut answer = "220 mail.example.org\r\n".to_owned();
            let mut line = String::new();
            loop {
                let sent =
                    stream.get_mut().write_all(answer.as_bytes()).and_then(|()| stream.get_mut().flush());
                if sent.is_err() || !stream.read_line(&mut line).is_ok_and(|length| length > 0) {
                    break;
                }
                answer = match line.split(' ').next() {
                    Some("EHLO") => "250-mail.example.org\r\n250 AUTH PLAIN\r\n".to_owned(),
                    _ => format!("535 5.7.8 cannot make sense of {}\r\n", line.trim()),
                };
                lock(&shared).push_str(&line);
                line.clear();
            }
        }
    });
    (port, said)
}

#[test]
fn nothing_that_a_run_leaves_or_shows_holds_a_secret() {
    let [slack, key, token, mail, flags, ci, _, mail_in_base64] = SECRETS;
    let (mail_port, mail_said) = indiscreet_mail_server();
    // It repeats what it is sent, as some error pages do.
    let echo = Receiver::new(Arc::new(|got, stream| {
        let body = format!("{got:?}");
        let head =
            format!("HTTP/1.1 500 Error\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let _ = stream.write_all((head + &body).as_bytes());
    }));
    let vault = tempfile::tempdir().expect("a folder");
    let place = |name: &str, text: &str| {
        fs_err::write(vault.path().join(name), text).expect("writes");
        vault.path().join(name).display().to_string()
    };
    let (slack_file, key_file) = (place("slack", &format!("{}/{slack}", echo.url)), place("key", key));
    let (token_file, mail_file) = (place("token", token), place("mail", mail));
    let (flags_file, ci_file) = (place("flags", flags), place("ci", ci));
    let lines = format!(
        "[aftercare]\nbudget = \"2s\"\nca_file = \"{authority}\"\n\
         [[aftercare.note]]\nvia = \"slack\"\nurl_file = \"{slack_file}\"\n\
         [[aftercare.note]]\nvia = \"webhook\"\nurl = \"{url}\"\nkey_file = \"{key_file}\"\n\
         [[aftercare.note]]\nvia = \"smtp\"\nhost = \"127.0.0.1\"\nport = {mail_port}\ntls = \"implicit\"\nuser = \"u\"\n\
         password_file = \"{mail_file}\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n\
         [[aftercare.issue]]\nvia = \"github\"\nurl = \"{url}\"\nrepository = \"o/r\"\n\
         token_command = [\"cat\", \"{token_file}\"]\n\
         [flags.unleash]\nurl = \"{url}\"\ntoken_file = \"{flags_file}\"\n\
         [ci.gitlab]\nurl = \"{url}\"\nrepository = \"o/r\"\ntoken_file = \"{ci_file}\"\n",
        url = echo.url,
        authority = fixture("authority.pem").display(),
    );
    let site = Site::with(&lines);
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    // Whoever looks at the process list meanwhile sees none of them.
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let watcher = {
        let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut looks = 0;
            while !stop.load(Ordering::SeqCst) {
                for process in fs_err::read_dir("/proc").into_iter().flatten().flatten() {
                    let words = fs_err::read(process.path().join("cmdline")).unwrap_or_default();
                    let words = String::from_utf8_lossy(&words).into_owned();
                    if SECRETS.iter().any(|secret| words.contains(secret)) {
                        seen.store(true, Ordering::SeqCst);
                    }
                }
                looks += 1;
            }
            looks
        })
    };
    let mut said = String::new();
    let verbs: [&[&str]; 11] = [
        &["advise", "--mode", "small-bug", "--flag", "x"],
        &["flags", "list"],
        &["rollback", "--dry-run", "--json"],
        &["rollback", "--yes"],
        &["status"],
        &["status", "--json"],
        &["aftercare", "list"],
        &["aftercare", "retry", "--all"],
        &["log", "--json"],
        &["report"],
        &["report", "--html", "report.html"],
    ];
    for words in verbs {
        let all = site.unship_with(words, &[("UNSHIP_LOG", "trace")]);
        said.push_str(&all.stdout);
        said.push_str(&all.stderr);
    }
    stop.store(true, Ordering::SeqCst);
    assert!(watcher.join().expect("it looked") > 0);
    assert!(!seen.load(Ordering::SeqCst), "a secret is in the process list");
    assert!(said.contains("owed"), "{said}");
    // They were really used.
    let got: Vec<String> = echo.got().iter().map(|got| format!("{got:?}")).collect();
    for secret in [slack, token, flags, ci] {
        assert!(got.iter().any(|got| got.contains(secret)), "{secret} was never sent");
    }
    assert!(lock(&mail_said).contains(mail_in_base64), "the password was never sent");
    for secret in SECRETS {
        assert!(!said.contains(secret), "{secret} was said");
        let found = holding(site.folder.path(), secret.as_bytes());
        assert!(found.is_empty(), "{secret} is in {found:?}");
    }
    // The search does find what is there.
    fs_err::write(site.path("ledger/planted"), slack).expect("writes");
    assert_eq!(holding(site.folder.path(), slack.as_bytes()).len(), 1);
}

/// The files below a folder that hold the bytes.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for item in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let path = item.path();
        let kind = item.file_type().expect("a kind");
        if kind.is_dir() {
            found.extend(holding(&path, bytes));
        } else if kind.is_file() {
            let content = fs_err::read(&path).unwrap_or_default();
            if content.windows(bytes.len()).any(|window| window == bytes) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}
