//! What a mirror is handed: new lines and samples with the places where they begin and end.

use apertis_domain::{Event, LockFacts};

use super::rows::{RunFacts, RunRow};

/// How far a file was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPlace {
    /// Bytes.
    pub offset: u64,
    /// BLAKE3 of the file's first line; empty before there is one. Another one is another file.
    pub first_line: String,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Byte at which it begins.
    pub offset: u64,
    /// What it says.
    pub event: Event,
}

/// New lines of a log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogPart {
    /// Where they begin: where the index ends, or the beginning, to read everything again.
    pub from: LogPlace,
    /// Where they end.
    pub to: LogPlace,
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Lines between that are no events.
    pub bad_lines: u64,
}

/// A sample of the machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Steps done.
    pub step: u64,
    /// Real tokens trained on.
    pub tokens: u64,
    /// Working time.
    pub elapsed_ms: u64,
    /// Passes through the data.
    pub epoch: f32,
    /// What was measured: cpu_percent, process_bytes, …
    pub values: Vec<(String, f32)>,
}

/// New machine samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SamplePart {
    /// Where they begin: where the index ends, or the beginning, to read everything again.
    pub from: LogPlace,
    /// Where they end.
    pub to: LogPlace,
    /// The samples.
    pub samples: Vec<Sample>,
}

/// What is known anew of a run.
#[derive(Debug, Clone, Default)]
pub struct RunParts {
    /// What is not in its log.
    pub facts: RunFacts,
    /// What the file system says about its worker; together with the log its state.
    pub lock: LockFacts,
    /// New lines of its log.
    pub log: Option<LogPart>,
    /// New machine samples.
    pub samples: Option<SamplePart>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirrored {
    /// The run's row.
    pub row: RunRow,
    /// Whether the row is another than before.
    pub is_changed: bool,
}
