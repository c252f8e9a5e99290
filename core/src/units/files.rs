//! The units that `unship init --systemd` writes: hardened, with the least that a service needs, and one
//! comment where a line would not explain itself.

use crate::protocol::{ServiceSpec, SystemdUnit, UnitSpec};

/// A file for `/etc/systemd/system`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitText {
    /// Its name.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// As whom a service runs, and what it may write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitAccount {
    /// Its user, and group of the same name.
    pub user: String,
    /// The folders that it may write to.
    pub writable: Vec<String>,
}

/// What every unit of unship's may not do; systemd.exec(5).
const HARDENING: &str = "NoNewPrivileges=yes\nCapabilityBoundingSet=\nProtectSystem=strict\nProtectHome=yes\n\
                         PrivateTmp=yes\nPrivateDevices=yes\nProtectKernelTunables=yes\nProtectKernelModules=yes\n\
                         ProtectControlGroups=yes\nRestrictSUIDSGID=yes\nLockPersonality=yes\n";
/// What the program of a hold unit needs besides: nothing but its listener and the notify socket.
const HOLD_HARDENING: &str = "DynamicUser=yes\nRestrictAddressFamilies=AF_UNIX\nSystemCallFilter=@system-service\n\
                              MemoryDenyWriteExecute=yes\nRestrictNamespaces=yes\n";
/// How long what answers 503 may take to finish its last answers.
const HOLD_STOP_S: u64 = 5;

/// The unit files of a service, with `agent` as the path of unship's program on the hosts. Units without a name
/// for systemd have no file.
pub fn unit_files(service: &ServiceSpec, account: &UnitAccount, agent: &str) -> Vec<UnitText> {
    let mut files = Vec::new();
    for unit in &service.units {
        let Some(names) = &unit.systemd else { continue };
        files.push(UnitText { name: names.unit.clone(), text: service_text(service, unit, names, account) });
        if let (Some(socket), Some(listen)) = (&names.socket, &unit.listen) {
            let text = socket_text(service, unit, names, listen);
            files.push(UnitText { name: socket.clone(), text });
            if let Some(hold) = &names.hold {
                let text = hold_text(service, unit, socket, agent);
                files.push(UnitText { name: hold.clone(), text });
            }
        }
        if let Some(timer) = &names.timer {
            files.push(UnitText { name: timer.clone(), text: timer_text(service, unit) });
        }
    }
    files
}

fn head(service: &ServiceSpec, description: &str) -> String {
    format!(
        "# Written by `unship init --systemd` for {}; docs/systemd.md says what each line is for.\n[Unit]\nDescription={}\n",
        service.name,
        plain(description)
    )
}

