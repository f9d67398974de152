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

    /// Runs `apertis data` in a home of its own, and returns its JSON object and its peak resident memory in bytes.
    /// `None` for the memory where there is no `/proc`.
    pub(super) fn data(&self, fields: &[String], home: &Path) -> Result<(Value, Option<u64>)> {
        let mut command = Command::new(&self.apertis);
        command.arg("data").args(fields).arg("--json").env("APERTIS_HOME", home).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("bench: cannot start {command:?}"))?;
        // The highest value that the system noted; it never falls, so that the last look is enough.
        let status = format!("/proc/{}/status", child.id());
        let mut peak = None;
        while child.try_wait().context("bench: cannot wait for apertis")?.is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            peak = kibibytes.map_or(peak, |kibibytes| Some(kibibytes << 10));
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().context("bench: cannot read what apertis said")?;
        ensure!(output.status.success(), "bench: {command:?} failed");
        Ok((last_line(&output.stdout, &command)?, peak))
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
    Ok((last_line(&output.stdout, command)?, elapsed))
}

fn last_line(output: &[u8], command: &Command) -> Result<Value> {
    let text = String::from_utf8_lossy(output);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("bench: {command:?}: expected JSON, found `{last}`"))
}
