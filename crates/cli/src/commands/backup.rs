//! `apertis backup` and `apertis restore`: what exists only in the studio's database, as a file.

use std::path::Path;
use std::process::ExitCode;

use apertis_runs::Home;
use serde_json::{Map, json};

use super::reindex::refuse_while_served;
use crate::arguments::BackupArguments;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::settings;

pub(crate) fn save(arguments: &BackupArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    if arguments.file.is_dir() {
        return Err(Failure::usage(format!("backup: expected a file to write, found the folder {}", arguments.file.display()))
            .hint("Name a file in it: apertis backup FOLDER/records.jsonl"));
    }
    let counts = settings::database(&arguments.database, home)?.backup(&arguments.file)?;
    say("Written to", &arguments.file, &counts, printer);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn restore(arguments: &BackupArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    refuse_while_served(home, "restore")?;
    let counts = settings::database(&arguments.database, home)?.restore(&arguments.file)?;
    say("Taken from", &arguments.file, &counts, printer);
    Ok(ExitCode::SUCCESS)
}

fn say(what: &str, file: &Path, counts: &[(&'static str, u64)], printer: &Printer) {
    // The word a person knows them by.
    let known = |table: &str| table.trim_start_matches("record_").replace('_', " ");
    let parts: Vec<String> = counts.iter().map(|(table, count)| format!("{count} {}", known(table))).collect();
    printer.line(format!("{what} {}: {}.", file.display(), parts.join(", ")));
    let counts: Map<_, _> = counts.iter().map(|(table, count)| (known(table).replace(' ', "_"), json!(count))).collect();
    printer.json(&json!({ "file": file, "counts": counts }));
}
