//! The program in a home of its own, and a small text to train on.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A tiny run that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// A home that goes when the test ends.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

/// What a command came to.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Home {
        Home { folder: tempfile::tempdir().expect("a folder for the test") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file beside the home's own folders.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
        std::fs::write(&path, content).expect("the file can be written");
        path.display().to_string()
    }

    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.path().join("runs").join(name)
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Answer {
        self.call_at(self.path(), arguments)
    }

    /// Calls with another folder as home.
    pub(crate) fn call_at(&self, home: &Path, arguments: &[&str]) -> Answer {
        Answer::of(Command::new(env!("CARGO_BIN_EXE_apertis")).arg("--home").arg(home).args(arguments))
    }

    /// Calls where no file, of the command or its worker, can grow beyond so many bytes.
    #[cfg(unix)]
    pub(crate) fn call_limited(&self, file_bytes: u64, arguments: &[&str]) -> Answer {
        // Blocks of 512 bytes. Who ignores the signal is told by an error instead.
        let script = format!("ulimit -f {} && trap '' XFSZ && exec \"$@\"", file_bytes / 512);
        let program = env!("CARGO_BIN_EXE_apertis");
        Answer::of(Command::new("sh").args(["-c", &script, "sh", program, "--home"]).arg(self.path()).args(arguments))
    }

    /// Calls with `--json` and takes the last line, after checking that it went well.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.call(&[arguments, &["--json"]].concat());
        assert_eq!(answer.code, 0, "{arguments:?}: {}", answer.stderr);
        answer.json()
    }

    /// Events of a run, in order.
    pub(crate) fn events(&self, run: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.run(run).join("events.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The weights that a run ended with.
    pub(crate) fn last_weights(&self, run: &str) -> Vec<u8> {
        std::fs::read(self.run(run).join("checkpoints/last/model.safetensors")).expect("a finished run has weights")
    }
}

impl Answer {
    fn of(command: &mut Command) -> Answer {
        let output: Output = command.stdin(Stdio::null()).output().expect("the program starts");
        Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {last:?}\n{}", self.stderr))
    }
}

/// A text with something to learn in it.
pub(crate) fn text() -> String {
    (0..400).map(|n| format!("Line {n}: the boat leaves the harbour at {} and comes back at {}.\n", n % 12, (n * 5) % 12)).collect()
}

/// A model from scratch that is trained in a second.
pub(crate) fn tiny(data: &str, steps: usize) -> Vec<String> {
    let words = format!(
        "train method=scratch data={data} tokenizer=char model.layers=2 model.heads=2 model.width=32 model.context=32 \
         max_length=32 batch_size=4 threads=1 learning_rate=0.003 patience=0 eval_fraction=0.05 max_steps={steps}"
    );
    words.split_whitespace().map(str::to_owned).collect()
}

/// Borrowed words, followed by more.
pub(crate) fn words<'a>(first: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    first.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

/// Waits for a step and kills the worker; a run that was quicker is left alone.
#[cfg(unix)]
pub(crate) fn kill_at(home: &Home, run: &str, step: u64) {
    wait(home, run, "a step", |events| {
        events
            .iter()
            .any(|event| event["kind"] == "run_finished" || event["kind"] == "step_finished" && event["step"].as_u64() >= Some(step))
    });
    let Ok(text) = std::fs::read_to_string(home.run(run).join("worker.pid")) else { return };
    let Some(pid) = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw) else { return };
    // It may have ended since.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    let began = Instant::now();
    while rustix::process::test_kill_process(pid).is_ok() && !is_zombie(pid) {
        assert!(began.elapsed() < LIMIT, "the worker outlives SIGKILL");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Nobody waits for a detached worker, so it may stay in the process table.
#[cfg(unix)]
fn is_zombie(pid: rustix::process::Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    status.contains("State:\tZ")
}

/// Waits until the events of a run are what they should be.
pub(crate) fn wait(home: &Home, run: &str, what: &str, is_there: impl Fn(&[serde_json::Value]) -> bool) {
    let began = Instant::now();
    while !is_there(&home.events(run)) {
        assert!(began.elapsed() < LIMIT, "{run}: waited for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
