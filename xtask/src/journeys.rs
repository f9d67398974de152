//! `cargo xtask journeys [WORD…]` and `cargo xtask screenshots`: the real program in a real browser.
//! Chromium is Debian's; where it is missing and may be installed, it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::demo::Program;
use crate::web;

/// Where another Chromium is.
const VARIABLE: &str = "CHROMIUM";
const USUAL: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FOLDER: &str = "e2e/journeys";

/// Builds page and program, then takes the journeys whose file names hold one of the words; all
/// where there is none.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<()> {
    web::build(root)?;
    let program = Program::build(root)?;
    take(root, &program, words)
}

/// Takes journeys with a page and a program that are built.
pub(crate) fn take(root: &Path, program: &Program, words: &[&str]) -> Result<()> {
    let chromium = chromium()?;
    let mut journeys = Vec::new();
    for entry in fs::read_dir(root.join(FOLDER)).with_context(|| format!("cannot read {FOLDER}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".test.mjs") && (words.is_empty() || words.iter().any(|word| name.contains(word))) {
            journeys.push(format!("{FOLDER}/{name}"));
        }
    }
    ensure!(!journeys.is_empty(), "no journey is called {}", words.join(" or "));
    journeys.sort();
    // One after the other: each of them trains.
    let mut command = Command::new("node");
    command.args(["--test", "--test-concurrency=1", "--test-reporter=spec"]).args(&journeys);
    let status = command.current_dir(root).env("APERTIS_PROGRAM", program.path()).env(VARIABLE, chromium).status();
    let status = status.context("cannot start node")?;
    ensure!(status.success(), "a journey failed");
    Ok(())
}

/// Pictures of every page, to be looked at.
pub(crate) fn screenshots(root: &Path, arguments: &[&str]) -> Result<()> {
    web::build(root)?;
    let program = Program::build(root)?;
    let has_place = arguments.first().is_some_and(|first| !first.starts_with("--"));
    let usual = if has_place { None } else { Some("target/screenshots") };
    let mut command = Command::new("node");
    command.arg("e2e/shots.mjs").args(usual).args(arguments);
    let status = command.current_dir(root).env("APERTIS_PROGRAM", program.path()).env(VARIABLE, chromium()?).status();
    ensure!(status.context("cannot start node")?.success(), "the pictures were not made");
    Ok(())
}

/// A Chromium: the one that is named, or a usual one, or Debian's installed now.
fn chromium() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        ensure!(named.is_file(), "{VARIABLE} names {}, which is no file", named.display());
        return Ok(named);
    }
    let find = || USUAL.iter().map(PathBuf::from).find(|path| path.is_file());
    if let Some(found) = find() {
        return Ok(found);
    }
    println!("Chromium is missing; installing Debian's");
    let hint = format!("install Chromium, or name one with {VARIABLE}, or set {}=none to test without the page", web::VARIABLE);
    for arguments in [&["update", "-q"][..], &["install", "-q", "-y", "--no-install-recommends", "chromium"]] {
        let status = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => bail!("apt-get {} ended with {status}: {hint}", arguments.join(" ")),
            Err(_) => bail!("there is no apt-get to install Chromium with: {hint}"),
        }
    }
    find().with_context(|| format!("Chromium was installed, but is not to be found: {hint}"))
}
