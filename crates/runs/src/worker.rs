//! A worker's side of a run: everything that the process at work on it holds and writes.

use std::collections::HashSet;
use std::fs::OpenOptions as FileOptions;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use apertis_domain::event::*;
use apertis_domain::seam::Clock;
use apertis_domain::{Action, CheckpointRef, CheckpointStore, Control, Event, EventKind, EventSink, FailureCode, Recipe, SinkError};

use crate::checkpoints::FolderStore;
use crate::clock::WorkingClock;
use crate::control::{RunControl, is_stop_asked};
use crate::error::AtPath;
use crate::lock::{WorkerFacts, WorkerLock};
use crate::log::{FileStorage, LogWriter, RESERVE_NAME, read_log};
use crate::slot::{DeviceSlot, Ticket};
use crate::supervise::{Cause, cause_of_death, has_halved};
use crate::system::{SamplePlace, SystemSampler};
use crate::{Home, RunFolder, RunRecord, RunsError, machine, output, remembered};

/// Curves are drawn again at an evaluation, but no more often than this.
const DRAW_INTERVAL: Duration = Duration::from_secs(10);

/// The queue before a device is looked at this often.
const QUEUE_INTERVAL: Duration = Duration::from_millis(500);

/// How a run is opened for work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenOptions {
    /// Version of the program, as it stands in events.
    pub version: String,
    /// Nobody asked for this start: the worker before was gone.
    pub is_automatic: bool,
    /// Go on although the run has reached its end.
    pub extend: bool,
}

/// What opening a run gives.
pub enum Opened {
    /// The run is ours to work on.
    Session(Box<WorkerSession>),
    /// The run has reached its end; nothing was changed.
    Finished(Box<RunRecord>),
}

/// A run that this process works on. The lock goes with it.
pub struct WorkerSession {
    /// Where the trainer's events go.
    pub events: RunEvents,
    /// Where requests come from.
    pub control: RunControl,
    /// Where checkpoints go.
    pub checkpoints: FolderStore,
    /// Working time of the run.
    pub clock: WorkingClock,
    folder: RunFolder,
    recipe: Recipe,
    attempt: u32,
    resume_from: Option<CheckpointRef>,
    decisions: Vec<Event>,
    _slot: Option<DeviceSlot>,
    // Dropped in this order: the sampler may still write an event, the lock goes last.
    _sampler: SystemSampler,
    _lock: WorkerLock,
}

/// Opens a run for work: takes its lock, cuts a torn line off its log, removes what an
/// interrupted worker left, and says in the log that it is started or resumed.
///
/// # Errors
/// Another worker holds the run, or a file cannot be read or written.
pub fn open(folder: &RunFolder, options: &OpenOptions) -> Result<Opened, RunsError> {
    let recipe = folder.recipe()?;
    let (lock, facts_before) = WorkerLock::take(folder, &options.version)?;
    let events = read_log(&folder.events()).at("read", &folder.events())?;
    let record = RunRecord::of(&events);
    if record.state.has_finished() && !options.extend {
        // Its worker may have been killed between its last word and tidying up.
        remove_unfinished(folder)?;
        return Ok(Opened::Finished(Box::new(record)));
    }
    let attempt = record.attempt + 1;
    // What the worker before said is read before this one divides the log.
    let cause = cause_before(folder, &record, facts_before.as_ref());
    mark_attempt(folder, attempt)?;
    remove_unfinished(folder)?;
    let decisions = record.decisions.clone();
    let clock = WorkingClock::starting_at(record.elapsed_ms);

    let (log, cut_bytes) = SharedLog::open(folder, &recipe, &events, record, attempt, &clock)?;
    let is_terminated = Arc::new(AtomicBool::new(false));
    watch_signals(&is_terminated).at("watch signals", folder.path())?;
    log.give_up_when(folder, attempt, &is_terminated);
    let (checkpoints, damaged) = FolderStore::open(folder, recipe.keep_checkpoints)?;
    let resume_from = checkpoints.last();
    let (place_log, sleep_log) = (log.clone(), log.clone());
    let on_sleep = move |slept_ms| {
        // Sleep that cannot be recorded is no reason to end a run.
        let _ = sleep_log.emit_last_step(WorkerSlept { slept_ms });
    };
    let sampler = SystemSampler::start(&folder.system(), move || place_log.place(), on_sleep).at("open", &folder.system())?;
    let mut session = WorkerSession {
        control: RunControl::new(folder.clone(), attempt, is_terminated, log.clone()),
        events: RunEvents { log },
        checkpoints,
        clock,
        folder: folder.clone(),
        recipe,
        attempt,
        resume_from,
        decisions,
        _slot: None,
        _sampler: sampler,
        _lock: lock,
    };
    session.say_begun(options, cause, facts_before, cut_bytes, damaged)?;
    session.control.refuse_earlier()?;
    Ok(Opened::Session(Box::new(session)))
}

