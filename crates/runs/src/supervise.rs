//! What to do about a worker that is gone without a word: why it went, and whether to start it
//! again. Decisions are pure functions of the record; whoever watches the run carries them out.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use apertis_domain::FailureCode;

use crate::lock::WorkerFacts;
use crate::record::RunRecord;
use crate::{RunFolder, machine};

/// Automatic resumes without a new checkpoint between them, at most.
pub const AUTOMATIC_RESUMES_MAX: u32 = 3;

/// What `worker.log` is divided by.
pub(crate) const ATTEMPT_MARK: &str = "── attempt ";

/// Why a worker is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Something ended its process.
    Signal,
    /// Memory ran out.
    Memory,
    /// The machine went off.
    Power,
}

impl Cause {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Signal => "signal",
            Cause::Memory => "memory",
            Cause::Power => "power",
        }
    }
}

/// What to do about an interrupted run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start a worker again; the worker halves its micro-batch itself after `Cause::Memory`.
    Resume(Cause),
    /// Give up.
    Fail(FailureCode),
}

/// What to do about a run whose worker is gone.
pub fn next_step(record: &RunRecord, cause: Cause) -> Next {
    if cause == Cause::Memory && has_halved(record) {
        return Next::Fail(FailureCode::OutOfMemory);
    }
    if record.automatic_resumes >= AUTOMATIC_RESUMES_MAX {
        return Next::Fail(match cause {
            Cause::Memory => FailureCode::OutOfMemory,
            Cause::Power => FailureCode::PowerLost,
            Cause::Signal => FailureCode::WorkerKilled,
        });
    }
    Next::Resume(cause)
}

/// Whether the micro-batch was halved since the newest checkpoint: it is done once.
pub fn has_halved(record: &RunRecord) -> bool {
    let saved = record.checkpoints.last().map_or(0, |point| point.step);
    record.decisions.iter().any(|event| matches!(event.kind, apertis_domain::EventKind::MicroBatchHalved(_)) && event.step >= saved)
}

/// Why the last worker of a run is gone, from what it wrote into its lock when it started and
/// what the machine says now.
pub fn cause_of_death(folder: &RunFolder, facts: &WorkerFacts) -> Cause {
    cause_from(facts, &machine::boot_id(), &machine::host_name(), machine::oom_kills(), &log_tail(folder))
}

fn cause_from(facts: &WorkerFacts, boot: &str, host: &str, oom_kills: u64, tail: &str) -> Cause {
    if facts.boot != boot && facts.host == host {
        Cause::Power
    } else if oom_kills > facts.oom_kills && facts.boot == boot || tail.contains("memory allocation of ") {
        Cause::Memory
    } else {
        Cause::Signal
    }
}

/// The last words of the last worker in `worker.log`, where a failed allocation leaves its message.
fn log_tail(folder: &RunFolder) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(folder.worker_log())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(1000)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    match tail.rsplit_once(ATTEMPT_MARK) {
        Some((_, last)) => last.to_owned(),
        None => tail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_has_a_cause() {
        let facts = WorkerFacts { host: "here".to_owned(), boot: "first".to_owned(), oom_kills: 2, ..WorkerFacts::default() };
        let check = |boot: &str, oom_kills, tail: &str, expected| {
            assert_eq!(cause_from(&facts, boot, "here", oom_kills, tail), expected);
        };
        check("first", 2, "", Cause::Signal);
        check("first", 3, "", Cause::Memory);
        check("first", 2, "memory allocation of 99 bytes failed", Cause::Memory);
        // The counter starts again with the machine.
        check("second", 5, "", Cause::Power);
    }
}
