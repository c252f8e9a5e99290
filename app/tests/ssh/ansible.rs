//! An inventory as Ansible's own program reads it, up to the ssh that is started for a host of it.

use std::path::PathBuf;
use std::process::Command;

use crate::server::server;

/// The folder of `ansible-inventory`, where `testbed/tools ansible` puts it or where it is installed.
fn ansible() -> Option<PathBuf> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::iter::once(own).chain(std::env::split_paths(&path));
    let found = folders.find(|folder| folder.join("ansible-inventory").exists());
    if found.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "no ansible: `testbed/tools ansible` installs it"
        );
        crate::say("SKIP: no ansible-inventory here; `testbed/tools ansible` installs it");
    }
    found
}

#[test]
fn hosts_of_an_inventory_are_asked_where_and_as_whom_it_says() {
    let Some(server) = server(2) else { return };
    let Some(ansible) = ansible() else { return };
    let folder = server.folder.path().join("site");
    fs_err::create_dir_all(&folder).expect("a folder");
    let [first, second] = [server.ports[0], server.ports[1]];
    let inventory = format!(
        "[web]\nweb-01 ansible_host=127.0.0.1 ansible_port={first}\nweb-02 ansible_port={second}\n\
         [db]\ndb-01 ansible_host=192.0.2.1\n[web:vars]\nansible_host=127.0.0.1\n\
         ansible_ssh_common_args='-o ControlMaster=auto -o ControlPersist=60s'\n[shop:children]\nweb\ndb\n"
    );
    fs_err::write(folder.join("production"), inventory).expect("a file");
    let at = |name: &str| folder.join(name).display().to_string();
    let write = |limit: &str| {
        let config = format!(
            "[service]\nname = \"demo\"\nstateless = true\n[build]\ncommand = [\"true\"]\nartifact = \"x\"\n\
             [[unit]]\nname = \"web\"\ncommand = [\"bin/app\"]\n\
             [environment.test]\nmanager = \"child-runner\"\nroot = \"opt/demo\"\nruntime = \"run\"\nledger = \"{}\"\n\
             hosts = {{ ansible = \"production\", group = \"shop\", limit = \"{limit}\", time_max = \"2m\" }}\n\
             ssh = {{ config = \"{}\", agent = \"home\", connect = \"3s\" }}\n",
            at("ledger"),
            server.folder.path().join("ssh_config").display(),
        );
        fs_err::write(folder.join("unship.toml"), config).expect("a file");
    };
    let run = |verb: &[&str]| {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new(env!("CARGO_BIN_EXE_unship"))
            .args(verb)
            .current_dir(&folder)
            .env("PATH", format!("{}:{path}", ansible.display()))
            .output()
            .expect("unship");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), format!("{}{said}", String::from_utf8_lossy(&output.stdout)))
    };
    write("web");
    let (status, said) = run(&["agent", "install"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("web-01: the agent was put there") && said.contains("web-02: "), "{said}");
    assert!(!said.contains("db-01"), "{said}");
    assert!(!server.lines(0).is_empty() && !server.lines(1).is_empty());

    write("wbe");
    let (status, said) = run(&["agent", "install"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("the limit names `wbe`"), "{said}");

    let hostile = "[web]\nweb-01 ansible_host='-oProxyCommand=touch pwned'\n[shop:children]\nweb\n";
    fs_err::write(folder.join("production"), hostile).expect("a file");
    write("web");
    let (status, said) = run(&["status"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(
        said.contains("ansible_host of `web-01` in the inventory: the address `-oProxyCommand=touch pwned`"),
        "{said}"
    );
    assert!(!folder.join("pwned").exists());
}