/// Writes the end of a run whose worker is gone and is not to be started again.
///
/// # Errors
/// A worker holds the run, or its log cannot be written.
pub fn give_up(folder: &RunFolder, version: &str, code: FailureCode) -> Result<(), RunsError> {
    let (_lock, _) = WorkerLock::take(folder, version)?;
    let recipe = folder.recipe()?;
    let events = read_log(&folder.events()).at("read", &folder.events())?;
    let record = RunRecord::of(&events);
    let (attempt, step) = (record.attempt, record.step());
    let clock = WorkingClock::starting_at(record.elapsed_ms);
    let (log, _) = SharedLog::open(folder, &recipe, &events, record, attempt, &clock)?;
    let failed = RunFailed { code: code.code().to_owned(), message: code.message().to_owned(), hint: code.hint().to_owned() };
    Ok(log.end(step, failed.into())?)
}

impl WorkerSession {
    /// The run's folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The run's recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Which start of a worker this is, counted from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The checkpoint to go on from; `None` starts from nothing.
    pub fn resume_from(&self) -> Option<&CheckpointRef> {
        self.resume_from.as_ref()
    }

    /// Decisions of earlier attempts, in order, each to be repeated from its step on. The one
    /// that this start made itself, a halved micro-batch, is among them.
    pub fn decisions(&self) -> &[Event] {
        &self.decisions
    }

    /// What stands of the run so far.
    pub fn record(&self) -> RunRecord {
        self.events.log.inner().record.clone()
    }

