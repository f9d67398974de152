//! Working time of a run: monotonic, over all attempts, standing still in pauses and queues.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apertis_domain::seam::Clock;

/// Working time; copies share it.
#[derive(Debug, Clone)]
pub struct WorkingClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    before: Duration,
    running_since: Option<Instant>,
}

impl WorkingClock {
    /// Goes on from what earlier attempts worked.
    pub fn starting_at(elapsed_ms: u64) -> WorkingClock {
        WorkingClock(Arc::new(Mutex::new(State { before: Duration::from_millis(elapsed_ms), running_since: Some(Instant::now()) })))
    }

    /// Stops counting.
    pub fn pause(&self) {
        let mut state = self.state();
        if let Some(since) = state.running_since.take() {
            state.before += since.elapsed();
        }
    }

    /// Counts again.
    pub fn unpause(&self) {
        self.state().running_since.get_or_insert_with(Instant::now);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for WorkingClock {
    fn elapsed_ms(&self) -> u64 {
        let state = self.state();
        let running = state.running_since.map_or(Duration::ZERO, |since| since.elapsed());
        u64::try_from((state.before + running).as_millis()).unwrap_or(u64::MAX)
    }
}

/// The time of day in UTC, as it stands in events.
pub fn now_text() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// A time of a file in UTC, as it stands in events.
pub fn text_of(time: std::time::SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| now_text(), |time| format!("{time:.3}"))
}
