//! Lines of the log there and back, what a resume takes back, and the states that follow.

use apertis_domain::event::*;
use apertis_domain::history::{decisions, standing};
use apertis_domain::{Command, Event, EventKind, FailureCode, LockFacts, LogState};
use serde_json::{Value, json};

fn event(seq: u64, step: u64, kind: impl Into<EventKind>) -> Event {
    Event {
        v: EVENT_VERSION,
        seq,
        attempt: 1,
        step,
        at: "2026-01-02T03:04:05.678Z".to_owned(),
        elapsed_ms: seq * 10,
        kind: kind.into(),
        extra: Default::default(),
    }
}

fn events(kinds: Vec<(u64, EventKind)>) -> Vec<Event> {
    let numbered = kinds.into_iter().enumerate();
    numbered.map(|(seq, (step, kind))| event(seq as u64, step, kind)).collect()
}

#[test]
fn a_line_has_the_fixed_shape() {
    let step = StepFinished { loss: 2.5, tokens: 10, ..Default::default() };
    let line: Value = serde_json::from_str(&event(7, 3, step).to_line()).unwrap();
    let names: Vec<_> = line.as_object().unwrap().keys().take(7).cloned().collect();
    assert_eq!(names, ["v", "seq", "attempt", "step", "at", "elapsed_ms", "kind"]);
    assert_eq!((&line["kind"], &line["loss"]), (&json!("step_finished"), &json!(2.5)));
}

#[test]
fn every_kind_reads_back_with_its_defaults() {
    for name in EventKind::NAMES {
        let line = json!({"v": 1, "seq": 1, "attempt": 1, "step": 0, "at": "x", "elapsed_ms": 0, "kind": name});
        let read = Event::from_line(&line.to_string()).unwrap();
        assert_eq!(read.kind.name(), *name);
        assert!(!matches!(read.kind, EventKind::Other { .. }), "{name} reads without fields");
        assert_eq!(Event::from_line(&read.to_line()).unwrap(), read);
    }
}

#[test]
fn what_another_version_wrote_is_kept() {
    let check = |extra: Value| {
        let mut line = json!({"v": 9, "seq": 1, "attempt": 2, "step": 3, "at": "x", "elapsed_ms": 4});
        line.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let read = Event::from_line(&line.to_string()).unwrap();
        let written: Value = serde_json::from_str(&read.to_line()).unwrap();
        for (name, value) in line.as_object().unwrap() {
            assert_eq!(&written[name], value, "{name}");
        }
        read
    };
    let unknown = check(json!({"kind": "coffee_made", "cups": [1, {"a": null}]}));
    assert!(matches!(unknown.kind, EventKind::Other { .. }));
    let more = check(json!({"kind": "step_finished", "loss": 1.5, "novelty": {"x": 1}}));
    assert!(matches!(more.kind, EventKind::StepFinished(_)));
    assert_eq!(more.extra["novelty"]["x"], 1);
    let changed = check(json!({"kind": "step_finished", "loss": {"mean": 1.5}}));
    assert!(matches!(changed.kind, EventKind::Other { .. }));
}

#[test]
fn a_loss_that_is_no_number_survives() {
    let step = StepFinished { loss: f64::NAN, grad_norm: f64::INFINITY, ..Default::default() };
    let read = Event::from_line(&event(0, 1, step).to_line()).unwrap();
    let EventKind::StepFinished(step) = read.kind else { panic!("{:?}", read.kind) };
    assert!(step.loss.is_nan() && step.grad_norm.is_nan());
}

#[test]
fn lines_that_are_no_events_are_errors() {
    for line in ["", "{}", "[1]", "{\"v\":1", "{\"v\":\"x\",\"seq\":1}", "null"] {
        assert!(Event::from_line(line).is_err(), "{line:?}");
    }
}

#[test]
fn a_resume_takes_back_later_points_only() {
    let step = || EventKind::from(StepFinished::default());
    let resumed = |from_step| EventKind::from(RunResumed { from_step, ..Default::default() });
    let check = |kinds: Vec<(u64, EventKind)>, expected: &str| {
        let marks: String = standing(&events(kinds)).iter().map(|stands| if *stands { '+' } else { '-' }).collect();
        assert_eq!(marks, expected);
    };
    check(vec![(1, step()), (2, step()), (3, step()), (2, resumed(2)), (3, step())], "++-++");
    // A second resume further back also takes back what came after the first.
    check(vec![(1, step()), (2, step()), (1, resumed(1)), (2, step()), (0, resumed(0)), (1, step())], "--+-++");
    // A run that never saved starts over; what it says again replaces what it said.
    let sample = |index| EventKind::from(Sampled { index, ..Default::default() });
    check(
        vec![
            (0, Evaluated::default().into()),
            (0, sample(0)),
            (0, sample(1)),
            (1, step()),
            (0, resumed(0)),
            (0, Evaluated::default().into()),
            (0, sample(1)),
        ],
        "-+--+++",
    );
    // A rewind takes back evaluations, samples and checkpoints, but no decision.
    check(
        vec![
            (5, Evaluated::default().into()),
            (5, CheckpointSaved::default().into()),
            (6, Sampled::default().into()),
            (6, LearningRateChanged::default().into()),
            (5, RunRewound { to_step: 5, ..Default::default() }.into()),
            (5, BatchSkipped::default().into()),
        ],
        "++-+++",
    );
}

