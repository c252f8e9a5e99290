//! The course of the latency as text: columns of blocks on a logarithmic scale, readable without colour.

use crate::flow::drill::{Phase, PhaseFigures};
use crate::load::summary::Bucket;

/// Eighths of a character cell, from empty to full.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Rows of the chart.
const ROWS: usize = 5;
/// The width of the labels on the left, separator included.
const LABEL: usize = 11;

/// Draws the slowest one in a hundred over time, a line that marks failures, and one that marks phases.
/// `width` is that of the terminal in columns, `bucket_ms` the length of a bucket.
pub(super) fn draw(course: &[Bucket], bucket_ms: u64, phases: &[PhaseFigures], width: usize) -> Vec<String> {
    let columns = width.saturating_sub(LABEL + 2).max(10);
    let per_column = course.len().div_ceil(columns).max(1);
    let groups: Vec<Column> = course.chunks(per_column).map(Column::of).collect();
    let slowest = groups.iter().filter_map(|group| group.p99_us).max();
    let fastest = groups.iter().filter_map(|group| group.p99_us).min();
    let (Some(slowest), Some(fastest)) = (slowest, fastest) else {
        return vec!["  no request got a right answer".to_owned()];
    };
    let scale = Scale::new(fastest, slowest);
    let column_ms = bucket_ms * per_column as u64;

    let mut lines = vec![format!("  slowest of 100 in {column_ms} ms, logarithmic")];
    for row in (0..ROWS).rev() {
        let label = match row {
            row if row + 1 == ROWS => scale.label(1.0),
            0 => scale.label(0.0),
            _ => String::new(),
        };
        let cells: String = groups.iter().map(|group| scale.cell(group.p99_us, row)).collect();
        lines.push(format!("  {label:>8} │{}", cells.trim_end()));
    }
    let failed: String = groups.iter().map(|group| if group.failed > 0 { 'x' } else { ' ' }).collect();
    lines.push(format!("  {:>8} │{}", "failed", failed.trim_end()));
    let letters: String =
        (0..groups.len()).map(|column| letter(phases, column as u64 * column_ms, column_ms)).collect();
    lines.push(format!("  {:>8} │{letters}", "phase"));
    lines
}

/// What stands for a phase in the last line.
pub(super) fn phase_letter(phase: Phase) -> char {
    match phase {
        Phase::Before | Phase::After => '.',
        Phase::Deploy => 'd',
        Phase::Bad => '!',
        Phase::Rollback => 'r',
    }
}

/// The phase of a column. One in which unship acted is short and shows in every column that it touches.
fn letter(phases: &[PhaseFigures], from_ms: u64, length_ms: u64) -> char {
    let touches = |wanted: Phase| {
        phases.iter().any(|phase| {
            phase.phase == wanted && phase.from_ms < from_ms + length_ms && phase.until_ms > from_ms
        })
    };
    let acted = [Phase::Rollback, Phase::Deploy].into_iter().find(|phase| touches(*phase));
    let middle = phases.iter().rfind(|phase| phase.from_ms <= from_ms + length_ms / 2);
    acted.or(middle.map(|phase| phase.phase)).map_or(' ', phase_letter)
}

/// Several buckets drawn as one column.
struct Column {
    p99_us: Option<u64>,
    failed: u64,
}

impl Column {
    fn of(buckets: &[Bucket]) -> Column {
        Column {
            p99_us: buckets.iter().filter_map(|bucket| bucket.latency).map(|latency| latency.p99_us).max(),
            failed: buckets.iter().map(|bucket| bucket.failed).sum(),
        }
    }
}

/// From microseconds to a height between 0 and 1, by the logarithm.
struct Scale {
    low: f64,
    high: f64,
}

// Heights and labels are drawn to a person's eye: the loss of the last bits of a double does not show.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
impl Scale {
    fn new(fastest_us: u64, slowest_us: u64) -> Scale {
        let low = (fastest_us.max(1) as f64).log10() - 0.2;
        let high = (slowest_us.max(1) as f64).log10().max(low + 1.0);
        Scale { low, high }
    }

    fn cell(&self, us: Option<u64>, row: usize) -> char {
        let Some(us) = us else { return ' ' };
        let height = ((us.max(1) as f64).log10() - self.low) / (self.high - self.low);
        let eighths = (height * (ROWS * 8) as f64).round().max(1.0) as usize;
        BLOCKS[eighths.saturating_sub(row * 8).min(8)]
    }

    fn label(&self, height: f64) -> String {
        super::render::latency_text(10_f64.powf(self.low + height * (self.high - self.low)) as u64)
    }
}
