//! A worker process killed at random moments, again and again: nothing may be lost, repeated or
//! torn, and no run may start over when it had a checkpoint.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use apertis_domain::history::standing_events;
use apertis_domain::{Action, EventKind, RunState};
use apertis_runs::lock::lock_facts;
use apertis_runs::log::read_log;
use apertis_runs::spawn::spawn_worker;
use apertis_runs::watch::{Kept, Watcher};
use apertis_runs::{OpenOptions, Opened, RunFolder, RunRecord, RunsError, worker};
use support::*;

/// What the child processes of these tests run; does nothing in the test run itself.
#[test]
fn child_that_trains() {
    if let Some(folder) = folder_of_child() {
        let is_automatic = std::env::args().any(|argument| argument == "--include-ignored");
        let options = OpenOptions { is_automatic, ..options() };
        train(&folder, &options, Duration::from_millis(4));
    }
}

fn start(folder: &RunFolder, extra: &[&str]) -> Result<std::process::Child, RunsError> {
    let program = std::env::current_exe().unwrap();
    let arguments = [&["--exact", "child_that_trains"], extra].concat();
    spawn_worker(&program, &arguments, folder)
}

fn wait_for(folder: &RunFolder, what: impl Fn(&RunRecord) -> bool) -> RunRecord {
    let began = Instant::now();
    loop {
        let record = RunRecord::read(&folder.events()).unwrap();
        if what(&record) {
            return record;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{record:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_run_killed_at_random_moments_is_equal_to_an_undisturbed_one() {
    // `APERTIS_KILLS=200` makes a storm of it.
    let kills = std::env::var("APERTIS_KILLS").map_or(12, |text| text.parse().unwrap());
    let (_guard, home) = home();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut killed = 0;
    let mut runs = 0;
    while killed < kills {
        runs += 1;
        let folder = RunFolder::create(&home, &recipe("")).unwrap();
        while !RunRecord::read(&folder.events()).unwrap().state.has_finished() {
            let saved = saved_step(&folder);
            let began_at = RunRecord::read(&folder.events()).unwrap().seq;
            let mut child = start(&folder, &[]).unwrap();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            std::thread::sleep(Duration::from_millis(random % 300));
            if killed < kills {
                child.kill().unwrap();
                killed += 1;
            }
            child.wait().unwrap();
            assert!(!lock_facts(&folder).is_held, "the lock goes with its holder");
            check_resumed_from(&folder, began_at, saved);
        }
        check_equal_to_undisturbed(&folder);
    }
    assert!(killed >= kills && runs >= 1);
}

/// The step of the checkpoint that a start would go on from.
fn saved_step(folder: &RunFolder) -> u64 {
    let index = apertis_runs::checkpoints::CheckpointIndex::read(folder).unwrap();
    index.last.unwrap_or(0)
}

fn check_resumed_from(folder: &RunFolder, began_at: Option<u64>, saved: u64) {
    let events = read_log(&folder.events()).unwrap();
    let resumed = events.iter().find_map(|event| match &event.kind {
        EventKind::RunResumed(resumed) if Some(event.seq) > began_at => Some(resumed.from_step),
        _ => None,
    });
    if let Some(from_step) = resumed {
        assert_eq!(from_step, saved);
    }
}

fn check_equal_to_undisturbed(folder: &RunFolder) {
    assert_eq!(fs::read(folder.last().join("weights")).unwrap(), final_weights());
    let events = read_log(&folder.events()).unwrap();
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (0..events.len() as u64).collect::<Vec<_>>(), "no number lost or repeated");
    assert!(events.is_sorted_by_key(|event| event.attempt));
    let steps: Vec<(u64, f64)> = standing_events(&events)
        .into_iter()
        .filter_map(|event| match &event.kind {
            EventKind::StepFinished(step) => Some((event.step, step.loss)),
            _ => None,
        })
        .collect();
    let expected: Vec<_> = (1..=STEPS).map(|step| (step, finished_step(step).loss)).collect();
    assert_eq!(steps, expected);
    let record = RunRecord::of(&events);
    let recorded: Vec<_> = record.steps.iter().map(|p| (p.step, p.value.loss)).collect();
    assert_eq!(recorded, expected, "the record stands for what stands");
    assert_eq!(record.tokens(), STEPS * 100);
    let evaluated: Vec<_> = record.evaluations.iter().map(|point| point.step).collect();
    let expected: Vec<_> = (0..=STEPS / EVAL_EVERY).map(|count| count * EVAL_EVERY).collect();
    assert_eq!(evaluated, expected, "each evaluation stands once");
    let leftovers: Vec<_> = fs::read_dir(folder.checkpoints())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    // A kill after the last word leaves these; whoever opens the run next removes them.
    assert!(matches!(worker::open(folder, &options()).unwrap(), Opened::Finished(_)));
    assert!(!folder.worker_pid().exists() && !folder.path().join("reserve").exists());
    for file in [folder.results_csv(), folder.results_png(), folder.report()] {
        assert!(fs::metadata(&file).unwrap().len() > 0, "{}", file.display());
    }
}

#[test]
fn one_run_has_one_worker() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("only")).unwrap();
    let mut child = start(&folder, &[]).unwrap();
    wait_for(&folder, |record| record.step() > 0);
    let facts = lock_facts(&folder);
    assert!(facts.is_held && facts.other_host.is_none());
    let pid = fs::read_to_string(folder.worker_pid()).unwrap();
    assert_eq!(pid.trim().parse(), Ok(child.id()));
    match worker::open(&folder, &options()) {
        Err(RunsError::AlreadyRunning { holder, .. }) => {
            assert!(holder.contains(&child.id().to_string()), "{holder}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two workers on one run"),
    }
    child.wait().unwrap();
    let record = wait_for(&folder, |record| record.state.has_finished());
    assert_eq!((record.step(), record.attempt), (STEPS, 1));

    // A finished run is not changed by starting it again.
    let before = fs::read(folder.events()).unwrap();
    start(&folder, &[]).unwrap().wait().unwrap();
    assert_eq!(fs::read(folder.events()).unwrap(), before);
}

#[test]
fn a_run_stops_when_asked_and_goes_on_when_resumed() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("asked")).unwrap();
    let mut child = start(&folder, &[]).unwrap();
    wait_for(&folder, |record| record.step() > 3);
    let id = apertis_runs::control::ask(&folder, &Action::Stop { now: false }).unwrap();
    child.wait().unwrap();
    let record = RunRecord::read(&folder.events()).unwrap();
    assert_eq!(record.state.with(&lock_facts(&folder)), RunState::Stopped);
    assert!(record.step() < STEPS);
    let events = read_log(&folder.events()).unwrap();
    assert!(events.iter().any(|event| matches!(
        &event.kind,
        EventKind::CommandAnswered(answer) if answer.id == id && answer.accepted
    )));
    start(&folder, &[]).unwrap().wait().unwrap();
    check_equal_to_undisturbed(&folder);
}

