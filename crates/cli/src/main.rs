//! The apertis program: arguments to settings to one function a command.

mod answer;
mod arguments;
mod browser;
mod commands;
mod data;
mod failure;
mod interrupts;
mod measure;
mod memory;
mod model;
mod printer;
mod rehearsal;
mod sampling;
mod scores;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Verb};
use failure::Failure;
use printer::Printer;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(report_panic));
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; clap knows which stream each belongs to.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let printer = Printer::new(arguments.json);
    match run(arguments, &printer) {
        Ok(code) => code,
        Err(failure) => {
            printer.failure(&failure);
            ExitCode::from(failure.exit_code)
        }
    }
}

/// A panic is a defect of ours, said so in the form of every other error; those that a reader
/// catches are counted where they happen.
fn report_panic(info: &std::panic::PanicHookInfo<'_>) {
    if apertis_dataset::catches_panics() {
        return;
    }
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let failure = Failure::new(format!("apertis met a defect of its own at {place}: {}", text.unwrap_or("no reason given").trim()))
        .hint("this is no fault of your files; please report this line and the command that led to it");
    Printer::new(false).failure(&failure);
}

fn run(arguments: Arguments, printer: &Printer) -> Result<ExitCode, Failure> {
    let home = || settings::home(arguments.home.as_deref());
    let Some(verb) = arguments.verb else {
        return commands::serve::run(&arguments.serve, &home()?, printer);
    };
    if arguments.serve != arguments::ServeArguments::default() {
        return Err(Failure::usage("apertis: settings of the studio stand before another verb").hint("Write them after `apertis serve`."));
    }
    match verb {
        Verb::Serve(serve) => commands::serve::run(&serve, &home()?, printer),
        Verb::Keys(keys) => commands::keys::run(&keys, &home()?, printer),
        Verb::Reindex(database) => commands::reindex::run(&database, &home()?, printer),
        Verb::Backup(backup) => commands::backup::save(&backup, &home()?, printer),
        Verb::Restore(backup) => commands::backup::restore(&backup, &home()?, printer),
        Verb::Train(train) => commands::train::run(&train, &home()?, printer),
        Verb::Worker(worker) => commands::worker::run(&worker, &home()?, printer),
        Verb::Eval(eval) => commands::eval::run(&eval, &home()?, printer),
        Verb::Run(chat) => commands::run::run(&chat, &home()?, printer),
        Verb::Logits(logits) => commands::logits::run(&logits, &home()?, printer),
        Verb::Data(data) => commands::data::run(&data, &home()?, printer),
        Verb::Tokens(tokens) => commands::tokens::run(&tokens, &home()?, printer),
        Verb::List => commands::list::run(&home()?, printer),
        Verb::Show(show) => commands::show::run(&show, &home()?, printer),
        Verb::Merge(merge) => commands::merge::run(&merge, &home()?, printer),
        Verb::Bench(bench) => commands::bench::run(&bench, &home()?, printer),
        Verb::Doctor => commands::doctor::run(&home()?, printer),
        Verb::Completions(shell) => Ok(commands::completions::run(&shell, printer)),
        Verb::Runs => commands::runs::run(&home()?, printer),
        Verb::Watch(watch) => commands::watch::run(&watch, &home()?, printer),
        Verb::Stop(stop) => commands::stop::run(&stop, &home()?, printer),
    }
}
