//! A trainer that trains nothing, for tests of what surrounds a trainer: its "weights" are a
//! hash chain over its steps, so that any step lost, repeated or out of order shows at the end.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use apertis_domain::event::*;
use apertis_domain::{Action, CheckpointMark, CheckpointStore, Control, EventSink, Recipe};
use apertis_runs::{Home, OpenOptions, Opened, RunFolder, WorkerSession, worker};

pub const STEPS: u64 = 120;
pub const EVAL_EVERY: u64 = 10;
pub const SAVE_EVERY: u64 = 15;

/// A home in a temporary folder.
pub fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder.path()).unwrap();
    (folder, home)
}

pub fn recipe(name: &str) -> Recipe {
    Recipe { name: name.to_owned(), model: "base".to_owned(), data: "rows.jsonl".to_owned(), ..Recipe::default() }
}

pub fn options() -> OpenOptions {
    OpenOptions { version: "0.1.0".to_owned(), ..OpenOptions::default() }
}

pub fn session(folder: &RunFolder, options: &OpenOptions) -> WorkerSession {
    match worker::open(folder, options).unwrap() {
        Opened::Session(session) => *session,
        Opened::Finished(_) => panic!("the run has finished"),
    }
}

/// The run folder that a child process got as its last argument.
pub fn folder_of_child() -> Option<RunFolder> {
    let last = PathBuf::from(std::env::args_os().next_back()?);
    RunFolder::open(&last).ok()
}

/// Trains to the end, or until asked to stop; each step takes `pace`.
pub fn train(folder: &RunFolder, options: &OpenOptions, pace: Duration) {
    let Opened::Session(mut session) = worker::open(folder, options).unwrap() else {
        return;
    };
    let (mut step, mut weights) = match session.resume_from() {
        Some(checkpoint) => (checkpoint.step, fs::read(checkpoint.folder.join("weights")).unwrap()),
        None => (0, vec![0; 32]),
    };
    if step == 0 {
        session.events.emit(0, plan().into()).unwrap();
        session.events.emit(0, evaluated(0).into()).unwrap();
    }
    while step < STEPS {
        std::thread::sleep(pace);
        step += 1;
        weights = next_weights(&weights, step);
        session.events.emit(step, finished_step(step).into()).unwrap();
        if step.is_multiple_of(EVAL_EVERY) {
            session.events.emit(step, evaluated(step).into()).unwrap();
        }
        let commands = session.control.poll(step);
        let is_stopped = commands.iter().any(|command| matches!(command.action, Action::Stop { .. }));
        if step.is_multiple_of(SAVE_EVERY) || is_stopped || step == STEPS {
            save(&mut session, step, &weights);
        }
        for command in commands {
            let answer =
                CommandAnswered { id: command.id, command: command.action.name().to_owned(), accepted: true, message: "done".to_owned() };
            session.events.emit(step, answer.into()).unwrap();
        }
        if is_stopped {
            let stopped = RunStopped { reason: "asked".to_owned(), steps: step, saved_step: step };
            session.end(step, stopped).unwrap();
            return;
        }
    }
    let finished = RunFinished { reason: "completed".to_owned(), steps: step, ..RunFinished::default() };
    session.end(step, finished).unwrap();
}

fn save(session: &mut WorkerSession, step: u64, weights: &[u8]) {
    let folder = session.checkpoints.begin(step).unwrap();
    fs::write(folder.join("weights"), weights).unwrap();
    // Large enough that a kill can fall between its first and last byte.
    fs::write(folder.join("optimizer"), vec![7; 1 << 20]).unwrap();
    let mark = CheckpointMark { is_best: step <= 60, is_last: true };
    let saved = session.checkpoints.commit(step, mark).unwrap();
    session.events.emit(step, saved.into()).unwrap();
}

fn next_weights(weights: &[u8], step: u64) -> Vec<u8> {
    let mut input = weights.to_vec();
    input.extend(step.to_le_bytes());
    blake3::hash(&input).as_bytes().to_vec()
}

/// The weights of an undisturbed run.
pub fn final_weights() -> Vec<u8> {
    (1..=STEPS).fold(vec![0; 32], |weights, step| next_weights(&weights, step))
}

pub fn plan() -> PlanMade {
    PlanMade { total_steps: STEPS, micro_batch_tokens: 1024, ..PlanMade::default() }
}

pub fn finished_step(step: u64) -> StepFinished {
    StepFinished {
        loss: 1.0 + 2.0 / step as f64,
        learning_rate: 1e-4,
        grad_norm: 0.5,
        tokens: 100,
        target_tokens: 40,
        rows: 8,
        epoch: step as f64 / 40.0,
        tokens_per_second: 1000.0,
        step_ms: 100.0,
    }
}

pub fn evaluated(step: u64) -> Evaluated {
    Evaluated {
        loss: 1.5 + (step as f64 - 60.0).powi(2) / 3600.0,
        accuracy: 0.5,
        rows: 10,
        tokens: 400,
        best: step == 60,
        ..Evaluated::default()
    }
}
