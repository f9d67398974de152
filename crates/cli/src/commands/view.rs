//! Follows a run on the terminal: a bar where somebody watches, plain lines elsewhere.

use std::process::Child;
use std::time::{Duration, Instant};

use apertis_domain::{Action, Event, EventKind, RunState};
use apertis_runs::watch::{Kept, Watcher};
use apertis_runs::{RunFolder, RunRecord};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::worker::VERSION;
use crate::failure::Failure;
use crate::interrupts;
use crate::printer::Printer;

/// The log is looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// A step is printed at most this often where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// How following ended.
pub(crate) enum Ending {
    /// The run goes on without us.
    Left,
    /// The run came to rest.
    Reached(Box<RunRecord>, RunState),
}

type Restart<'a> = &'a dyn Fn(&RunFolder) -> Result<Child, String>;

/// Follows until the run comes to rest, showing what attempts after `attempts_known` do. Ctrl-C
/// asks it to save and stop, twice: at once.
pub(crate) fn follow(
    folder: &RunFolder,
    attempts_known: u32,
    mut worker: Option<Child>,
    restart: Restart<'_>,
    printer: &Printer,
) -> Result<Ending, Failure> {
    interrupts::watch();
    let mut watcher = Watcher::new(folder);
    let mut lines = Lines::new(printer);
    let mut asked = 0;
    let owns_worker = worker.is_some();
    loop {
        let worker_ended = match &mut worker {
            Some(child) => child.try_wait().map_err(|error| Failure::new(format!("worker: {error}")))?.is_some(),
            None => false,
        };
        let (events, state) = watcher.look()?;
        for event in events.iter().filter(|event| event.attempt > attempts_known) {
            lines.show(event, watcher.record());
        }
        let is_at_rest = matches!(state, RunState::Finished { .. } | RunState::Stopped | RunState::Failed { .. });
        if is_at_rest && (worker_ended || !owns_worker) {
            lines.end();
            // What was there before is at rest; the worker of this command may not have begun.
            if let (true, Some(message)) = (worker_ended && !matches!(state, RunState::Failed { .. }), last_error(folder)) {
                return Err(Failure::new(message));
            }
            return Ok(Ending::Reached(Box::new(watcher.record().clone()), state));
        }
        if worker_ended && state == RunState::Interrupted {
            let start = |folder: &RunFolder| {
                restart(folder).map_err(|message| apertis_runs::RunsError::Damaged { path: folder.path().to_path_buf(), message })
            };
            match watcher.keep_alive(&state, VERSION, start)? {
                Kept::Restarted(cause, child) => {
                    lines.note(&format!("the worker is gone ({}); going on from the last checkpoint", cause.name()));
                    worker = Some(child);
                }
                Kept::GivenUp(_) | Kept::Nothing => worker = None,
            }
        } else if worker_ended && !is_at_rest && state == RunState::Queued {
            lines.end();
            return Err(Failure::new(last_error(folder).unwrap_or_else(|| "the worker ended before it began".to_owned())));
        }
        let interrupts = interrupts::count();
        if interrupts > asked {
            asked = interrupts;
            if !owns_worker {
                lines.end();
                return Ok(Ending::Left);
            }
            let now = interrupts > 1;
            apertis_runs::control::ask(folder, &Action::Stop { now })?;
            lines.note(if now { "stopping at once" } else { "saving and stopping; press Ctrl-C again to stop at once" });
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// What the last worker said it ended with.
fn last_error(folder: &RunFolder) -> Option<String> {
    let log = std::fs::read_to_string(folder.worker_log()).unwrap_or_default();
    let attempt = log.lines().rev().take_while(|line| !line.starts_with("── attempt"));
    attempt.into_iter().find_map(|line| line.strip_prefix("error: ")).map(str::to_owned)
}

struct Lines<'a> {
    printer: &'a Printer,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

impl<'a> Lines<'a> {
    fn new(printer: &'a Printer) -> Lines<'a> {
        let bar = printer.has_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{bar:28} {pos}/{len} {msg}") {
                bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            }
            bar
        });
        Lines { printer, bar, last_line: None }
    }

    fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.printer.note(text)),
            None => self.printer.note(text),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self, event: &Event, record: &RunRecord) {
        match &event.kind {
            EventKind::RunQueued(queued) => self.note(&format!("waiting for {}: {} before this run", queued.device, queued.position)),
            EventKind::DataChecked(data) => {
                self.note(&format!(
                    "data: {} rows ({}), {} to train, {} held out",
                    data.rows, data.format, data.train_rows, data.eval_rows
                ));
                for (reason, count) in &data.dropped {
                    self.note(&format!("  {} rows left out: {reason}; first: {}", count.count, count.example));
                }
                for (reason, count) in &data.changed {
                    self.note(&format!("  {} rows: {reason}; first: {}", count.count, count.example));
                }
            }
            EventKind::PlanMade(plan) => self.note(&format!(
                "plan: {} steps ({:.1} epochs), {} of {} parameters trained, memory {} of {}, {} on {} with {} threads",
                plan.total_steps,
                plan.epochs,
                count(plan.trainable_parameters),
                count(plan.parameters),
                gigabytes(plan.memory_bytes),
                gigabytes(plan.memory_limit_bytes),
                plan.precision,
                plan.instruction_set,
                plan.threads
            )),
            EventKind::StepFinished(step) => self.step(event.step, step, record),
            EventKind::Evaluated(evaluated) => self.note(&format!(
                "step {}: held-out loss {:.4}{}, accuracy {:.1}%{}",
                event.step,
                evaluated.loss,
                // One text has no spread.
                match evaluated.rows > 1 {
                    true => format!(" ({:.4}–{:.4})", evaluated.loss_low, evaluated.loss_high),
                    false => String::new(),
                },
                100.0 * evaluated.accuracy,
                if evaluated.best { " · best so far" } else { "" }
            )),
            EventKind::RunRewound(rewound) => {
                self.note(&format!("step {}: {}; back to step {}", event.step, rewound.reason, rewound.to_step))
            }
            EventKind::BatchSkipped(skipped) => {
                self.note(&format!("batch {} is left out from here on ({} rows)", skipped.batch_step, skipped.rows.len()))
            }
            EventKind::ScheduleReplanned(replanned) => {
                self.note(&format!("planned again ({}): {} steps", replanned.reason, replanned.total_steps))
            }
            EventKind::RunResumed(resumed) => self.note(&format!("going on from step {}", resumed.from_step)),
            EventKind::MicroBatchHalved(halved) => {
                self.note(&format!("memory ran out: micro-batch {} instead of {} tokens", halved.to_tokens, halved.from_tokens))
            }
            EventKind::CommandAnswered(answer) if !answer.accepted => {
                self.note(&format!("not done: {}: {}", answer.command, answer.message))
            }
            EventKind::RunPaused(paused) => self.note(&format!("paused ({})", paused.reason)),
            EventKind::RunStopping(stopping) => self.note(&format!("ending: {}", stopping.reason)),
            EventKind::MemoryMeasured(measured) => {
                self.note(&format!("memory: {} at most, {} planned", gigabytes(measured.peak_rss_bytes), gigabytes(measured.planned_bytes)))
            }
            _ => {}
        }
    }

    fn step(&mut self, number: u64, step: &apertis_domain::event::StepFinished, record: &RunRecord) {
        let left = record.seconds_left().map_or(String::new(), |seconds| format!(", {} left", duration(seconds)));
        let text = format!("loss {:.4}, {:.0} tokens/s{left}", step.loss, record.tokens_per_second());
        match &self.bar {
            Some(bar) => {
                bar.set_length(record.total_steps.max(1));
                bar.set_position(number);
                bar.set_message(text);
            }
            None => {
                let is_due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL) || number == record.total_steps;
                if is_due {
                    self.last_line = Some(Instant::now());
                    self.printer.note(format!("step {number}/{}: {text}", record.total_steps));
                }
            }
        }
    }
}

pub(crate) fn gigabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..100_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

pub(crate) fn count(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{:.1} K", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{:.1} B", number as f64 / 1e9),
    }
}

pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}