#[test]
fn decisions_are_what_a_resume_repeats() {
    let log = events(vec![
        (1, StepFinished::default().into()),
        (2, LearningRateChanged { from: 1.0, to: 2.0 }.into()),
        (2, EvalStepsChanged { from: 10, to: 5 }.into()),
        (2, EvaluationAsked::default().into()),
        (3, MicroBatchHalved::default().into()),
        (3, RunFinished::default().into()),
    ]);
    let seqs: Vec<_> = decisions(&log).iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}

#[test]
fn states_follow_from_log_and_lock() {
    let held = LockFacts { is_held: true, ..Default::default() };
    let free = LockFacts::default();
    let silent = LockFacts { is_held: true, silent_ms: 30_001, ..Default::default() };
    let elsewhere = LockFacts { other_host: Some("box".to_owned()), ..Default::default() };
    let gone = LockFacts { other_host: Some("box".to_owned()), silent_ms: 30_001, ..Default::default() };
    let check = |kinds: &[EventKind], lock: &LockFacts, expected: &str| {
        let log = events(kinds.iter().map(|kind| (1, kind.clone())).collect());
        assert_eq!(LogState::of(&log).with(lock).to_string(), expected, "{kinds:?}");
    };
    let started = EventKind::from(RunStarted::default());
    let step = EventKind::from(StepFinished::default());
    let phase = |phase: &str| EventKind::from(PhaseEntered { phase: phase.to_owned() });
    let paused = EventKind::from(RunPaused { reason: "disk_full".to_owned() });
    let finished = EventKind::from(RunFinished { reason: "early_stop".to_owned(), ..Default::default() });
    let failed = EventKind::from(RunFailed { code: "memory_plan".to_owned(), ..Default::default() });
    let stopped = EventKind::from(RunStopped::default());
    let stopping = EventKind::from(RunStopping::default());
    let resumed = EventKind::from(RunResumed::default());

    check(&[], &free, "queued");
    check(&[RunQueued::default().into()], &held, "queued");
    check(std::slice::from_ref(&started), &held, "preparing");
    check(&[started.clone(), step.clone()], &held, "training");
    check(&[started.clone(), phase("evaluating")], &held, "evaluating");
    check(&[started.clone(), phase("saving")], &held, "saving");
    check(&[step.clone(), paused.clone()], &held, "paused (disk full)");
    check(&[phase("saving"), paused.clone(), RunUnpaused::default().into()], &held, "saving");
    check(&[step.clone(), stopping.clone(), step.clone()], &held, "stopping");
    check(&[step.clone(), finished.clone()], &free, "finished (early stop)");
    check(&[step.clone(), finished.clone()], &silent, "finished (early stop)");
    check(&[step.clone(), stopped], &free, "stopped");
    check(&[step.clone(), failed], &free, "failed (memory plan)");
    check(std::slice::from_ref(&step), &free, "interrupted");
    check(std::slice::from_ref(&step), &silent, "not answering");
    check(&[step.clone(), paused], &silent, "paused (disk full)");
    check(std::slice::from_ref(&step), &elsewhere, "elsewhere (on box)");
    check(std::slice::from_ref(&step), &gone, "interrupted");
    check(&[finished, resumed], &held, "preparing");
}

#[test]
fn commands_read_as_they_are_written() {
    for text in [
        r#"{"action":"pause"}"#,
        r#"{"action":"stop"}"#,
        r#"{"action":"stop","now":true}"#,
        r#"{"action":"set_learning_rate","learning_rate":0.0001}"#,
        r#"{"action":"extend","max_steps":10}"#,
    ] {
        let command: Command = serde_json::from_str(text).unwrap();
        let again: Command = serde_json::from_str(&serde_json::to_string(&command).unwrap()).unwrap();
        assert_eq!(command, again);
        assert!(text.contains(command.action.name()));
    }
}

#[test]
fn every_failure_says_what_to_do() {
    for code in FailureCode::ALL {
        assert_eq!(FailureCode::from_code(code.code()), Some(*code));
        assert!(code.message().ends_with('.') && code.hint().ends_with('.'), "{code}");
    }
}
