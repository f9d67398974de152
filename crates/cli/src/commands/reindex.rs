//! `apertis reindex`: the studio's index, made again from the run folders.

use std::process::ExitCode;

use apertis_runs::Home;
use apertis_server::address_of_living;
use serde_json::json;

use crate::arguments::DatabaseArguments;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::settings;

pub(crate) fn run(arguments: &DatabaseArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    refuse_while_served(home, "reindex")?;
    let database = settings::database(arguments, home)?;
    let mut runs = 0;
    let failures = database.reindex(home, |done, _| runs = done)?;
    let good = runs.saturating_sub(failures.len());
    printer.line(format!("{good} run{} in the index of {}.", if good == 1 { "" } else { "s" }, database.place()));
    for (name, error) in &failures {
        printer.line(format!("  left out {name}: {error}"));
    }
    let left_out: Vec<&str> = failures.iter().map(|(name, _)| name.as_str()).collect();
    printer.json(&json!({ "runs": good, "left_out": left_out, "database": database.place() }));
    Ok(ExitCode::SUCCESS)
}

/// A studio that is open follows the same folders into the same tables.
pub(super) fn refuse_while_served(home: &Home, verb: &str) -> Result<(), Failure> {
    match address_of_living(home) {
        Some(url) => Err(Failure::new(format!("{verb}: the studio at {url} has the database open"))
            .hint("End it with Ctrl-C where it was started, then again; runs go on without it.")),
        None => Ok(()),
    }
}
