//! The last that a unit wrote, from the journal. Read through `journalctl`: the journal's files have no
//! other stable reader without a C library.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use unship_core::time::Timestamp;

/// How long the journal may take.
const LIMIT: Duration = Duration::from_secs(3);
/// How much of it is read.
const BYTES_MAX: u64 = 64 << 10;
/// How many lines are asked for.
const LINES: &str = "40";

/// How many ends of processes are asked for.
const EXITS_MAX: &str = "100";
/// What systemd calls its message that a unit's process has ended; systemd.journal-fields(7), sd-messages.h.
const PROCESS_EXIT: &str = "98e322203f7a4ed290d09fe03c09fe15";

/// How often the journal is asked for what a unit wrote while it has nothing, and the wait in between: on a busy machine
/// the last words of a process come after its end.
const ASKS_MAX: usize = 5;
const ASK_AGAIN: Duration = Duration::from_millis(60);

/// What the unit wrote since `since_us`, microseconds since 1970, oldest first; nothing when it cannot be read.
pub(super) fn text_of(unit: &str, since_us: u64) -> String {
    let since = format!("--since=@{}.{:06}", since_us / 1_000_000, since_us % 1_000_000);
    for ask in 0..ASKS_MAX {
        if ask > 0 {
            std::thread::sleep(ASK_AGAIN);
        }
        // What was read from the process may not be in the files yet.
        let _ = run(Command::new("journalctl").arg("--sync"));
        let mut command = Command::new("journalctl");
        command.args(["--no-pager", "--quiet", "--output=cat", "--lines", LINES]).arg(&since);
        // The unit's own lines, and not systemd's about it, which say what is said already.
        command.arg(format!("_SYSTEMD_UNIT={unit}"));
        match run(&mut command) {
            Ok(text) if !text.trim().is_empty() => return text,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    String::new()
}

/// The ends of a unit's processes in this boot that were failures, oldest first: invocation, exit code or
/// negative signal number, and when.
pub(super) fn failed_exits(unit: &str) -> Vec<(String, i32, Timestamp)> {
    let mut command = Command::new("journalctl");
    command.args(["--no-pager", "--quiet", "--boot", "--output=json", "--lines", EXITS_MAX]);
    command.arg("--output-fields=INVOCATION_ID,EXIT_CODE,EXIT_STATUS");
    command.args(["_PID=1", &format!("MESSAGE_ID={PROCESS_EXIT}"), &format!("UNIT={unit}")]);
    let text = run(&mut command).unwrap_or_default();
    text.lines().filter_map(exit_of).collect()
}

/// One line of the journal as JSON; all values are texts.
fn exit_of(line: &str) -> Option<(String, i32, Timestamp)> {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
    let text = |name: &str| fields.get(name)?.as_str();
    let status: i32 = text("EXIT_STATUS")?.parse().ok()?;
    let status = if text("EXIT_CODE")? == "exited" { status } else { -status };
    let at_us: i64 = text("__REALTIME_TIMESTAMP")?.parse().ok()?;
    Some((text("INVOCATION_ID")?.to_owned(), status, Timestamp(at_us / 1_000)))
}

fn run(command: &mut Command) -> std::io::Result<String> {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(output) = output {
            let _ = output.take(BYTES_MAX).read_to_end(&mut bytes);
        }
        bytes
    });
    let deadline = Instant::now() + LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_from_a_line_of_the_journal() {
        let line = r#"{"EXIT_STATUS":"101","EXIT_CODE":"exited","INVOCATION_ID":"ab","__REALTIME_TIMESTAMP":"1700000000123456"}"#;
        assert_eq!(exit_of(line), Some(("ab".to_owned(), 101, Timestamp(1_700_000_000_123))));
        let killed = line.replace("exited", "killed").replace("101", "9");
        assert_eq!(exit_of(&killed).map(|exit| exit.1), Some(-9));
        assert_eq!(exit_of("{}"), None);
        assert_eq!(exit_of("not JSON"), None);
    }
}
