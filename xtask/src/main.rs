//! Everything a developer runs: demo, studio, test, journeys, screenshots, web, api-types, bench,
//! storm, tidy, deny, fuzz, generate, references.

mod api_types;
mod bench;
mod corpus;
mod demo;
mod deny;
mod fuzz;
mod journeys;
mod postgres;
mod references;
mod storm;
mod studio;
mod test;
mod tidy;
mod web;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bench", ..] => bench::run(&root(), &arguments[1..]),
        ["generate", "corpus", ..] => corpus::run(&root(), &arguments[2..]),
        ["api-types"] => api_types::run(&root()),
        ["demo"] => demo::run(&root()),
        ["references", ..] => references::run(&root(), &arguments[1..]),
        ["storm", ..] => storm::run(&root(), &arguments[1..]),
        ["test"] => test::run(&root()),
        ["test", packages @ ..] => test::run_packages(&root(), packages),
        ["web"] => web::build(&root()),
        ["studio", arguments @ ..] => studio::run(&root(), arguments),
        ["journeys", words @ ..] => journeys::run(&root(), words),
        ["screenshots", arguments @ ..] => journeys::screenshots(&root(), arguments),
        ["tidy"] => tidy::run(&root()),
        ["deny", ..] => deny::run(&root(), &arguments[1..]),
        ["fuzz", ..] => fuzz::run(&root(), &arguments[1..]),
        _ => bail!(
            "xtask: expected demo, studio, test, journeys, screenshots, web, api-types, bench, storm, tidy, deny, fuzz, `generate corpus` or references, found `{}`",
            words.join(" ")
        ),
    }
}

/// The root of the workspace, wherever the command was called.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.to_path_buf(), Path::to_path_buf)
}