    /// A sign of life, for work that takes long without events. Copies may go to other threads.
    pub fn heartbeat(&self) -> impl Fn() + Send + Clone + 'static {
        let path = self.folder.worker_pid();
        move || crate::lock::beat(&path)
    }

    /// Waits until the device is free and takes it. `now` does not wait, and takes no slot where
    /// it is busy.
    ///
    /// # Errors
    /// The run was asked to stop while it waited, or a file cannot be written.
    pub fn wait_for_device(&mut self, home: &Home, device: &str, now: bool) -> Result<(), RunsError> {
        let ticket = Ticket::take(home, device)?;
        let mut said = None;
        loop {
            match ticket.try_slot()? {
                Ok(slot) => {
                    self._slot = Some(slot);
                    break;
                }
                Err(_) if now => break,
                Err(position) => {
                    if said != Some(position) {
                        said = Some(position);
                        self.clock.pause();
                        let queued = RunQueued { device: device.to_owned(), position };
                        self.events.log.emit_last_step(queued)?;
                    }
                }
            }
            if self.is_stopped_in_queue()? {
                return Err(RunsError::StoppedInQueue { device: device.to_owned() });
            }
            std::thread::sleep(QUEUE_INTERVAL);
        }
        if said.is_some() {
            self.clock.unpause();
            let entered = PhaseEntered { phase: "preparing".to_owned() };
            self.events.log.emit_last_step(entered)?;
        }
        Ok(())
    }

    fn is_stopped_in_queue(&mut self) -> Result<bool, RunsError> {
        let mut is_stopped = false;
        for command in self.control.poll(0) {
            let is_stop = matches!(command.action, Action::Stop { .. });
            is_stopped |= is_stop;
            self.events.log.emit_last_step(CommandAnswered {
                id: command.id,
                command: command.action.name().to_owned(),
                accepted: is_stop,
                message: match is_stop {
                    true => "stopped while waiting for the device".to_owned(),
                    false => "the run waits for the device".to_owned(),
                },
            })?;
        }
        Ok(is_stopped)
    }

    /// Writes everything that is made of the log, then the end of the run: `RunFinished`,
    /// `RunStopped` or `RunFailed`. Whoever sees the end finds the files complete.
    ///
    /// # Errors
    /// The end cannot be recorded.
    pub fn end(self, step: u64, kind: impl Into<EventKind>) -> Result<RunRecord, RunsError> {
        self.events.log.end(step, kind.into())?;
        Ok(self.record())
    }

    /// Ends the run with a failure of the catalogue and a message about this one.
    ///
    /// # Errors
    /// The end cannot be recorded.
    pub fn fail(self, code: FailureCode, message: &str) -> Result<RunRecord, RunsError> {
        let step = self.events.log.inner().record.step();
        self.end(step, RunFailed { code: code.code().to_owned(), message: message.to_owned(), hint: code.hint().to_owned() })
    }

    fn say_begun(
        &mut self,
        options: &OpenOptions,
        cause: Option<Cause>,
        facts_before: Option<WorkerFacts>,
        cut_bytes: u64,
        damaged: Vec<String>,
    ) -> Result<(), RunsError> {
        let from_step = self.resume_from.as_ref().map_or(0, |checkpoint| checkpoint.step);
        let (host, pid) = (machine::host_name(), std::process::id());
        let version = options.version.clone();
        let record = self.record();
        let kind: EventKind = if record.seq.is_none() {
            RunStarted {
                run: self.folder.name(),
                method: self.recipe.method.name().to_owned(),
                model: self.recipe.model.clone(),
                data: self.recipe.data.clone(),
                version,
                host,
                pid,
            }
            .into()
        } else {
            let before = facts_before.map(|facts| facts.version).unwrap_or_default();
            RunResumed {
                from_step,
                cause: match cause {
                    Some(cause) => cause.name().to_owned(),
                    None if record.state.has_finished() => "finished".to_owned(),
                    None if record.failed.is_some() => "failed".to_owned(),
                    None => "stopped".to_owned(),
                },
                automatic: options.is_automatic,
                version_before: if before == version { String::new() } else { before },
                version,
                host,
                pid,
            }
            .into()
        };
        let log = &self.events.log;
        log.emit(from_step, kind)?;
        if cut_bytes > 0 {
            log.emit(from_step, LogRepaired { cut_bytes }.into())?;
        }
        for message in damaged {
            log.emit(from_step, CheckpointDamaged { message }.into())?;
        }
        if cause == Some(Cause::Memory) && record.micro_batch_tokens > 1 && !has_halved(&record) {
            let halved = MicroBatchHalved {
                from_tokens: record.micro_batch_tokens,
                to_tokens: record.micro_batch_tokens / 2,
                reason: "memory".to_owned(),
            };
            log.emit(from_step, halved.into())?;
            self.decisions = log.inner().record.decisions.clone();
        }
        Ok(())
    }
}

/// The trainer's way into the log.
pub struct RunEvents {
    log: SharedLog,
}

impl EventSink for RunEvents {
    fn emit(&mut self, step: u64, kind: EventKind) -> Result<(), SinkError> {
        self.log.emit(step, kind)
    }
}

/// The log of a run, shared by what writes into it.
#[derive(Clone)]
pub(crate) struct SharedLog(Arc<Mutex<Inner>>);

struct Inner {
    writer: LogWriter,
    record: RunRecord,
    answered: HashSet<String>,
    folder: RunFolder,
    recipe: Recipe,
    drawn_at: Option<Instant>,
}

