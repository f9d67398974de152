//! Samples of the machine, one a second, written by the worker into `system.jsonl`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use sysinfo::System;

use crate::clock::now_text;
use crate::machine;

const INTERVAL: Duration = Duration::from_secs(1);

/// A gap this much longer than measured work is sleep of the machine.
const SLEEP_MIN: Duration = Duration::from_secs(5);

/// One sample.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SystemSample {
    /// When, in UTC.
    pub at: String,
    /// Optimizer steps done.
    pub step: u64,
    /// Real tokens trained on.
    pub tokens: u64,
    /// Working time of the run.
    pub elapsed_ms: u64,
    /// Passes through the data.
    pub epoch: f64,
    /// Share of all cores in use, in percent.
    pub cpu_percent: f32,
    /// Memory in use on the machine.
    pub memory_used_bytes: u64,
    /// Memory of the machine.
    pub memory_total_bytes: u64,
    /// Resident size of the worker.
    pub process_bytes: u64,
    /// Largest resident size of the worker so far.
    pub process_peak_bytes: u64,
    /// Free space where the run lies.
    pub disk_free_bytes: u64,
}

/// Where a run is when a sample is taken, so that both can be drawn over one axis.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SamplePlace {
    /// Optimizer steps done.
    pub step: u64,
    /// Real tokens trained on.
    pub tokens: u64,
    /// Working time.
    pub elapsed_ms: u64,
    /// Passes through the data.
    pub epoch: f64,
}

/// The sampling thread; dropping it ends it.
pub struct SystemSampler {
    is_closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SystemSampler {
    /// Starts sampling into a file. `place` says where the run is, or nothing while that would
    /// have to be waited for; `on_sleep` is called with the milliseconds the machine slept.
    ///
    /// # Errors
    /// The file cannot be opened or the thread not started.
    pub fn start(
        path: &Path,
        place: impl Fn() -> Option<SamplePlace> + Send + 'static,
        on_sleep: impl Fn(u64) + Send + 'static,
    ) -> io::Result<SystemSampler> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = is_closed.clone();
        let thread = thread::Builder::new()
            .name("system-sampler".to_owned())
            .spawn(move || sample_until(&closed, file, &folder, &place, &on_sleep))?;
        Ok(SystemSampler { is_closed, thread: Some(thread) })
    }
}

impl Drop for SystemSampler {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It can only have panicked, which the run survives.
            let _ = thread.join();
        }
    }
}

fn sample_until(is_closed: &AtomicBool, mut file: File, folder: &Path, place: &dyn Fn() -> Option<SamplePlace>, on_sleep: &dyn Fn(u64)) {
    let mut at = SamplePlace::default();
    // Where the system says nothing about itself, the worker still says what it uses itself.
    let mut system = System::new().ok();
    if let Some(system) = &mut system {
        system.refresh_cpu_usage();
    }
    while !is_closed.load(Ordering::Acquire) {
        let (monotonic, wall) = (Instant::now(), SystemTime::now());
        while monotonic.elapsed() < INTERVAL && !is_closed.load(Ordering::Acquire) {
            thread::park_timeout(INTERVAL.saturating_sub(monotonic.elapsed()));
        }
        let slept = slept(monotonic.elapsed(), wall.elapsed().unwrap_or_default());
        if !slept.is_zero() {
            on_sleep(u64::try_from(slept.as_millis()).unwrap_or(u64::MAX));
        }
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
            system.refresh_memory();
        }
        let system = system.as_ref();
        at = place().unwrap_or(at);
        let sample = SystemSample {
            at: now_text(),
            step: at.step,
            tokens: at.tokens,
            elapsed_ms: at.elapsed_ms,
            epoch: at.epoch,
            cpu_percent: system.map_or(0.0, System::global_cpu_usage),
            memory_used_bytes: system.map_or(0, System::used_memory),
            memory_total_bytes: system.map_or(0, System::total_memory),
            process_bytes: machine::rss_bytes(),
            process_peak_bytes: machine::peak_rss_bytes(),
            disk_free_bytes: machine::disk_free_bytes(folder),
        };
        let mut line = serde_json::to_string(&sample).expect("samples are JSON");
        line.push('\n');
        // Samples are a courtesy: a full disk is the event log's to report.
        let _ = file.write_all(line.as_bytes());
    }
}

/// What the wall clock counted beyond the monotonic one, where that is too much for a clock
/// adjustment.
fn slept(monotonic: Duration, wall: Duration) -> Duration {
    let gap = wall.saturating_sub(monotonic);
    if gap >= SLEEP_MIN { gap } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_gap_is_sleep() {
        let check = |monotonic, wall, expected| {
            let seconds = Duration::from_secs;
            assert_eq!(slept(seconds(monotonic), seconds(wall)), seconds(expected));
        };
        check(1, 1, 0);
        check(1, 3, 0);
        check(1, 0, 0);
        check(1, 3601, 3600);
    }
}
