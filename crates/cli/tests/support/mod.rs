//! The program in a home of its own, and a small text to train on.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

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
        let output: Output = Command::new(env!("CARGO_BIN_EXE_apertis"))
            .arg("--home")
            .arg(home)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
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
