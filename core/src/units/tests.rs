use super::*;
use crate::protocol::{OverlapGap, ServiceSpec, SystemdUnit, UnitSpec};

fn service() -> ServiceSpec {
    let unit = |name: &str, listen: Option<&str>, timer: Option<&str>| UnitSpec {
        name: name.to_owned(),
        command: vec!["bin/app".to_owned(), name.to_owned(), "50% \"of\" $HOME".to_owned()],
        listen: listen.map(str::to_owned),
        environment: [("GREETING".to_owned(), "hello world".to_owned())].into(),
        notify: timer.is_none(),
        restart_delay_ms: 200,
        systemd: Some(SystemdUnit {
            unit: format!("demo-{name}@.service"),
            socket: listen.map(|_| format!("demo-{name}.socket")),
            timer: timer.map(str::to_owned),
            hold: listen.map(|_| format!("demo-{name}-hold.service")),
            reload: false,
        }),
    };
    ServiceSpec {
        name: "demo".parse().expect("a name"),
        root: "/opt/demo".to_owned(),
        units: vec![
            unit("web", Some("127.0.0.1:8080"), None),
            unit("worker", None, None),
            unit("gc", None, Some("demo-gc.timer")),
        ],
        ready_ms_max: 30_000,
        drain_ms_max: 35_000,
    }
}

fn files() -> Vec<UnitText> {
    let account = UnitAccount { user: "demo".to_owned(), writable: vec!["/var/lib/demo".to_owned()] };
    unit_files(&service(), &account, "/usr/local/bin/unship")
}

#[test]
fn the_files_are_these() {
    let all: Vec<String> = files().iter().map(|file| format!("== {}\n{}", file.name, file.text)).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_is_written_misses_nothing() {
    let service = service();
    let files = files();
    let parsed = |name: &str| files.iter().find(|file| file.name == name).map(|file| parse(&file.text));
    let (template, socket) = (parsed("demo-web@.service"), parsed("demo-web.socket"));
    assert_eq!(gaps_of_files(&service, &service.units[0], template.as_ref(), socket.as_ref()), []);
    assert_eq!(gaps_of_files(&service, &service.units[1], None, None), [], "a worker shares nothing");
}

#[test]
fn each_lack_is_named_alone() {
    let service = service();
    let unit = &service.units[0];
    let files = files();
    let text = |name: &str| files.iter().find(|file| file.name == name).expect("written").text.clone();
    let (template, socket) = (text("demo-web@.service"), text("demo-web.socket"));
    let gaps = |template: &str, socket: &str| {
        gaps_of_files(&service, unit, Some(&parse(template)), Some(&parse(socket)))
    };
    let (name, of_socket) = ("demo-web@.service".to_owned(), "demo-web.socket".to_owned());
    let cases = [
        (template.replace("StartLimitIntervalSec=0", ""), OverlapGap::StartLimit { unit: name.clone() }),
        (
            template.replace("Sockets=demo-web.socket", "Sockets=other.socket"),
            OverlapGap::SocketNotTaken { unit: name.clone(), socket: of_socket.clone() },
        ),
        (
            template.replace("Type=notify", "Type=simple"),
            OverlapGap::NotNotify { unit: name.clone(), kind: "simple".to_owned() },
        ),
        (
            template.replace("%I/files/bin", "%i/bin"),
            OverlapGap::OtherProgram {
                unit: name.clone(),
                expected: "/opt/demo/releases/%I/files/bin/app".to_owned(),
            },
        ),
    ];
    for (changed, gap) in cases {
        assert_ne!(changed, template);
        assert_eq!(gaps(&changed, &socket), [gap]);
    }
    let accepts = format!("{socket}\n[Socket]\nAccept=yes\n");
    assert_eq!(gaps(&template, &accepts), [OverlapGap::Accepts { socket: of_socket.clone() }]);
    let limited = socket.replace("TriggerLimitIntervalSec=0", "TriggerLimitIntervalSec=2s");
    assert_eq!(gaps(&template, &limited), [OverlapGap::TriggerLimit { socket: of_socket.clone() }]);
    let none = gaps_of_files(&service, unit, None, None);
    assert!(none.contains(&OverlapGap::SocketMissing { socket: of_socket }), "{none:?}");
}

#[test]
fn continued_lines_comments_and_empty_assignments_are_read_as_systemd_reads_them() {
    let text = "; c\n[Service]\nExecStart=/a \\\n# in between\n  b\nSockets=one.socket\nSockets=\nSockets=two.socket three.socket\n\
                [Unit]\nStartLimitIntervalSec = 0s\n";
    let parsed = parse(text);
    assert_eq!(parsed.last("Service", "ExecStart"), Some("/a  b"));
    assert_eq!(parsed.all("Service", "Sockets"), ["two.socket three.socket"]);
    assert!(parsed.is_zero("Unit", "StartLimitIntervalSec"));
    assert!(!parsed.is_zero("Unit", "TimeoutSec"));
    let mut with_drop_in = parsed;
    with_drop_in.add("[Unit]\nStartLimitIntervalSec=10s\n");
    assert!(!with_drop_in.is_zero("Unit", "StartLimitIntervalSec"));
}
