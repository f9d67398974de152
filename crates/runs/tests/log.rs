//! The log on disk: torn lines, full disks, followers, and logs of every version so far.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apertis_domain::history::standing_events;
use apertis_domain::{Event, EventKind, EventSink};
use apertis_runs::clock::WorkingClock;
use apertis_runs::log::{LogFollower, LogStorage, LogWriter, last_event, read_log};
use apertis_runs::{Home, RunFolder, RunRecord};
use support::*;

#[test]
fn a_torn_last_line_is_cut_and_said() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("torn")).unwrap();
    let mut first = session(&folder, &options());
    first.events.emit(1, finished_step(1).into()).unwrap();
    drop(first);
    let whole = fs::read(folder.events()).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(folder.events()).unwrap();
    file.write_all(b"{\"v\":1,\"seq\":2,\"att").unwrap();

    let second = session(&folder, &options());
    let text = fs::read(folder.events()).unwrap();
    assert_eq!(text[..whole.len()], whole, "whole lines stay as they were");
    let events = read_log(&folder.events()).unwrap();
    let repaired = events.iter().find_map(|event| match &event.kind {
        EventKind::LogRepaired(repaired) => Some((event.seq, repaired.cut_bytes)),
        _ => None,
    });
    assert_eq!(repaired, Some((3, 19)), "after run_started, a step and run_resumed");
    assert_eq!(second.attempt(), 2);
    drop(second);

    // A log that is nothing but a torn line is an empty one.
    let folder = RunFolder::create(&home, &recipe("nothing")).unwrap();
    fs::write(folder.events(), "{\"v\":1").unwrap();
    drop(session(&folder, &options()));
    let events = read_log(&folder.events()).unwrap();
    assert_eq!(events[0].kind.name(), "run_started");
    assert_eq!((events[0].seq, events[0].attempt), (0, 1));
}

/// A disk of so many bytes, with a file on it and a reserve.
struct SmallDisk {
    state: Arc<Mutex<DiskState>>,
}

#[derive(Default)]
struct DiskState {
    text: Vec<u8>,
    reserve: usize,
    size: usize,
}

const RESERVE: usize = 1000;

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl LogStorage for SmallDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let free = state.size.saturating_sub(state.text.len() + state.reserve);
        state.text.extend(&bytes[..bytes.len().min(free)]);
        if bytes.len() <= free { Ok(()) } else { Err(full()) }
    }
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.state.lock().unwrap().text.truncate(length as usize);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn sync_soon(&mut self) {}
    fn take_reserve(&mut self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.text.len() + RESERVE > state.size {
            return Err(full());
        }
        state.reserve = RESERVE;
        Ok(())
    }
    fn give_up_reserve(&mut self) {
        self.state.lock().unwrap().reserve = 0;
    }
}

fn writer_on(state: &Arc<Mutex<DiskState>>) -> LogWriter {
    let disk = SmallDisk { state: state.clone() };
    let clock = WorkingClock::starting_at(0);
    let mut writer = LogWriter::new(Box::new(disk), 0, 0, 1, clock);
    writer.take_reserve().unwrap();
    writer.retry_every(Duration::from_millis(20));
    writer
}

fn kinds(state: &Arc<Mutex<DiskState>>) -> Vec<String> {
    let text = String::from_utf8(state.lock().unwrap().text.clone()).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "only whole lines: {text:?}");
    let events: Vec<_> = text.lines().map(|line| Event::from_line(line).unwrap()).collect();
    assert!(events.iter().enumerate().all(|(index, event)| event.seq == index as u64));
    events.iter().map(|event| event.kind.name().to_owned()).collect()
}

#[test]
fn a_full_disk_pauses_the_run_and_says_so() {
    let state = Arc::new(Mutex::new(DiskState { size: 1800, ..DiskState::default() }));
    let mut writer = writer_on(&state);
    let mut emitted = 0;
    let more_space = state.clone();
    let freed = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        let paused = kinds(&more_space);
        more_space.lock().unwrap().size = 100_000;
        paused
    });
    for step in 1..=10 {
        emitted += writer.emit(step, finished_step(step).into()).unwrap().len();
    }
    let while_full = freed.join().unwrap();
    assert_eq!(while_full.last().map(String::as_str), Some("run_paused"), "{while_full:?}");
    let kinds = kinds(&state);
    assert_eq!(kinds.len(), emitted);
    let others: Vec<_> = kinds.iter().filter(|kind| *kind != "step_finished").collect();
    assert_eq!(others, ["run_paused", "run_unpaused"]);
    assert_eq!(kinds.len() - others.len(), 10, "no step is lost");
    assert_eq!(state.lock().unwrap().reserve, RESERVE, "the reserve is taken again");
}

#[test]
fn a_full_disk_lets_go_of_a_run_that_is_asked_to_end() {
    let state = Arc::new(Mutex::new(DiskState { size: 1300, ..DiskState::default() }));
    let mut writer = writer_on(&state);
    writer.give_up_when(|| true);
    let failed = (1..=10).find_map(|step| writer.emit(step, finished_step(step).into()).err());
    assert!(failed.unwrap().is_disk_full);
    assert_eq!(kinds(&state).last().map(String::as_str), Some("run_paused"));
}

/// A small file system in memory, where this process may mount one.
struct Mounted(PathBuf);