fn service_text(
    service: &ServiceSpec,
    unit: &UnitSpec,
    names: &SystemdUnit,
    account: &UnitAccount,
) -> String {
    let template = names.template().is_some();
    let (of, files) = if template {
        (" %I", format!("{}/releases/%I/files", specifiers(&service.root)))
    } else {
        ("", format!("{}/current/files", specifiers(&service.root)))
    };
    let mut text = head(service, &format!("{} {}", service.name, unit.name));
    // The instance's name is a specifier, which `plain` would have taken for a percent sign.
    text.insert_str(text.len() - 1, of);
    text.push_str("After=network-online.target\nWants=network-online.target\n");
    if names.timer.is_none() {
        text.push_str(
            "# Without this a panic loop reaches systemd's limit, which fails the socket that all releases share.\n\
             StartLimitIntervalSec=0\n",
        );
    }
    let kind = match (names.timer.is_some(), unit.notify) {
        (true, _) => "oneshot",
        (false, true) => "notify",
        (false, false) => "exec",
    };
    text.push_str(&format!("\n[Service]\nType={kind}\n"));
    if let Some(socket) = &names.socket {
        text.push_str(&format!(
            "Sockets={socket}\n# The listener is one for all instances: without this the start of one makes it block for all.\n\
             NonBlocking=yes\n"
        ));
    }
    let mut words = unit.command.iter();
    let program = words.next().map_or("", String::as_str);
    let mut command = word(&format!("{files}/{}", specifiers(program)), false, true);
    for argument in words {
        command.push(' ');
        command.push_str(&word(argument, true, true));
    }
    text.push_str(&format!("ExecStart={command}\nWorkingDirectory={files}\n"));
    for (name, value) in &unit.environment {
        text.push_str(&format!("Environment={}\n", word(&format!("{name}={value}"), true, false)));
    }
    text.push_str(&format!("User={0}\nGroup={0}\n", plain(&account.user)));
    if names.timer.is_none() {
        let delay = unit.restart_delay_ms;
        text.push_str(&format!("Restart=on-failure\nRestartSec={delay}ms\n"));
    }
    text.push_str(&format!("TimeoutStartSec={}ms\n", service.ready_ms_max));
    text.push_str(&format!("TimeoutStopSec={}ms\nKillMode=mixed\n", service.drain_ms_max));
    text.push_str(HARDENING);
    for folder in &account.writable {
        // A folder that is not there yet does not keep the service from starting.
        text.push_str(&format!("ReadWritePaths={}\n", word(&format!("-{folder}"), true, false)));
    }
    if !template {
        text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    }
    text
}

fn socket_text(service: &ServiceSpec, unit: &UnitSpec, names: &SystemdUnit, listen: &str) -> String {
    let mut text =
        head(service, &format!("{} {}, the listener of all its releases", service.name, unit.name));
    text.push_str(&format!("\n[Socket]\nListenStream={}\n", plain(listen)));
    if let Some(hold) = &names.hold {
        text.push_str(&format!(
            "# Until the first deploy; afterwards a drop-in names the release.\nService={hold}\n"
        ));
    }
    text.push_str(
        "# Without this a panic loop reaches systemd's limit, which closes the listener.\nTriggerLimitIntervalSec=0\n\
         \n[Install]\nWantedBy=sockets.target\n",
    );
    text
}

fn hold_text(service: &ServiceSpec, unit: &UnitSpec, socket: &str, agent: &str) -> String {
    let mut text = head(service, &format!("{} {}, held: answers 503", service.name, unit.name));
    text.push_str("StartLimitIntervalSec=0\n");
    text.push_str(&format!(
        "\n[Service]\nType=notify\nSockets={socket}\nNonBlocking=yes\n# A drop-in names the program that is on the host when it is held.\n\
         ExecStart={} answer-on-hold 30\nRestart=on-failure\nRestartSec=200ms\nTimeoutStopSec={HOLD_STOP_S}\n",
        word(&specifiers(agent), false, true)
    ));
    text.push_str(HARDENING);
    text.push_str(HOLD_HARDENING);
    text
}

fn timer_text(service: &ServiceSpec, unit: &UnitSpec) -> String {
    let mut text = head(service, &format!("{} {}, when it runs", service.name, unit.name));
    text.push_str(
        "\n[Timer]\n# When it runs is yours to say; a drop-in names the release.\nOnCalendar=daily\nPersistent=yes\n\
         \n[Install]\nWantedBy=timers.target\n",
    );
    text
}

/// A text on one line, its percent signs kept from being specifiers.
fn plain(text: &str) -> String {
    specifiers(&text.chars().filter(|c| !c.is_control()).collect::<String>())
}

fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// A word of a command or an assignment, quoted as systemd.service(5) has it where it must be. Only in commands is
/// a dollar sign one of a variable.
fn word(text: &str, escape_percent: bool, of_command: bool) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/-_.:=+,@".contains(c);
    if text.chars().all(|c| harmless(c) || !escape_percent && c == '%') && !text.is_empty() {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '%' if escape_percent => quoted.push_str("%%"),
            '$' if of_command => quoted.push_str("$$"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
