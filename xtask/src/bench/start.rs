//! How large the program is, and how soon it answers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::options::Options;
use super::programs::Programs;
use super::table::median;

/// Starts of `apertis --version` that are timed.
const STARTS: usize = 21;

pub(super) fn run(_root: &Path, programs: &Programs, _options: &Options) -> Result<()> {
    let bytes = std::fs::metadata(&programs.apertis).context("bench: cannot see the release binary")?.len();
    let mut milliseconds = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let began = Instant::now();
        let status = Command::new(&programs.apertis).arg("--version").stdout(Stdio::null()).status();
        ensure!(status.context("bench: cannot start apertis")?.success(), "bench: apertis --version failed");
        milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
    }
    println!("| | measured | asked |\n|---|---|---|");
    println!("| release binary | {:.1} MB | < 60 MB |", bytes as f64 / 1e6);
    println!("| `apertis --version`, median of {STARTS} | {:.1} ms | < 20 ms |", median(&milliseconds));
    Ok(())
}
