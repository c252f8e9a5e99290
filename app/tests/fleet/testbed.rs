//! The hosts of `testbed/fleet` as a value: bringing them up, their faults, and looking inside. Used by the fleet
//! tests and by `make bench-fleet`.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What went wrong, in words for whoever runs the tests.
pub type Failure = Box<dyn std::error::Error>;

/// One host.
#[derive(Debug, Clone)]
pub struct Host {
    pub name: String,
    pub address: Ipv4Addr,
}

/// A fleet that is up.
#[derive(Debug)]
pub struct Testbed {
    name: String,
    folder: PathBuf,
    web: Vec<Host>,
}

impl Testbed {
    /// Makes a fleet of that many hosts anew. It goes when the process `watched` ends.
    pub fn up(name: &str, hosts: usize, watched: u32) -> Result<Testbed, Failure> {
        run(fleet(name).args(["up", &hosts.to_string(), "--while", &watched.to_string()]))?;
        Testbed::standing(name)
    }

    /// The fleet as it stands.
    pub fn standing(name: &str) -> Result<Testbed, Failure> {
        let folder = PathBuf::from(run(fleet(name).arg("path"))?.trim());
        let mut web = Vec::new();
        for line in fs_err::read_to_string(folder.join("hosts"))?.lines() {
            let (host, address) = line.split_once(' ').ok_or("a line of `hosts` has no address")?;
            if host.starts_with("web-") {
                web.push(Host { name: host.to_owned(), address: address.parse()? });
            }
        }
        Ok(Testbed { name: name.to_owned(), folder, web })
    }

    /// Its web hosts, in order.
    pub fn web(&self) -> &[Host] {
        &self.web
    }

    /// A file of its folder, for example `ssh_config`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// One of the script's other verbs, for example `["cut", "web-01", "--rst"]`.
    pub fn act(&self, words: &[&str]) -> Result<String, Failure> {
        run(fleet(&self.name).args(words))
    }

    /// Runs a program on a host as root, past network and sshd. A status other than 0 is an error.
    pub fn at(&self, host: &str, words: &[&str]) -> Result<String, Failure> {
        run(fleet(&self.name).args(["at", host]).args(words))
    }

    /// Puts a file on a host.
    pub fn put(&self, host: &str, content: &[u8], path: &str, mode: &str) -> Result<(), Failure> {
        let file = tempfile::NamedTempFile::new()?;
        fs_err::write(file.path(), content)?;
        let input = Stdio::from(std::fs::File::open(file.path())?);
        let words = ["install", "-D", "-m", mode, "/dev/stdin", path];
        let output = fleet(&self.name).args(["at", host]).args(words).stdin(input).output()?;
        said(&format!("install {path} on {host}"), &output).map(drop)
    }
}

/// The script, for a fleet of that name.
pub fn fleet(name: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../testbed/fleet"));
    command.env("UNSHIP_TESTBED", name);
    command
}

/// Runs a command to its end; what it printed.
pub fn run(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output()?;
    said(&format!("{command:?}"), &output)
}

fn said(what: &str, output: &Output) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{what} ended with {}:\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr))
        .into())
}