impl SharedLog {
    fn open(
        folder: &RunFolder,
        recipe: &Recipe,
        events: &[Event],
        record: RunRecord,
        attempt: u32,
        clock: &WorkingClock,
    ) -> Result<(SharedLog, u64), RunsError> {
        let path = folder.events();
        let (storage, length, cut_bytes) = FileStorage::open(&path).at("open", &path)?;
        let seq_next = record.seq.map_or(0, |seq| seq + 1);
        let mut writer = LogWriter::new(Box::new(storage), length, seq_next, attempt, clock.clone());
        writer.take_reserve().at("reserve space in", folder.path())?;
        let answered = events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::CommandAnswered(answer) => Some(answer.id.clone()),
                _ => None,
            })
            .collect();
        let inner = Inner { writer, record, answered, folder: folder.clone(), recipe: recipe.clone(), drawn_at: None };
        Ok((SharedLog(Arc::new(Mutex::new(inner))), cut_bytes))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up_when(&self, folder: &RunFolder, attempt: u32, is_terminated: &Arc<AtomicBool>) {
        let (folder, is_terminated) = (folder.clone(), is_terminated.clone());
        self.inner()
            .writer
            .give_up_when(move || is_terminated.load(std::sync::atomic::Ordering::Acquire) || is_stop_asked(&folder, attempt));
    }

    fn emit(&self, step: u64, kind: EventKind) -> Result<(), SinkError> {
        self.inner().emit(step, kind)
    }

    /// Where the run is; nothing while an event is being written.
    fn place(&self) -> Option<SamplePlace> {
        let inner = self.0.try_lock().ok()?;
        let record = &inner.record;
        let epoch = record.steps.last().map_or(0.0, |point| point.value.epoch);
        Some(SamplePlace { step: record.step(), tokens: record.tokens(), elapsed_ms: inner.writer.clock().elapsed_ms(), epoch })
    }

    /// Emits at the step of the newest point.
    pub(crate) fn emit_last_step(&self, kind: impl Into<EventKind>) -> Result<(), SinkError> {
        let mut inner = self.inner();
        let step = inner.record.step();
        inner.emit(step, kind.into())
    }

    pub(crate) fn is_answered(&self, id: &str) -> bool {
        self.inner().answered.contains(id)
    }

    fn end(&self, step: u64, kind: EventKind) -> Result<(), SinkError> {
        let mut inner = self.inner();
        let mut record = inner.record.clone();
        record.apply_end(step, &kind);
        // The end is worth more than a picture of it; all of this can be made again.
        let _ = output::write_all(&inner.folder, &record, &inner.recipe);
        inner.emit(step, kind)?;
        remembered::remember(&inner.folder, &inner.record);
        Ok(())
    }
}

impl Inner {
    fn emit(&mut self, step: u64, kind: EventKind) -> Result<(), SinkError> {
        let is_pause = matches!(kind, EventKind::RunPaused(_));
        let is_unpause = matches!(kind, EventKind::RunUnpaused(_));
        let is_evaluated = matches!(kind, EventKind::Evaluated(_));
        let is_sampled = matches!(kind, EventKind::Sampled(_));
        if is_unpause {
            self.writer.clock().unpause();
        }
        if let EventKind::CommandAnswered(answer) = &kind {
            self.answered.insert(answer.id.clone());
        }
        for event in self.writer.emit(step, kind)? {
            self.record.apply(&event);
        }
        if is_pause {
            self.writer.clock().pause();
        }
        // What is made of the log must never end a run; the end of the run makes it again.
        if is_evaluated {
            let _ = output::write_csv(&self.folder, &self.record);
            if self.drawn_at.is_none_or(|at| at.elapsed() >= DRAW_INTERVAL) {
                self.drawn_at = Some(Instant::now());
                let _ = output::write_curves(&self.folder, &self.record);
            }
        }
        if is_sampled {
            let _ = output::write_samples(&self.folder, &self.record);
        }
        Ok(())
    }
}

/// Why the worker before is gone, if it went without a word.
fn cause_before(folder: &RunFolder, record: &RunRecord, facts: Option<&WorkerFacts>) -> Option<Cause> {
    if record.seq.is_none() || record.state.has_ended() {
        return None;
    }
    Some(facts.map_or(Cause::Signal, |facts| cause_of_death(folder, facts)))
}

/// Divides `worker.log`, so that a death is not explained by the words of an earlier one.
fn mark_attempt(folder: &RunFolder, attempt: u32) -> Result<(), RunsError> {
    let path = folder.worker_log();
    let mut file = FileOptions::new().append(true).create(true).open(&path).at("open", &path)?;
    writeln!(file, "{}{attempt} {}", crate::supervise::ATTEMPT_MARK, crate::clock::now_text()).at("write", &path)
}

/// Removes files that an interrupted worker was still writing, and its reserve.
fn remove_unfinished(folder: &RunFolder) -> Result<(), RunsError> {
    for entry in std::fs::read_dir(folder.path()).at("list", folder.path())? {
        let path = entry.at("list", folder.path())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_unfinished = name.ends_with(".tmp") || name == output::CURVES_UNFINISHED;
        if is_unfinished || name == RESERVE_NAME {
            std::fs::remove_file(&path).at("remove", &path)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn watch_signals(is_terminated: &Arc<AtomicBool>) -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, is_terminated.clone())?;
    }
    Ok(())
}

/// Windows stops workers by control file.
#[cfg(not(unix))]
fn watch_signals(_is_terminated: &Arc<AtomicBool>) -> std::io::Result<()> {
    Ok(())
}
