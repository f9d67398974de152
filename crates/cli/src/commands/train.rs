//! `apertis train`: makes a run, starts its worker, and watches it.

use std::process::ExitCode;
use std::time::Instant;

use apertis_domain::{Recipe, RunState};
use apertis_runs::result::TrainResult;
use apertis_runs::spawn::spawn_worker;
use apertis_runs::{Home, RunFolder, RunRecord};
use serde_json::json;

use super::dry_run;
use super::view::{Ending, duration, follow};
use crate::arguments::TrainArguments;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::settings;

pub(crate) fn run(arguments: &TrainArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let resumed = arguments.assignments.iter().find_map(|assignment| assignment.strip_prefix("resume="));
    if arguments.dry_run {
        if resumed.is_some() {
            return Err(Failure::usage("train: --dry-run plans a new run, not resume=").hint("Leave one of them out."));
        }
        return dry_run::run(&recipe_of(arguments, home)?, home, printer);
    }
    let (folder, extends) = match resumed {
        Some(name) => resume(name, arguments, home)?,
        None => (create(arguments, home)?, false),
    };
    let record = RunRecord::read(&folder.events())?;
    if record.finished.is_some() && !extends {
        let name = folder.name();
        printer.note(format!("{name} has reached its end. To go on: apertis train resume={name} max_steps={}", 2 * record.step().max(1)));
        return Ok(report(&folder, &record, began, printer));
    }
    let worker = start(&folder, home, extends, arguments.now, false)?;
    if arguments.detach {
        printer.line(format!("{} is training. Follow it with `apertis watch {}`.", folder.name(), folder.name()));
        printer.json(&json!({ "run": folder.name(), "dir": folder.path() }));
        return Ok(ExitCode::SUCCESS);
    }
    let restart = |folder: &RunFolder| start(folder, home, false, arguments.now, true).map_err(|failure| failure.message);
    let ending = follow(&folder, record.attempt, Some(worker), &restart, printer)?;
    match ending {
        Ending::Left => Ok(ExitCode::SUCCESS),
        Ending::Reached(record, state) => match state {
            RunState::Failed { code } => {
                let failed = record.failed.clone().unwrap_or_default();
                let code = apertis_domain::FailureCode::from_code(&code).map_or("internal", |code| code.code());
                Err(Failure { code, ..Failure::new(failed.message) }.hint(failed.hint))
            }
            _ => Ok(report(&folder, &record, began, printer)),
        },
    }
}

fn create(arguments: &TrainArguments, home: &Home) -> Result<RunFolder, Failure> {
    Ok(RunFolder::create(home, &recipe_of(arguments, home)?)?)
}

fn recipe_of(arguments: &TrainArguments, home: &Home) -> Result<Recipe, Failure> {
    let (mut recipe, _) = settings::recipe(&arguments.assignments)?;
    if let Some(name) = &arguments.name {
        recipe.name = name.clone();
    }
    recipe.check()?;
    check_inputs(&mut recipe, home)?;
    Ok(recipe)
}

/// What is plainly missing is said before a run is made.
fn check_inputs(recipe: &mut Recipe, home: &Home) -> Result<(), Failure> {
    let surroundings = settings::surroundings(recipe, home)?;
    if let Some(folder) = &surroundings.model_folder
        && std::path::Path::new(&recipe.model).exists()
    {
        recipe.model = std::path::absolute(&recipe.model).unwrap_or_else(|_| folder.clone()).display().to_string();
    }
    apertis_trainer::machine(recipe, 1)?;
    for path in [&recipe.data, &recipe.eval_data].into_iter().filter(|path| !path.is_empty()) {
        // What cannot be found needs no look at its rows.
        apertis_dataset::find_files(&[path.into()]).map_err(|error| match std::path::Path::new(path).exists() {
            true => error.into(),
            false => Failure::new(error).hint("Is the path right? A pattern such as 'chats/*.jsonl' works too, in quotes."),
        })?;
    }
    Ok(())
}

