//! The page for the post-mortem, looked at with a real browser: no scroll to the side on a phone or a desktop, no
//! request to anybody, and what others wrote is text.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::receiver::{OK, Receiver};
use super::site::Site;

const HOSTILE: &str =
    "slow <script>document.title='pwned'</script> & \"quoted\" \u{202e}desrever <img src=x onerror=alert(1)>";

fn chromium() -> Option<PathBuf> {
    let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "testbed/tools chromium has to be run first");
        eprintln!("SKIP: no Chromium here; install it with testbed/tools chromium");
    }
    found
}

/// What the browser prints when it is run with these words on an address.
fn browse(browser: &Path, folder: &Path, words: &[&str], address: &str) -> String {
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .args(words)
        .arg(address)
        .stdin(Stdio::null())
        .output()
        .expect("the browser runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn site() -> Site {
    let receiver = Receiver::answering(OK);
    let site = Site::with(&format!(
        "[aftercare]\nbudget = \"2s\"\n[[aftercare.note]]\nvia = \"webhook\"\nname = \"incidents\"\nurl = \"{}\"\n\
         [[aftercare.note]]\nvia = \"webhook\"\nname = \"nobody\"\nurl = \"http://127.0.0.1:9/\"\n",
        receiver.url
    ));
    for tag in ["1.0.0", "1.2.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    site.until("it panics", || site.unship(&["status"]).stdout.contains("restarted"));
    let rollback = site.unship(&["rollback", "--mode", "panic-loop", "--yes", "--reason", HOSTILE]);
    assert_eq!(rollback.status, 0, "{}", rollback.stderr);
    site
}

#[test]
fn the_page_of_a_rollback_is_readable_everywhere_and_asks_nobody() {
    let site = site();
    let file = site.path("report.html");
    let written = site.unship(&["report", "--html", file.to_str().expect("UTF-8")]);
    assert_eq!(written.status, 0, "{}", written.stderr);
    let page = fs_err::read_to_string(&file).expect("reads");
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    assert!(page.contains("&lt;script&gt;document.title=&#39;pwned&#39;"), "{page}");
    for part in [
        "1.2.0",
        "1.0.0",
        "panic loop",
        "<svg",
        "option 1",
        "incidents",
        "delivered",
        "Still to do",
        "What clients felt",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    // Nothing in it leads anywhere.
    for word in ["<link", "<a ", "<iframe", "<base", "url(", "@import", "http-equiv=\"refresh"] {
        assert!(!page.contains(word), "{word}");
    }
    let markdown = site.unship(&["report"]);
    assert_eq!(markdown.status, 0, "{}", markdown.stderr);
    assert!(markdown.stdout.contains("### Timeline") && markdown.stdout.contains("### To do"));
    let document: serde_json::Value =
        serde_json::from_str(&site.unship(&["report", "--json"]).stdout).expect("one document");
    assert_eq!(document["notice"]["to"]["tag"], "1.0.0");

    let Some(browser) = chromium() else { return };
    // Served, so that whatever it asked for besides would be seen here.
    let shown = page.clone();
    let server = Receiver::new(Arc::new(move |got, stream| {
        let body = if got.line.starts_with("GET /page ") { shown.clone() } else { wrapped(&got.line) };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all((head + &body).as_bytes());
    }));
    for (name, width, height) in [("phone", 390, 3_000), ("desktop", 1_280, 2_000)] {
        let picture = site.path(&format!("{name}.png"));
        let window = format!("--window-size={width},{height}");
        let shot = format!("--screenshot={}", picture.display());
        browse(&browser, site.folder.path(), &[&window, &shot], &format!("{}/page", server.url));
        let png = fs_err::read(&picture).expect("a picture");
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{name}: {} bytes", png.len());
        if let Ok(folder) = std::env::var("UNSHIP_PICTURES") {
            fs_err::copy(&picture, Path::new(&folder).join(format!("{name}.png"))).expect("copies");
        }
        // In a frame of that width: how wide its content is.
        let frame = format!("{}/frame-{width}", server.url);
        let dom = browse(&browser, site.folder.path(), &["--virtual-time-budget=4000", "--dump-dom"], &frame);
        let measured =
            dom.split("<output>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
        assert_eq!(measured, format!("{width} {width}"), "{name}: {dom}");
    }
    let asked: Vec<String> = server.got().iter().map(|got| got.line.clone()).collect();
    let own = |line: &str| {
        ["GET /page ", "GET /frame-", "GET /favicon.ico "].iter().any(|known| line.starts_with(known))
    };
    assert!(asked.iter().all(|line| own(line)), "{asked:?}");
}

/// A page that shows the report in a frame of the width in the request's path and says how wide its content is.
fn wrapped(line: &str) -> String {
    let width: String =
        line.chars().skip_while(|char| !char.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    format!(
        "<!doctype html><title>frame</title><iframe src=\"/page\" width=\"{width}\" height=\"900\" style=\"border:0\"></iframe>\
         <output></output><script>onload=()=>{{const page=document.querySelector('iframe').contentDocument.documentElement;\
         document.querySelector('output').textContent=page.clientWidth+' '+page.scrollWidth}}</script>"
    )
}
