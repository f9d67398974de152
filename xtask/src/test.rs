//! `cargo xtask test`: everything that must hold before a change lands.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// Formats, checks the tree's rules, builds and tests everything.
pub(crate) fn run(root: &Path) -> Result<()> {
    let began = Instant::now();
    step("rules of the tree", || crate::tidy::run(root))?;
    step("format", || cargo(root, &["fmt", "--all", "--check"]))?;
    // One profile for everything: debug code of the engine would take longer to run than this
    // takes to build.
    step("build", || cargo(root, &["build", "--release", "--workspace", "--all-targets"]))?;
    step("tests", || cargo(root, &["test", "--release", "--workspace"]))?;
    println!("everything passed in {} s", began.elapsed().as_secs());
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    println!("── {name}");
    work().with_context(|| format!("{name} failed"))?;
    println!("── {name}: {} s", began.elapsed().as_secs());
    Ok(())
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program).args(arguments).current_dir(root).status().context("cannot start cargo")?;
    ensure!(status.success(), "cargo {} ended with {status}", arguments.join(" "));
    Ok(())
}
