//! `cargo xtask test`: everything that must hold before a change lands.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::demo::Program;
use crate::postgres::{self, Postgres};
use crate::{journeys, web};

/// Checks the tree's rules, builds and tests everything, the page in a browser last.
pub(crate) fn run(root: &Path) -> Result<()> {
    let began = Instant::now();
    step("rules of the tree", || crate::tidy::run(root))?;
    step("licences and sources", || crate::deny::run(root, &[]))?;
    step("format", || cargo(root, &["fmt", "--all", "--check"]))?;
    let has_page = !web::is_left_out();
    if has_page {
        // Before the program, which takes the built page in.
        step("packages of the page", || web::install(root))?;
        step("page", || web::npm(root, &["run", "build"]))?;
        step("rules and tests of the page", || web::check(root))?;
    }
    // One profile for everything: debug code of the engine would take longer to run than this
    // takes to build.
    step("build", || cargo(root, &["build", "--release", "--workspace", "--all-targets"]))?;
    step("tests", || tests(root, &["--workspace"]))?;
    match has_page {
        true => step("journeys", || journeys::take(root, &Program::built(root), &[]))?,
        false => println!("── the page and its journeys are left out: {}=none", web::VARIABLE),
    }
    println!("everything passed in {} s", began.elapsed().as_secs());
    Ok(())
}

/// The tests of some packages alone.
pub(crate) fn run_packages(root: &Path, packages: &[&str]) -> Result<()> {
    let arguments: Vec<&str> = packages.iter().flat_map(|package| ["-p", *package]).collect();
    step("tests", || tests(root, &arguments))
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    println!("── {name}");
    work().with_context(|| format!("{name} failed"))?;
    println!("── {name}: {} s", began.elapsed().as_secs());
    Ok(())
}

/// Every test, those of the storage on a PostgreSQL too.
fn tests(root: &Path, which: &[&str]) -> Result<()> {
    let postgres = Postgres::start()?;
    let url = postgres.as_ref().map(Postgres::url);
    let variables: Vec<(&str, &str)> = url.iter().map(|url| (postgres::VARIABLE, url.as_str())).collect();
    cargo_with(root, &[&["test", "--release"], which].concat(), &variables)
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    cargo_with(root, arguments, &[])
}

fn cargo_with(root: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root).envs(variables.iter().copied());
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "cargo {} ended with {status}", arguments.join(" "));
    Ok(())
}