/// A run to go on with; fields beside `resume=` extend it.
fn resume(name: &str, arguments: &TrainArguments, home: &Home) -> Result<(RunFolder, bool), Failure> {
    let folder = RunFolder::find(home, name)?;
    let changes: Vec<&String> = arguments.assignments.iter().filter(|assignment| !assignment.starts_with("resume=")).collect();
    if changes.is_empty() {
        return Ok((folder, false));
    }
    let mut recipe = folder.recipe()?;
    if changes.iter().any(|change| change.starts_with("epochs=")) {
        // Whoever says how many epochs means them, whatever number of steps was said before.
        recipe.max_steps = 0;
    }
    for change in changes {
        let field = recipe.apply_argument(change)?;
        if !matches!(field.name, "epochs" | "max_steps" | "time_limit_minutes" | "patience") {
            let message =
                format!("resume: {} cannot be changed on a run; only epochs, max_steps, time_limit_minutes and patience can", field.name);
            return Err(Failure::usage(message).hint("Start a new run for anything else."));
        }
    }
    let record = RunRecord::read(&folder.events())?;
    if !leaves_something(&folder.name(), &recipe, &record)? {
        return Ok((folder, false));
    }
    folder.write_recipe(&recipe)?;
    Ok((folder, true))
}

/// Whether a recipe leaves a run something to do. False where a finished run has done exactly what
/// is asked for.
fn leaves_something(name: &str, recipe: &Recipe, record: &RunRecord) -> Result<bool, Failure> {
    let refused = |message: String, field: &str, more: f64| {
        Err(Failure::usage(format!("resume: {message}")).hint(format!("To go on: apertis train resume={name} {field}={more}")))
    };
    let limit_ms = recipe.time_limit_minutes * 60e3;
    let worked_ms = record.elapsed_ms as f64;
    if limit_ms > 0.0 && limit_ms <= worked_ms {
        let (limit, worked) = (duration(limit_ms / 1e3), duration(worked_ms / 1e3));
        let more = (2.0 * worked_ms / 60e3).ceil();
        return refused(format!("the time limit is {limit}, and {name} has worked for {worked}"), "time_limit_minutes", more);
    }
    let done = record.checkpoints.last().map_or(0, |point| point.step);
    let steps_per_epoch = record.plan.as_ref().filter(|plan| plan.epochs > 0.0).map(|plan| (plan.total_steps as f64 / plan.epochs).round());
    let (asked, wanted) = match (recipe.max_steps, steps_per_epoch) {
        (0, None) => return Ok(true),
        (0, Some(steps)) => {
            let wanted = ((recipe.epochs * steps).ceil() as u64).max(1);
            (format!("epochs={} is {wanted} steps", recipe.epochs), wanted)
        }
        (steps, _) => (format!("max_steps is {steps}"), steps),
    };
    match wanted.cmp(&done) {
        std::cmp::Ordering::Greater => Ok(true),
        std::cmp::Ordering::Equal => Ok(record.finished.is_none()),
        std::cmp::Ordering::Less => refused(format!("{asked}, and {name} has done {done}"), "max_steps", 2.0 * done as f64),
    }
}

fn start(folder: &RunFolder, home: &Home, extend: bool, now: bool, is_automatic: bool) -> Result<std::process::Child, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::new(format!("worker: cannot find this program: {error}")))?;
    let mut words = vec!["--home".to_owned(), home.root().display().to_string(), "worker".to_owned()];
    for (flag, is_set) in [("--extend", extend), ("--now", now), ("--automatic", is_automatic)] {
        if is_set {
            words.push(flag.to_owned());
        }
    }
    Ok(spawn_worker(&program, &words, folder)?)
}

/// The result for people and scripts.
fn report(folder: &RunFolder, record: &RunRecord, began: Instant, printer: &Printer) -> ExitCode {
    if let Some(best) = record.best() {
        let before = record.before().map_or(String::new(), |before| format!(", {:.3} before training", before.value.loss));
        printer.line(format!("best held-out loss {:.3} at step {}{before}", best.value.loss, best.step));
    }
    printer.line(format!("run {}: {} steps, {} tokens", folder.name(), record.step(), record.tokens()));
    if record.finished.is_none() {
        let saved = record.checkpoints.last().map_or(0, |point| point.step);
        printer.line(format!("stopped; saved is step {saved}. Go on: apertis train resume={}", folder.name()));
    }
    printer.line(format!("report {}", folder.report().display()));
    if !record.checkpoints.is_empty() {
        printer.line(format!("talk to it: apertis run {}", folder.name()));
    }
    let result = TrainResult::of(folder, record, began.elapsed().as_secs_f64(), apertis_runs::machine::peak_rss_bytes());
    printer.json(&serde_json::to_value(result).unwrap_or_default());
    ExitCode::SUCCESS
}
