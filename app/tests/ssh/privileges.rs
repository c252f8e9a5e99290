//! The lines for sudoers in docs/privileges.md: they suffice, and they grant nothing more. Tried on a real sudo and a
//! real sshd in a mount namespace, with accounts and folders of its own that go away with it.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use unship::config::{Destination, Ssh as SshTable};
use unship::ports::HostTransport;
use unship::transport::{Gate, PLACE_SCRIPT, Placed, Ssh, SshOptions, Upkeep};
use unship_core::protocol::HostReply;
use unship_core::release::HostName;

use crate::server::{self, answers, claim};

/// The block of that language in the document.
fn block(language: &str) -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/privileges.md");
    let text = fs_err::read_to_string(document).expect("docs/privileges.md");
    let after = text.split_once(&format!("```{language}\n")).expect("a block").1;
    after.split_once("```").expect("its end").0.to_owned()
}

struct Host {
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

/// What the namespace is made of: copies of what would be changed, and nothing of it outside.
const NAMESPACE: &str = "
set -eu
cp -a /etc \"$1/etc\"
mount --bind \"$1/etc\" /etc
mount -t tmpfs tmpfs /usr/local/lib
mount -t tmpfs tmpfs /home
useradd --create-home --shell /bin/sh deploy
usermod --password '*' deploy
install -m 440 \"$1/sudoers\" /etc/sudoers.d/unship
visudo -cf /etc/sudoers >&2
install -D -m 755 \"$1/place\" /usr/local/lib/unship/place
exec /usr/sbin/sshd -D -e -f \"$1/sshd_config\"
";

impl Host {
    fn start() -> Option<Host> {
        let programs = ["/usr/bin/sudo", "/usr/bin/unshare", "/usr/sbin/useradd", "/usr/sbin/sshd"];
        let missing = programs.into_iter().find(|program| !Path::new(program).exists());
        if missing.is_some() || !rustix::process::getuid().is_root() {
            let why = missing.map_or("not root".to_owned(), |program| format!("no {program}"));
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}: `testbed/tools sshd` installs it");
            crate::say(&format!("SKIP: {why}; what sudo grants is tried by root with sudo and sshd"));
            return None;
        }
        let folder = tempfile::Builder::new().prefix("up-").tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        server::key(&folder.path().join("host_key"));
        server::key(&folder.path().join("key"));
        let port = server::free_ports(1)[0];
        let copy = |from: &str| fs_err::read_to_string(at(from)).expect("a key");
        // sshd reads it as the account does.
        fs_err::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))
            .expect("a mode");
        fs_err::write(at("authorized_keys"), copy("key.pub")).expect("a file");
        fs_err::write(at("known_hosts"), format!("[127.0.0.1]:{port} {}", copy("host_key.pub")))
            .expect("a file");
        fs_err::write(at("sudoers"), block("sudoers")).expect("a file");
        fs_err::write(at("place"), format!("#!/bin/sh\n{PLACE_SCRIPT}")).expect("a file");
        fs_err::write(
            at("ssh_config"),
            format!(
                "Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  IdentityFile {}\n  \
                 IdentitiesOnly yes\n  IdentityAgent none\n",
                at("known_hosts"),
                at("key")
            ),
        )
        .expect("a file");
        fs_err::write(
            at("sshd_config"),
            format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
                 UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nAllowUsers deploy\n",
                at("host_key"),
                at("authorized_keys")
            ),
        )
        .expect("a file");
        fs_err::create_dir_all("/run/sshd").expect("/run/sshd");
        let log = fs_err::File::create(at("log")).expect("a file");
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", NAMESPACE, "sh"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_file())
            .spawn()
            .expect("unshare");
        let host = Host { folder, port, child };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs_err::read_to_string(host.folder.path().join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(30), "it does not start: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(host)
    }

    fn way(&self, upkeep: Upkeep) -> Ssh {
        let config = self.folder.path().join("ssh_config");
        let text = format!(
            "user = \"deploy\"\nsudo = true\nport = {}\nconfig = \"{}\"",
            self.port,
            config.display()
        );
        let table: SshTable = toml::from_str(&text).expect("a table");
        let name: HostName = "web-01".parse().expect("a host");
        let own = toml::from_str("address = \"127.0.0.1\"").expect("a table");
        let to = Destination::new(&name, &[(name.clone(), own)].into(), &table);
        let world = server::world(SshOptions::from(&table), &Gate::new(8), upkeep);
        Ssh::new(to, server::setup("/usr/local/lib/demo"), world)
    }

    /// A command by hand, as the account.
    fn run(&self, line: &str) -> Output {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.folder.path().join("ssh_config"));
        ssh.args(["-T", "-o", "BatchMode=yes", "-p", &self.port.to_string(), "deploy@127.0.0.1", line]);
        ssh.stdin(Stdio::null()).output().expect("ssh")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_lines_for_sudoers_suffice_and_grant_nothing_more() {
    let Some(host) = Host::start() else { return };
    let way = host.way(Upkeep::WhenMissing);
    answers(&way).await;
    let reply = way.call(claim(1)).await.expect("it answers");
    assert!(matches!(reply, HostReply::Done { .. }), "{reply:?}");
    assert!(matches!(host.way(Upkeep::Never).put_agent().await, Ok(Placed::Present)));

    let agent = "/usr/local/lib/unship/protocol-1/unship";
    let granted = host.run("sudo -n -l");
    let granted = String::from_utf8_lossy(&granted.stdout).into_owned();
    assert_eq!(granted.matches("NOPASSWD").count(), 2, "{granted}");
    for line in [
        "sudo -n true".to_owned(),
        "sudo -n /bin/sh -c id".into(),
        "sudo -n -u nobody true".into(),
        "sudo -n -u deploy -g root true".into(),
        format!("sudo -n {agent}"),
        format!("sudo -n {agent} status"),
        format!("sudo -n {agent} host --help"),
        format!("sudo -n {agent} supervise"),
        format!("sudo -n -u daemon {agent} host"),
        "sudo -n /usr/local/lib/unship/place /etc/passwd".into(),
        "sudo -n /usr/local/lib/unship/protocol-1/../../../../../bin/sh host".into(),
        "sudo -n /usr/local/lib/unship/protocol-1/../../../../bin/unship host".into(),
        "sudoedit -n /etc/passwd".into(),
    ] {
        let output = host.run(&line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{line} was granted");
        let refused = ["a password is required", "not allowed", "command not found"];
        assert!(refused.iter().any(|word| said.contains(word)), "{line}: {said}");
    }
    for line in [
        "touch /usr/local/lib/unship/x",
        "ln -s /bin/sh /usr/local/lib/unship/protocol-1/x",
        "mkdir /usr/local/lib/unship/protocol-9",
        "echo x >>/usr/local/lib/unship/place",
        "echo x >/usr/local/lib/demo/epoch",
    ] {
        assert!(!host.run(line).status.success(), "{line} worked");
    }
}
