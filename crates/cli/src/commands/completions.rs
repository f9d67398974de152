//! `apertis completions SHELL`: a script that lets a shell finish verbs, flags and recipe keys.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::arguments::{Arguments, CompletionsArguments};
use crate::printer::Printer;

pub(crate) fn run(arguments: &CompletionsArguments, printer: &Printer) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "apertis", &mut script);
    printer.piece(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}
