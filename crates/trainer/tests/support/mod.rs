//! A run without a run's folder: events in a list, checkpoints in a temporary folder, and a clock
//! that only steps and evaluations move.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use apertis_domain::event::{CheckpointSaved, EVENT_VERSION};
use apertis_domain::seam::Clock;
use apertis_domain::{
    Action, CheckpointMark, CheckpointRef, CheckpointStore, Command, Control, Event, EventKind, EventSink, Recipe, SinkError,
};
use apertis_trainer::{Outcome, Seams, Surroundings, TrainError, TrainRequest};

/// What each step takes by the test's clock.
pub(crate) const STEP_MS: u64 = 100;
/// What each evaluation takes by the test's clock.
pub(crate) const EVALUATION_MS: u64 = 300;

/// A run that tests begin, stop and go on with.
pub(crate) struct Rig {
    folder: tempfile::TempDir,
    time: Rc<Cell<u64>>,
    /// Everything that was emitted, over all attempts.
    pub(crate) events: Vec<Event>,
    checkpoints: Vec<u64>,
}

impl Rig {
    pub(crate) fn new() -> Rig {
        Rig { folder: tempfile::tempdir().expect("a folder"), time: Rc::new(Cell::new(0)), events: Vec::new(), checkpoints: Vec::new() }
    }

    /// A tiny model from scratch over a text of its own, with further settings.
    pub(crate) fn recipe(&self, more: &[&str]) -> Recipe {
        let data = self.folder.path().join("book.txt");
        let lines = (0..400).map(|n| format!("Line {n}: the boat leaves at {} and comes back at {}.\n", n % 12, (n * 5) % 12));
        std::fs::write(&data, lines.collect::<String>()).expect("room");
        let data = format!("data={}", data.display());
        let tiny = ["method=scratch", &data, "tokenizer=char", "model.layers=1", "model.heads=2", "model.width=16", "model.context=16"];
        let rest = ["max_length=16", "batch_size=2", "threads=1", "patience=0", "sample_tokens=0", "eval_fraction=0.02"];
        let words: Vec<&str> = tiny.iter().chain(&rest).chain(more).copied().collect();
        Recipe::from_sources(None, &words).expect("a recipe").0
    }

    /// Trains until the end, or until it is asked to save and stop after `stop_step`.
    pub(crate) fn train(&mut self, recipe: &Recipe, stop_step: Option<u64>) -> Result<Outcome, TrainError> {
        let surroundings = Surroundings {
            model_folder: None,
            adapter_folder: None,
            cache_folder: self.folder.path().join("cache"),
            cores: 1,
            memory_limit_bytes: u64::MAX,
        };
        let machine = apertis_trainer::machine(recipe, 1)?;
        let decisions: Vec<Event> = self.events.iter().filter(|event| apertis_domain::history::is_decision(&event.kind)).cloned().collect();
        let mut sink = Sink { time: Rc::clone(&self.time), events: std::mem::take(&mut self.events) };
        let mut store = Store { root: self.folder.path().join("checkpoints"), steps: std::mem::take(&mut self.checkpoints) };
        let request = TrainRequest {
            recipe,
            surroundings: &surroundings,
            resume: store.last().map(|checkpoint| checkpoint.folder),
            decisions: &decisions,
            extends: false,
            fixed_plan: None,
            heartbeat: &mut || {},
            on_plan: &mut |_| Ok(()),
        };
        let seams = Seams {
            sink: &mut sink,
            control: &mut StopAfter(stop_step),
            checkpoints: &mut store,
            clock: &Hand(Rc::clone(&self.time)),
            peak_memory_bytes: &|| 0,
        };
        let outcome = apertis_trainer::train(request, &machine, seams);
        (self.events, self.checkpoints) = (sink.events, store.steps);
        outcome
    }

    /// Steps of the evaluations after the first step.
    pub(crate) fn evaluated(&self) -> Vec<u64> {
        self.events.iter().filter(|event| event.step > 0 && matches!(event.kind, EventKind::Evaluated(_))).map(|event| event.step).collect()
    }

    /// Losses of all steps, to be compared to the bit.
    pub(crate) fn losses(&self) -> Vec<u64> {
        let losses = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::StepFinished(step) => Some(step.loss.to_bits()),
            _ => None,
        });
        losses.collect()
    }

    /// Working time so far.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.time.get()
    }

    /// The newest checkpoint.
    pub(crate) fn last(&self) -> PathBuf {
        step_folder(&self.folder.path().join("checkpoints"), *self.checkpoints.last().expect("it saved"))
    }
}

struct Hand(Rc<Cell<u64>>);

impl Clock for Hand {
    fn elapsed_ms(&self) -> u64 {
        self.0.get()
    }
}

struct Sink {
    time: Rc<Cell<u64>>,
    events: Vec<Event>,
}

impl EventSink for Sink {
    fn emit(&mut self, step: u64, kind: EventKind) -> Result<(), SinkError> {
        self.time.set(
            self.time.get()
                + match kind {
                    EventKind::StepFinished(_) => STEP_MS,
                    EventKind::Evaluated(_) => EVALUATION_MS,
                    _ => 0,
                },
        );
        let seq = self.events.len() as u64;
        let (at, extra) = (String::new(), serde_json::Map::new());
        self.events.push(Event { v: EVENT_VERSION, seq, attempt: 1, step, at, elapsed_ms: self.time.get(), kind, extra });
        Ok(())
    }
}

struct StopAfter(Option<u64>);

impl Control for StopAfter {
    fn poll(&mut self, step: u64) -> Vec<Command> {
        match self.0 {
            Some(last) if step >= last => vec![Command { id: "stop".to_owned(), action: Action::Stop { now: false } }],
            _ => Vec::new(),
        }
    }
}

struct Store {
    root: PathBuf,
    steps: Vec<u64>,
}

fn step_folder(root: &Path, step: u64) -> PathBuf {
    root.join(format!("step-{step}"))
}

impl Store {
    fn reference(&self, step: Option<&u64>) -> Option<CheckpointRef> {
        step.map(|step| CheckpointRef { step: *step, folder: step_folder(&self.root, *step) })
    }
}

impl CheckpointStore for Store {
    fn begin(&mut self, step: u64) -> Result<PathBuf, SinkError> {
        let folder = step_folder(&self.root, step);
        std::fs::create_dir_all(&folder).expect("room");
        Ok(folder)
    }

    fn commit(&mut self, step: u64, mark: CheckpointMark) -> Result<CheckpointSaved, SinkError> {
        self.steps.push(step);
        Ok(CheckpointSaved { best: mark.is_best, last: mark.is_last, ..CheckpointSaved::default() })
    }

    fn discard(&mut self, _: u64) {}

    fn best(&self) -> Option<CheckpointRef> {
        self.last()
    }

    fn last(&self) -> Option<CheckpointRef> {
        self.reference(self.steps.last())
    }

    fn mark_best(&mut self, _: u64) -> Result<(), SinkError> {
        Ok(())
    }
}
