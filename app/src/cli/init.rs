//! `unship init`

mod settings;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use unship_core::protocol::{Manager, ServiceSpec};
use unship_core::units::{UnitAccount, UnitText, unit_files};

use super::output::{GOOD, WARN};
use super::site::SiteArgs;
use super::{CliError, Output};
use crate::unit_files::{self, SYSTEM_UNITS, UnitFilesError};
use crate::wire::Site;

/// Write an unship.toml from what this repository shows, or what unship needs on the hosts, for review
///
/// What was found is written with its reason; what was not is said and left for you to fill in. A file that is
/// there is never overwritten.
///
/// With `--systemd`: a socket, a template and a hold unit for every unit of `unship.toml`, which miss nothing for
/// a flip without a gap. Units that are there already are read, and what they miss is named.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write systemd's unit files
    #[arg(long)]
    systemd: bool,

    /// Print the unship.toml instead of writing it
    #[arg(long, conflicts_with = "systemd")]
    print: bool,

    /// The folder to write to
    #[arg(long, value_name = "FOLDER", default_value = "systemd")]
    into: PathBuf,

    /// The user that the service runs as; the service's name unless given
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// Where units that are there already are looked for
    #[arg(long, value_name = "FOLDER", default_value = SYSTEM_UNITS)]
    existing: PathBuf,

    /// Install them on this machine: copy them, have systemd read them, open the sockets
    #[arg(long, requires = "systemd")]
    install: bool,

    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    if !args.systemd {
        return settings::run(Path::new("."), args.print, output);
    }
    let site = args.site.site()?;
    let service = site.service_under(Manager::Systemd);
    say_gaps(&args.existing, &service, output)?;
    let files = unit_files(&service, &account(args, &site), "/usr/local/bin/unship");
    for path in unit_files::write(&args.into, &files).map_err(|error| failed(&error))? {
        output.line(path.display().to_string());
    }
    if args.install {
        install(&files, output)?;
    } else {
        output.note(format!(
            "review them, then put them to {SYSTEM_UNITS} on every host, or on this machine with `unship init --systemd --install`"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn account(args: &Args, site: &Site) -> UnitAccount {
    UnitAccount {
        user: args.user.clone().unwrap_or_else(|| site.config.service.name.to_string()),
        writable: site.environment.data.iter().cloned().collect(),
    }
}

fn say_gaps(folder: &Path, service: &ServiceSpec, output: &mut Output) -> Result<(), CliError> {
    for (unit, gaps) in unit_files::gaps(folder, service).map_err(|error| failed(&error))? {
        if gaps.is_empty() {
            output.note(format!("{GOOD}{unit} misses nothing for overlap{GOOD:#} in {}", folder.display()));
        }
        for gap in gaps {
            output.note(format!("{WARN}{unit} cannot overlap:{WARN:#} {gap}"));
        }
    }
    Ok(())
}

fn install(files: &[UnitText], output: &mut Output) -> Result<(), CliError> {
    unit_files::write(Path::new(SYSTEM_UNITS), files).map_err(|error| failed(&error))?;
    systemctl(&["daemon-reload"], output)?;
    for file in files.iter().filter(|file| file.name.ends_with(".socket")) {
        systemctl(&["enable", "--now", "--", &file.name], output)?;
    }
    Ok(())
}

fn systemctl(words: &[&str], output: &mut Output) -> Result<(), CliError> {
    output.note(format!("systemctl {}", words.join(" ")));
    let ended = std::process::Command::new("systemctl").args(words).output();
    let ended = ended.map_err(|error| CliError::failed(format!("`systemctl` cannot be run: {error}")))?;
    if ended.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    Err(CliError::failed(format!("`systemctl {}` failed: {}", words.join(" "), crate::plain::plain(&why))))
}

fn failed(error: &UnitFilesError) -> CliError {
    let hint = match error {
        UnitFilesError::Differs { path } => Some(format!(
            "compare them with `diff`, and move `{}` aside or take another folder",
            path.display()
        )),
        UnitFilesError::TooLarge { .. } | UnitFilesError::Io(_) => None,
    };
    let failed = CliError::failed(error.to_string());
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}
