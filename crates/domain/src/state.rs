//! The state of a run, derived from its log and its lock; never stored without them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventKind};

/// A worker that holds the lock and has been silent for this long is not answering.
pub const SILENCE_MAX_MS: u64 = 30_000;

/// What a run is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// It waits for the device, or was never started.
    Queued,
    /// It reads model and data.
    Preparing,
    /// It trains.
    Training,
    /// It evaluates held-out rows.
    Evaluating,
    /// It writes a checkpoint.
    Saving,
    /// It waits.
    Paused {
        /// asked or disk_full.
        reason: String,
    },
    /// It is ending.
    Stopping,
    /// It reached its end.
    Finished {
        /// completed, early_stop or time_limit.
        reason: String,
    },
    /// Somebody stopped it; it can be resumed.
    Stopped,
    /// It cannot go on.
    Failed {
        /// Code of the failure catalogue.
        code: String,
    },
    /// Its worker is gone without a word; it can be resumed.
    Interrupted,
    /// Its worker lives but has been silent for 30 s.
    NotAnswering,
    /// Its worker is on another machine.
    Elsewhere {
        /// That machine.
        host: String,
    },
}

impl RunState {
    /// The word on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            RunState::Queued => "queued",
            RunState::Preparing => "preparing",
            RunState::Training => "training",
            RunState::Evaluating => "evaluating",
            RunState::Saving => "saving",
            RunState::Paused { .. } => "paused",
            RunState::Stopping => "stopping",
            RunState::Finished { .. } => "finished",
            RunState::Stopped => "stopped",
            RunState::Failed { .. } => "failed",
            RunState::Interrupted => "interrupted",
            RunState::NotAnswering => "not_answering",
            RunState::Elsewhere { .. } => "elsewhere",
        }
    }

    /// Whether a worker is expected to be at work on it.
    pub fn is_active(&self) -> bool {
        !matches!(self, RunState::Finished { .. } | RunState::Stopped | RunState::Failed { .. } | RunState::Interrupted)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name().replace('_', " ");
        match self {
            RunState::Paused { reason } | RunState::Finished { reason } if !reason.is_empty() => {
                write!(formatter, "{name} ({})", reason.replace('_', " "))
            }
            RunState::Failed { code } => write!(formatter, "{name} ({})", code.replace('_', " ")),
            RunState::Elsewhere { host } => write!(formatter, "{name} (on {host})"),
            _ => formatter.write_str(&name),
        }
    }
}

/// What the file system says about the worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockFacts {
    /// Whether a process of this machine holds `worker.lock`.
    pub is_held: bool,
    /// The machine that the lock's text names, where it is not this one.
    pub other_host: Option<String>,
    /// Time since the worker last gave a sign.
    pub silent_ms: u64,
}

/// Where the events of a log leave a run, whoever holds its lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// No event yet, or the last one says so.
    Queued,
    Preparing,
    Training,
    Evaluating,
    Saving,
    Paused(String),
    Stopping,
    Finished(String),
    Stopped,
    Failed(String),
}

/// What a log says about a run's state; fed event by event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogState {
    phase: Phase,
    /// What an end of a pause goes back to.
    before_pause: Phase,
    has_started: bool,
}

impl Default for LogState {
    fn default() -> Self {
        LogState { phase: Phase::Queued, before_pause: Phase::Queued, has_started: false }
    }
}

impl LogState {
    /// The state of a whole log.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> LogState {
        let mut state = LogState::default();
        for event in events {
            state.apply(&event.kind);
        }
        state
    }

    /// Takes one event in.
    pub fn apply(&mut self, kind: &EventKind) {
        let phase = match kind {
            EventKind::RunQueued(_) => Phase::Queued,
            EventKind::RunStarted(_) | EventKind::RunResumed(_) => Phase::Preparing,
            EventKind::PhaseEntered(entered) => match entered.phase.as_str() {
                "preparing" => Phase::Preparing,
                "training" => Phase::Training,
                "evaluating" => Phase::Evaluating,
                "saving" => Phase::Saving,
                // A phase of another version: still at work.
                _ => Phase::Training,
            },
            EventKind::StepFinished(_) if self.phase != Phase::Stopping => Phase::Training,
            EventKind::RunPaused(paused) => {
                if !matches!(self.phase, Phase::Paused(_)) {
                    self.before_pause = self.phase.clone();
                }
                Phase::Paused(paused.reason.clone())
            }
            EventKind::RunUnpaused(_) => self.before_pause.clone(),
            EventKind::RunStopping(_) => Phase::Stopping,
            EventKind::RunFinished(finished) => Phase::Finished(finished.reason.clone()),
            EventKind::RunStopped(_) => Phase::Stopped,
            EventKind::RunFailed(failed) => Phase::Failed(failed.code.clone()),
            _ => return,
        };
        self.has_started |= phase != Phase::Queued;
        self.phase = phase;
    }

    /// Whether the log ends with an end: finished, stopped or failed.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Finished(_) | Phase::Stopped | Phase::Failed(_))
    }

    /// Whether the log ends with the run's own end, so that resuming it has nothing to do.
    pub fn has_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished(_))
    }

    /// The state, given what the file system says about the worker.
    pub fn with(&self, lock: &LockFacts) -> RunState {
        if !self.has_ended() {
            if !lock.is_held {
                // Whether another machine holds the lock cannot be seen from here; that its
                // worker still writes can.
                if let (Some(host), true) = (&lock.other_host, lock.silent_ms <= SILENCE_MAX_MS) {
                    return RunState::Elsewhere { host: host.clone() };
                }
                return match self.has_started {
                    true => RunState::Interrupted,
                    false => RunState::Queued,
                };
            }
            let may_be_silent = matches!(self.phase, Phase::Queued | Phase::Paused(_));
            if lock.silent_ms > SILENCE_MAX_MS && !may_be_silent {
                return RunState::NotAnswering;
            }
        }
        match &self.phase {
            Phase::Queued => RunState::Queued,
            Phase::Preparing => RunState::Preparing,
            Phase::Training => RunState::Training,
            Phase::Evaluating => RunState::Evaluating,
            Phase::Saving => RunState::Saving,
            Phase::Paused(reason) => RunState::Paused { reason: reason.clone() },
            Phase::Stopping => RunState::Stopping,
            Phase::Finished(reason) => RunState::Finished { reason: reason.clone() },
            Phase::Stopped => RunState::Stopped,
            Phase::Failed(code) => RunState::Failed { code: code.clone() },
        }
    }
}
