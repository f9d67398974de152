//! `apertis watch RUN`: follows a run that somebody else started. Ctrl-C leaves it alone.

use std::process::ExitCode;

use apertis_runs::{Home, RunFolder};
use serde_json::json;

use super::view::{Ending, follow};
use crate::arguments::NameArguments;
use crate::failure::Failure;
use crate::printer::Printer;

pub(crate) fn run(arguments: &NameArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let folder = match &arguments.run {
        Some(name) => RunFolder::find(home, name)?,
        None => RunFolder::latest(home)?
            .ok_or_else(|| Failure::new("watch: there are no runs").hint("Start one: apertis train model=FOLDER data=FILE"))?,
    };
    let never = |_: &RunFolder| Err("watching starts no worker".to_owned());
    match follow(&folder, 0, None, &never, printer)? {
        Ending::Left => printer.line(format!("{} goes on.", folder.name())),
        Ending::Reached(_, state) => {
            printer.line(format!("{} is {}.", folder.name(), state.name()));
            printer.json(&json!({ "run": folder.name(), "dir": folder.path(), "state": state.name() }));
        }
    }
    Ok(ExitCode::SUCCESS)
}
