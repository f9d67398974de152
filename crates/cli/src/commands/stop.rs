//! `apertis stop RUN`: asks a run to save and end, and waits until it has.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use apertis_domain::Action;
use apertis_runs::lock::lock_facts;
use apertis_runs::{Home, RunFolder};
use serde_json::json;

use crate::arguments::StopArguments;
use crate::failure::Failure;
use crate::printer::Printer;

/// A step and a checkpoint of a large model take a while.
const WAIT: Duration = Duration::from_secs(300);

pub(crate) fn run(arguments: &StopArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let folder = RunFolder::find(home, &arguments.run)?;
    if !lock_facts(&folder).is_held {
        printer.line(format!("{} is not running.", folder.name()));
        printer.json(&json!({ "run": folder.name(), "was_running": false }));
        return Ok(ExitCode::SUCCESS);
    }
    apertis_runs::control::ask(&folder, &Action::Stop { now: arguments.now })?;
    let began = Instant::now();
    while lock_facts(&folder).is_held {
        if began.elapsed() > WAIT {
            return Err(
                Failure::new(format!("stop: {} was asked and still works", folder.name())).hint("See what it does with `apertis watch`.")
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    printer.line(format!("{} has stopped. Go on with `apertis train resume={}`.", folder.name(), folder.name()));
    printer.json(&json!({ "run": folder.name(), "was_running": true }));
    Ok(ExitCode::SUCCESS)
}