impl Mounted {
    fn new(path: &Path, size: &str) -> Option<Mounted> {
        let output = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "apertis-test"])
            .arg(path)
            .output()
            .ok()?;
        output.status.success().then(|| Mounted(path.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_really_full_disk_keeps_log_and_checkpoints_whole() {
    use apertis_domain::{CheckpointMark, CheckpointStore};
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::new(folder.path(), "4m") else {
        return;
    };
    let home = Home::open(folder.path()).unwrap();
    let folder = RunFolder::create(&home, &recipe("full")).unwrap();
    let mut session = session(&folder, &options());
    let mark = CheckpointMark { is_best: true, is_last: true };
    let path = session.checkpoints.begin(1).unwrap();
    fs::write(path.join("weights"), "good").unwrap();
    let saved = session.checkpoints.commit(1, mark).unwrap();
    session.events.emit(1, saved.into()).unwrap();

    let path = session.checkpoints.begin(2).unwrap();
    assert!(fs::write(path.join("weights"), vec![1; 8 << 20]).is_err(), "the disk is full");
    session.checkpoints.discard(2);
    assert_eq!(fs::read(folder.best().join("weights")).unwrap(), b"good");

    fs::write(home.cache().join("filler"), vec![1; 8 << 20]).unwrap_err();
    let refused = session.checkpoints.begin(3).and_then(|path| {
        fs::write(path.join("weights"), "new").ok();
        session.checkpoints.commit(3, mark)
    });
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(session.checkpoints.last().unwrap().step, 1);
    assert_eq!(fs::read(folder.last().join("weights")).unwrap(), b"good");
    fs::remove_file(home.cache().join("filler")).unwrap();
    drop(session);
    let events = read_log(&folder.events()).unwrap();
    assert!(events.iter().any(|event| event.kind.name() == "checkpoint_saved"));
}

#[test]
fn a_follower_reads_whole_lines_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let mut follower = LogFollower::new(&path);
    assert!(follower.read_new().unwrap().is_empty(), "a missing log is empty");
    let line = |seq: u64| format!("{{\"v\":1,\"seq\":{seq},\"attempt\":1,\"step\":0,\"at\":\"x\",\"elapsed_ms\":0,\"kind\":\"x\"}}\n");
    let append = |text: &str| {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let mut check = |text: &str, seqs: &[u64], bad_lines: u64| {
        append(text);
        let read: Vec<_> = follower.read_new().unwrap().iter().map(|event| event.seq).collect();
        assert_eq!((read.as_slice(), follower.bad_lines()), (seqs, bad_lines));
    };
    let third = line(3);
    check(&(line(1) + &line(2) + &third[..20]), &[1, 2], 0);
    check("", &[], 0);
    check(&third[20..], &[3], 0);
    check(&(String::from("not an event\n{}\n\u{fffd}\n") + &line(4)), &[4], 3);
    let offset = follower.offset();
    append(&line(5));
    let mut later = LogFollower::starting_at(&path, offset);
    assert_eq!(later.read_new().unwrap()[0].seq, 5);
    append("torn");
    assert_eq!(last_event(&path).unwrap().unwrap().seq, 5);
    assert!(last_event(&folder.path().join("none")).unwrap().is_none());
}

/// Logs of every released version are read for ever: never change this file, add another.
#[test]
fn a_log_of_version_1_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/logs/v1.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut follower = LogFollower::new(&path);
    let events = follower.read_new().unwrap();
    assert_eq!((follower.bad_lines(), events.len()), (0, text.lines().count()));
    for (line, event) in text.lines().zip(&events) {
        let before: serde_json::Value = serde_json::from_str(line).unwrap();
        let after: serde_json::Value = serde_json::from_str(&event.to_line()).unwrap();
        for (name, value) in before.as_object().unwrap() {
            assert_eq!(&after[name], value, "{line}");
        }
    }
    let unknown: BTreeSet<_> =
        events.iter().filter(|event| matches!(event.kind, EventKind::Other { .. })).map(|event| event.kind.name()).collect();
    assert_eq!(unknown, BTreeSet::from(["tide_observed"]));

    let record = RunRecord::of(&events);
    let stands = standing_events(&events);
    let count = |name: &str| stands.iter().filter(|event| event.kind.name() == name).count();
    assert_eq!(record.steps.len(), count("step_finished"));
    assert_eq!(record.evaluations.len(), count("evaluated"));
    assert_eq!(record.samples.len(), count("sampled"));
    assert_eq!(record.checkpoints.len(), count("checkpoint_saved"));
    assert!(record.steps.is_sorted_by(|a, b| a.step < b.step), "each step stands once");
    assert!(record.state.has_finished() && record.attempt == 2);
    assert_eq!(record.micro_batch_tokens, 1024);
    let decisions: Vec<_> = record.decisions.iter().map(|event| event.kind.name()).collect();
    assert_eq!(decisions, ["micro_batch_halved", "batch_skipped", "learning_rate_changed"]);
}

/// How long a list of long runs takes: `cargo test --release -p apertis-runs --test log -- \
/// --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "a measurement says what it measured")]
fn reading_a_long_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let mut text = String::new();
    for seq in 0..200_000 {
        let event = Event {
            v: 1,
            seq,
            attempt: 1,
            step: seq,
            at: "2026-01-02T03:04:05.678Z".to_owned(),
            elapsed_ms: seq,
            kind: finished_step(seq + 1).into(),
            extra: serde_json::Map::new(),
        };
        text += &event.to_line();
        text.push('\n');
    }
    fs::write(&path, &text).unwrap();
    let began = std::time::Instant::now();
    let record = RunRecord::read(&path).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(record.steps.len(), 200_000);
    let (lines, bytes) = (200_000.0 / seconds, text.len() as f64 / seconds / 1e6);
    eprintln!("read in {seconds:.2} s: {lines:.0} lines/s, {bytes:.0} MB/s");
}
