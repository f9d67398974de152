//! The two programs that are compared: the release binary, and PyTorch by its scripts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::options::Options;

/// Where the programs are, and the home that our runs of one call share.
pub(super) struct Programs {
    pub(super) apertis: PathBuf,
    pub(super) home: PathBuf,
    peer: Option<PathBuf>,
    python: PathBuf,
    threads: usize,
}

impl Programs {
    /// Builds the release binary, and empties `target/bench/home`.
    pub(super) fn build(root: &Path, options: &Options) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo).args(["build", "--release", "--package", "apertis-cli"]).current_dir(root).status();
        ensure!(status.context("bench: cannot start cargo")?.success(), "bench: the release build failed");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let apertis = target.join("release").join(format!("apertis{}", std::env::consts::EXE_SUFFIX));
        let home = folder(root).join("home");
        if home.exists() {
            std::fs::remove_dir_all(&home).with_context(|| format!("bench: cannot empty {}", home.display()))?;
        }
        std::fs::create_dir_all(&home).with_context(|| format!("bench: cannot make {}", home.display()))?;
        Ok(Self { apertis, home, peer: options.peer.clone(), python: options.python.clone(), threads: options.threads })
    }

    /// Runs `apertis train` with the given fields, and returns its JSON object and the seconds that the command took.
    pub(super) fn train(&self, fields: &[String]) -> Result<(Value, Duration)> {
        let mut command = Command::new(&self.apertis);
        command.arg("train").args(fields).arg(format!("threads={}", self.threads)).arg("--json").env("APERTIS_HOME", &self.home);
        json(&mut command)
    }

    /// Runs a script of the peer; `None` where no peer was named.
    pub(super) fn peer(&self, script: &str, arguments: &[OsString]) -> Result<Option<(Value, Duration)>> {
        let Some(folder) = &self.peer else { return Ok(None) };
        let mut command = Command::new(&self.python);
        command.arg(folder.join(script)).args(arguments).env("OMP_NUM_THREADS", self.threads.to_string());
        json(&mut command).map(Some)
    }
}

/// Where the benchmarks keep what they make.
pub(super) fn folder(root: &Path) -> PathBuf {
    root.join("target").join("bench")
}

/// A figure of a JSON answer.
pub(super) fn figure(answer: &Value, name: &str) -> Result<f64> {
    answer[name].as_f64().with_context(|| format!("bench: expected the number `{name}`"))
}

/// The losses of each step, under whichever name.
pub(super) fn losses(answer: &Value, name: &str) -> Vec<f64> {
    answer[name].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

fn json(command: &mut Command) -> Result<(Value, Duration)> {
    let began = Instant::now();
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::piped()).output().with_context(|| format!("bench: cannot start {command:?}"))?;
    let elapsed = began.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "bench: {command:?} failed:\n{said}");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    let value = serde_json::from_str(last).with_context(|| format!("bench: {command:?}: expected JSON, found `{last}`"))?;
    Ok((value, elapsed))
}
