//! The benchmark harness: both sides in one run, medians, one line to read and one file to keep.
//!
//! A benchmark measures `ours` and `other` alternately in the same process, so that a machine that slows
//! down slows both, and hands the two lists to [`report`]. Nothing here decides what is measured.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Two lists of measurements of the same thing, taken alternately in one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What is compared: also the name of the file, so letters, digits and `-`.
    pub name: String,
    /// What unship takes, one value a round, in the order measured.
    pub ours: Vec<f64>,
    /// What the other side takes, one value a round, in the order measured.
    pub other: Vec<f64>,
    /// The unit of both, for example `ms`.
    pub unit: &'static str,
}

/// Why a comparison could not be reported.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A side has no measurement, or one that is not a number above zero: there is no ratio to print.
    #[error("bench `{name}`: {side} has no usable measurement")]
    NothingMeasured {
        /// The comparison.
        name: String,
        /// `ours` or `other`.
        side: &'static str,
    },
    /// The file or the line could not be written.
    #[error("bench `{name}`: {source}")]
    Io {
        /// The comparison.
        name: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What `target/bench/<name>.json` holds.
#[derive(Serialize)]
struct Record<'a> {
    name: &'a str,
    unit: &'a str,
    ours: f64,
    other: f64,
    ratio: f64,
    ours_all: &'a [f64],
    other_all: &'a [f64],
}

/// Measures `other` then `ours`, `rounds` times, after one unmeasured round of each that warms caches.
/// Both closures return their measurement in the comparison's unit; the first error ends the run.
pub fn paired<E>(
    name: &str,
    unit: &'static str,
    rounds: usize,
    mut ours: impl FnMut() -> Result<f64, E>,
    mut other: impl FnMut() -> Result<f64, E>,
) -> Result<Comparison, E> {
    other()?;
    ours()?;
    let mut comparison = Comparison { name: name.to_owned(), ours: Vec::new(), other: Vec::new(), unit };
    for _ in 0..rounds {
        comparison.other.push(other()?);
        comparison.ours.push(ours()?);
    }
    Ok(comparison)
}

/// The middle value, the mean of the two middle ones for an even count; `None` for an empty list or one
/// that holds something that is not a number.
pub fn median(values: &[f64]) -> Option<f64> {
    if values.is_empty() || values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    Some(if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    })
}

/// Prints `bench <name>: ours <x> other <y> ratio <r>` on stdout, x and y being medians with their unit,
/// and writes the same with every measurement to `target/bench/<name>.json`. Returns the ratio.
pub fn report(comparison: &Comparison) -> Result<f64, ReportError> {
    report_to(comparison, &directory(), &mut std::io::stdout().lock())
}

fn report_to(comparison: &Comparison, directory: &Path, out: &mut dyn Write) -> Result<f64, ReportError> {
    let side = |side: &'static str, values: &[f64]| {
        median(values)
            .filter(|value| value.is_finite() && *value > 0.0)
            .ok_or(ReportError::NothingMeasured { name: comparison.name.clone(), side })
    };
    let ours = side("ours", &comparison.ours)?;
    let other = side("other", &comparison.other)?;
    let ratio = ours / other;
    let io = |source| ReportError::Io { name: comparison.name.clone(), source };

    let record = Record {
        name: &comparison.name,
        unit: comparison.unit,
        ours,
        other,
        ratio,
        ours_all: &comparison.ours,
        other_all: &comparison.other,
    };
    let json = serde_json::to_vec_pretty(&record).map_err(|error| io(error.into()))?;
    fs_err::create_dir_all(directory).map_err(io)?;
    fs_err::write(directory.join(format!("{}.json", comparison.name)), json).map_err(io)?;
    let unit = comparison.unit;
    writeln!(
        out,
        "bench {}: ours {} {unit} other {} {unit} ratio {ratio:.2}",
        comparison.name,
        figure(ours),
        figure(other)
    )
    .map_err(io)?;
    Ok(ratio)
}

/// Three significant digits where it matters: `0.0123`, `4.56`, `78.9`, `1234`.
fn figure(value: f64) -> String {
    match value {
        v if v < 0.1 => format!("{v:.4}"),
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 1_000.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// `target/bench` of this workspace, or of `CARGO_TARGET_DIR` where that is set.
fn directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from)
        .join("bench")
}

#[cfg(test)]
mod tests;
