//! `bench`: the figures of docs/benchmarks.md, ours and PyTorch's in turn, as medians of rounds.
//!
//! The comparison scripts and PyTorch are no part of the project: without `--peer` only our side is
//! measured. Matrix products need PyTorch alone (`--torch`).

mod cost_growth;
mod data_scale;
mod fine_tune;
mod options;
mod products;
mod programs;
mod rows;
mod scratch;
mod shape;
mod start;
mod table;

use std::path::Path;

use anyhow::{Result, bail};

use options::Options;
use programs::Programs;

/// Runs the groups of figures that were asked for; all of them where none was named.
pub(crate) fn run(root: &Path, words: &[String]) -> Result<()> {
    let options = Options::parse(words)?;
    let needs_programs = options.groups.iter().any(|group| group != "products");
    let programs = if needs_programs { Some(Programs::build(root, &options)?) } else { None };
    for group in &options.groups {
        println!("\n## {group}\n");
        let Some(programs) = programs.as_ref().filter(|_| group != "products") else {
            products::run(root, &options)?;
            continue;
        };
        match group.as_str() {
            "fine-tune" => fine_tune::run(root, programs, &options)?,
            "scratch" => scratch::run(root, programs, &options)?,
            "data-scale" => data_scale::run(root, programs, &options)?,
            "cost-growth" => cost_growth::run(root, programs, &options)?,
            "start" => start::run(root, programs, &options)?,
            _ => bail!("bench: expected one of {}, found `{group}`", options::GROUPS.join(", ")),
        }
    }
    Ok(())
}
