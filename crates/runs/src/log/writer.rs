//! The only writer of a run's log.

use std::io;
use std::time::{Duration, Instant};

use apertis_domain::event::{EVENT_VERSION, RunPaused, RunUnpaused};
use apertis_domain::history::is_point;
use apertis_domain::seam::Clock;
use apertis_domain::{Event, EventKind, SinkError};

use super::LogStorage;
use crate::clock::{WorkingClock, now_text};
use crate::error::is_disk_full;

/// How long to wait before a full disk is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Numbers events and appends them as lines, each in one write.
pub struct LogWriter {
    storage: Box<dyn LogStorage>,
    /// Length of the whole lines.
    length: u64,
    seq_next: u64,
    attempt: u32,
    clock: WorkingClock,
    retry_interval: Duration,
    should_give_up: Box<dyn FnMut() -> bool + Send>,
}

impl LogWriter {
    /// A writer that goes on after `length` bytes of whole lines with the number `seq_next`.
    pub fn new(storage: Box<dyn LogStorage>, length: u64, seq_next: u64, attempt: u32, clock: WorkingClock) -> LogWriter {
        LogWriter { storage, length, seq_next, attempt, clock, retry_interval: RETRY_INTERVAL, should_give_up: Box::new(|| false) }
    }

    /// While the disk is full, asks this whether to stop waiting.
    pub fn give_up_when(&mut self, should_give_up: impl FnMut() -> bool + Send + 'static) {
        self.should_give_up = Box::new(should_give_up);
    }

    /// Waits this long before a full disk is tried again.
    pub fn retry_every(&mut self, interval: Duration) {
        self.retry_interval = interval;
    }

    /// Working time of the run.
    pub(crate) fn clock(&self) -> &WorkingClock {
        &self.clock
    }

    /// Sets the reserve aside that lets a full disk be spoken about.
    ///
    /// # Errors
    /// There is no space for it.
    pub fn take_reserve(&mut self) -> io::Result<()> {
        self.storage.take_reserve()
    }

    /// Appends an event. While the disk is full, it waits, and says so in the log.
    ///
    /// Returns every event that was written for it, the last one being the one asked for.
    ///
    /// # Errors
    /// The line could not be written for another reason, or the run was asked to end while it
    /// waited. The log ends with a whole line.
    pub fn emit(&mut self, step: u64, kind: EventKind) -> Result<Vec<Event>, SinkError> {
        let event = self.event(step, kind);
        match self.write(event) {
            Ok(event) => Ok(vec![event]),
            Err(refused) if is_disk_full(&refused.1) => self.wait_for_space(refused.0),
            Err(refused) => Err(failed(&refused.1)),
        }
    }

    fn event(&self, step: u64, kind: EventKind) -> Event {
        Event {
            v: EVENT_VERSION,
            seq: self.seq_next,
            attempt: self.attempt,
            step,
            at: now_text(),
            elapsed_ms: self.clock.elapsed_ms(),
            kind,
            extra: serde_json::Map::new(),
        }
    }

    /// Writes one line, or cuts back to the last whole one.
    fn write(&mut self, mut event: Event) -> Result<Event, Box<(Event, io::Error)>> {
        event.seq = self.seq_next;
        let mut line = event.to_line();
        line.push('\n');
        let written = self.storage.append(line.as_bytes()).and_then(|()| {
            if is_point(&event.kind) && !must_be_durable(&event.kind) {
                self.storage.sync_soon();
                Ok(())
            } else {
                self.storage.sync()
            }
        });
        match written {
            Ok(()) => {
                self.length += line.len() as u64;
                self.seq_next += 1;
                Ok(event)
            }
            Err(error) => match self.storage.cut(self.length) {
                Ok(()) => Err(Box::new((event, error))),
                Err(cut_error) => Err(Box::new((event, cut_error))),
            },
        }
    }

    fn wait_for_space(&mut self, event: Event) -> Result<Vec<Event>, SinkError> {
        self.clock.pause();
        let began = Instant::now();
        self.storage.give_up_reserve();
        let paused = RunPaused { reason: "disk_full".to_owned() };
        let paused = self.event(event.step, paused.into());
        // If even this does not fit, there is nothing left to say it with.
        let mut written: Vec<Event> = self.write(paused).into_iter().collect();
        loop {
            self.sleep_until_retry()?;
            match self.storage.take_reserve() {
                Ok(()) => {}
                Err(error) if is_disk_full(&error) => continue,
                Err(error) => return Err(failed(&error)),
            }
            let paused_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let unpaused = self.event(event.step, RunUnpaused { paused_ms }.into());
            match self.write(unpaused) {
                Ok(unpaused) => written.push(unpaused),
                Err(refused) if is_disk_full(&refused.1) => {
                    self.storage.give_up_reserve();
                    continue;
                }
                Err(refused) => return Err(failed(&refused.1)),
            }
            self.clock.unpause();
            // It may be full again already; then this pause is said like the first.
            written.extend(self.emit(event.step, event.kind)?);
            return Ok(written);
        }
    }

    fn sleep_until_retry(&mut self) -> Result<(), SinkError> {
        let until = Instant::now() + self.retry_interval;
        loop {
            if (self.should_give_up)() {
                return Err(SinkError {
                    operation: "write event".to_owned(),
                    message: "the disk is full, and the run was asked to end".to_owned(),
                    is_disk_full: true,
                });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// Points that are worth a write to the disk of their own.
fn must_be_durable(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Evaluated(_) | EventKind::CheckpointSaved(_))
}

fn failed(error: &io::Error) -> SinkError {
    SinkError { operation: "write event".to_owned(), message: error.to_string(), is_disk_full: is_disk_full(error) }
}