#[test]
fn a_worker_told_to_terminate_is_asked_to_stop() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("terminated")).unwrap();
    let mut child = start(&folder, &[]).unwrap();
    wait_for(&folder, |record| record.step() > 3);
    let killed = std::process::Command::new("kill").arg(child.id().to_string()).status();
    assert!(killed.unwrap().success());
    assert!(child.wait().unwrap().success(), "it ends by itself");
    let record = RunRecord::read(&folder.events()).unwrap();
    assert_eq!(record.state.with(&lock_facts(&folder)), RunState::Stopped);
}

#[test]
fn a_watcher_starts_a_killed_worker_again_three_times() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("watched")).unwrap();
    let mut watcher = Watcher::new(&folder);
    // Kills within the first steps, before any checkpoint.
    let kill_early = |mut child: std::process::Child| {
        let attempt = RunRecord::read(&folder.events()).unwrap().attempt;
        wait_for(&folder, |record| record.attempt > attempt);
        child.kill().unwrap();
        child.wait().unwrap();
    };
    kill_early(start(&folder, &[]).unwrap());
    for automatic in 1..=3 {
        let (_, state) = watcher.look().unwrap();
        assert_eq!(state, RunState::Interrupted);
        let start = |folder: &RunFolder| start(folder, &["--include-ignored"]);
        match watcher.keep_alive(&state, "0.1.0", start).unwrap() {
            Kept::Restarted(_, child) => kill_early(child),
            other => panic!("attempt {automatic}: {other:?}"),
        }
    }
    let (_, state) = watcher.look().unwrap();
    let kept = watcher.keep_alive(&state, "0.1.0", |_| panic!("three times are enough")).unwrap();
    assert!(matches!(kept, Kept::GivenUp(code) if code.code() == "worker_killed"), "{kept:?}");
    let (_, state) = watcher.look().unwrap();
    assert_eq!(state.to_string(), "failed (worker killed)");

    // A person may still resume it.
    start(&folder, &[]).unwrap().wait().unwrap();
    check_equal_to_undisturbed(&folder);
}
