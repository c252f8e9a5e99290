use super::*;

#[test]
fn commands_are_read_as_systemd_shows_them() {
    let shown = "{ path=/usr/local/bin/shithubd ; argv[]=/usr/local/bin/shithubd migrate up ; \
                 ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }";
    let expected = ("/usr/local/bin/shithubd".to_owned(), "/usr/local/bin/shithubd migrate up".to_owned());
    assert_eq!(command(shown), Some(expected));
    assert_eq!(command("{ path=/bin/a"), None);
    assert_eq!(command(""), None);
}

#[test]
fn a_property_may_be_there_more_than_once() {
    let text = "ExecStartPre={ path=/a ; argv[]=/a ; ignore_errors=no ; }\nMainPID=7\n\
                ExecStartPre={ path=/b ; argv[]=/b c=d ; ignore_errors=no ; }\n";
    let properties = Properties::of(text);
    assert_eq!(properties.all("ExecStartPre").len(), 2);
    assert_eq!(command(&properties.all("ExecStartPre")[1]), Some(("/b".into(), "/b c=d".into())));
    assert_eq!(properties.one("MainPID"), "7");
    assert_eq!(properties.one("NRestarts"), "");
}

#[test]
fn a_process_is_known_by_what_it_executes() {
    let pid = std::process::id();
    let properties = Properties::of(&format!("MainPID={pid}\nInvocationID=abc\n"));
    let process = process(&properties).expect("this process runs");
    let own = std::env::current_exe().expect("a program");
    let (size, sha256) = store::hash_through(&own).expect("it can be read");
    let path = own.display().to_string();
    assert_eq!(process.program, ProgramFile { path, size, sha256 });
    let age = clock::now().0 - process.started_at.0;
    assert!((0..600_000).contains(&age), "started {age} ms ago");
    assert!(super::process(&Properties::of("MainPID=0\n")).is_none());
}

#[test]
fn a_name_that_is_no_service_reaches_no_program() {
    for name in ["--all.service", "a b.service", "../a.service", "a.socket", ".service", "a;b.service", ""] {
        let refused = look(&[name.to_owned()]);
        assert!(matches!(refused, Err(LookError::Name { .. })), "{name}: {refused:?}");
    }
    let many = vec!["a.service".to_owned(); UNITS_MAX + 1];
    assert!(matches!(look(&many), Err(LookError::TooMany { .. })));
}
