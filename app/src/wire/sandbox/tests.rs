use super::*;

#[test]
fn what_the_set_up_command_prints_becomes_variables() {
    let read = variables(br#"{"token": "a\"b", "id": 7}"#).expect("reads");
    assert_eq!(read["token"], "a\"b");
    assert_eq!(read["id"], "7");
    let error = variables(br#"{"token": ["secret"]}"#).expect_err("refused");
    assert_eq!(error, "the value of `token` must be a string or a number");
    assert!(variables(b"hello").expect_err("refused").starts_with("it must print one JSON object"));
}

const SERVICE: &str = r#"
    [service]
    name = "shop"
    [build]
    command = ["make"]
    artifact = "out"
    environment = { A = "1" }
    [[unit]]
    name = "web"
    command = ["bin/out", "web"]
    listen = "127.0.0.1:8080"
    [[unit]]
    name = "admin"
    command = ["bin/out", "admin"]
    listen = "127.0.0.1:8081"
    [[unit]]
    name = "worker"
    command = ["bin/out", "work"]
    [database]
    url_file = "/etc/shop/database-url"
    [aftercare]
    note_file = "/var/log/shop/rollbacks.log"
    [[aftercare.note]]
    via = "slack"
    url_file = "/etc/shop/slack"
    [ci.github]
    repository = "shop/shop"
    [flags]
    file = "flags.json"
    [flags.unleash]
    url = "https://flags.example.org"
    token_file = "/etc/shop/unleash"
    [environment.production]
    hosts = ["local"]
    environment = { KEY = "for production only" }
    [drill]
    build = { command = ["make", "quick"], environment = { CACHE = "{cache}/c" } }
    environment = { WHERE = "{data}" }
    load = { requests = [{ name = "home", path = "/" }] }
    scenario = [{ name = "s", good = "v1", bad = "v2", mode = "unsure", seen = { restarts = 1 } }]
"#;

#[test]
fn the_sandbox_takes_nothing_of_any_environment_and_shares_no_address_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (place, cache) = (folder.path().join("place"), folder.path().join("cache"));
    fs_err::create_dir_all(place.join("ledger")).expect("makes it");
    let service = Config::parse(Path::new("unship.toml"), SERVICE).expect("reads");
    let drill = service.drill.clone().expect("a drill");
    let settings = settings::Settings { place: &place, runtime: &place.join("run"), cache: &cache };
    let text = settings.write(SERVICE, &drill).expect("writes");

    assert!(!text.contains("production"), "{text}");
    assert!(!text.contains("/var/log") && !text.contains("/etc/"), "{text}");
    // Nobody is told, and nobody's flags are turned off, because somebody rehearses.
    for of_others in ["slack", "github", "unleash", "example.org"] {
        assert!(!text.contains(of_others), "{of_others}: {text}");
    }
    let config = Config::parse(Path::new("sandbox"), &text).expect("reads again");
    let environment = &config.environments[&ENVIRONMENT.parse().expect("a name")];
    assert_eq!(config.environments.len(), 1);
    assert_eq!(environment.environment["WHERE"], "{data}");
    for there in [&environment.root, &environment.data, &environment.ledger, &environment.runtime] {
        assert!(there.as_deref().is_some_and(|path| Path::new(path).starts_with(&place)), "{there:?}");
    }
    let ports: Vec<u16> =
        config.units.as_slice().iter().filter_map(|unit| unit.listen).map(|listen| listen.0.port()).collect();
    assert_eq!(ports.len(), 2);
    assert!(ports[0] != ports[1] && !ports.contains(&8080) && !ports.contains(&8081), "{ports:?}");
    assert_eq!(config.build.command.words(), ["make", "quick"]);
    assert_eq!(config.build.artifact.as_str(), "out");
    assert_eq!(config.build.environment["CACHE"], format!("{}/c", cache.display()));
    assert_eq!(fs_err::read_link(place.join("ledger/depot")).expect("a link"), cache.join("depot"));
}

#[test]
fn a_bare_process_gets_its_socket_says_ready_and_is_gone_afterwards() {
    // What the service would do, in the shell: the socket is descriptor 3 and names this very process.
    let folder = tempfile::tempdir().expect("a folder");
    let said = folder.path().join("said");
    let script = format!(
        "echo \"$LISTEN_FDS $(( LISTEN_PID == $$ )) $(readlink /proc/$$/fd/3 | cut -c1-7)\" > {}; sleep 60",
        said.display()
    );
    let program = BareProgram {
        command: vec!["/bin/sh".into(), "-c".into(), script],
        folder: folder.path().to_owned(),
        environment: BTreeMap::new(),
        notify: false,
        ready_max: Duration::from_secs(5),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("binds");
    let instance = program.start(Some(&listener), &folder.path().join("notify")).expect("starts");
    assert_eq!(fs_err::read_to_string(said).expect("said something").trim(), "1 1 socket:");
    instance.tell_to_stop().expect("a signal");
    instance.wait(Duration::from_secs(5));

    let silent = BareProgram {
        command: vec!["/bin/sleep".into(), "60".into()],
        notify: true,
        ready_max: Duration::from_millis(50),
        ..program
    };
    let error = silent.start(None, &folder.path().join("notify")).expect_err("never ready");
    assert_eq!(error.to_string(), "the bare flip failed: `/bin/sleep` was not ready within 50 ms");
}
