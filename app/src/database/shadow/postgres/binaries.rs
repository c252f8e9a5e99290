//! Finds `initdb` and `postgres`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ShadowError;

/// Environment variable with the directory of the server binaries.
const PG_BIN_VARIABLE: &str = "UNSHIP_PG_BIN";

/// Oldest major version whose catalogs are read.
const MAJOR_MIN: u32 = 13;

/// The directory of a server's binaries, known to run.
#[derive(Debug, Clone)]
pub struct Binaries {
    pub directory: PathBuf,
    pub major: u32,
    /// As `postgres --version` says: `15.14 (Debian 15.14-0+deb12u1)`.
    pub version: String,
}

impl Binaries {
    /// `explicit` is used or refused; otherwise the first that runs of: `UNSHIP_PG_BIN`, `PATH`,
    /// `/usr/lib/postgresql/*/bin` with the newest major first, `pg_config --bindir`.
    pub fn find(explicit: Option<&Path>) -> Result<Self, ShadowError> {
        if let Some(directory) = explicit {
            return Self::at(directory);
        }
        if let Some(directory) = std::env::var_os(PG_BIN_VARIABLE) {
            return Self::at(Path::new(&directory));
        }
        let mut looked_in = vec![format!("`{PG_BIN_VARIABLE}`"), "`PATH`".to_owned()];
        let mut places: Vec<PathBuf> =
            std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
        places.extend(debian_directories());
        looked_in.push("`/usr/lib/postgresql/*/bin`".to_owned());
        places.extend(pg_config_directory());
        looked_in.push("`pg_config --bindir`".to_owned());
        places
            .iter()
            .filter(|place| place.join("initdb").is_file() && place.join("postgres").is_file())
            .find_map(|place| Self::at(place).ok())
            .ok_or(ShadowError::NoBinaries { looked_in })
    }

    fn at(directory: &Path) -> Result<Self, ShadowError> {
        let postgres = directory.join("postgres");
        let broken = |why: String| ShadowError::Binary { path: postgres.clone(), why };
        if !directory.join("initdb").is_file() {
            return Err(broken("there is no `initdb` beside it".to_owned()));
        }
        let output =
            Command::new(&postgres).arg("--version").output().map_err(|error| broken(error.to_string()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said.trim().strip_prefix("postgres (PostgreSQL) ").unwrap_or_default().to_owned();
        let major = version
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| broken("it does not say its version".to_owned()))?;
        if major < MAJOR_MIN {
            return Err(ShadowError::TooOld { version: major });
        }
        // The server runs with another working directory.
        let directory = fs_err::canonicalize(directory).map_err(|error| broken(error.to_string()))?;
        Ok(Self { directory, major, version })
    }
}

fn debian_directories() -> Vec<PathBuf> {
    let mut majors: Vec<(u32, PathBuf)> = fs_err::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    majors.sort();
    majors.into_iter().rev().map(|(_, path)| path).collect()
}

fn pg_config_directory() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(path.trim()))
}
