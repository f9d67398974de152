//! `apertis runs`: every run of the home, the newest last.

use std::process::ExitCode;

use apertis_runs::Home;
use serde_json::json;

use super::view::duration;
use crate::failure::Failure;
use crate::printer::Printer;

pub(crate) fn run(home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let runs = apertis_runs::list(home)?;
    if runs.is_empty() {
        printer.line("No runs yet. Start one: apertis train model=FOLDER data=FILE");
    } else {
        printer.line(format!("{:24} {:12} {:>13} {:>9} {:>9} {:>9}", "NAME", "STATE", "STEP", "LOSS", "BEST", "LEFT"));
    }
    for run in &runs {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        let left = run.seconds_left.map_or_else(|| "-".to_owned(), duration);
        let step = format!("{}/{}", run.step, run.total_steps);
        printer.line(format!(
            "{:24} {:12} {step:>13} {:>9} {:>9} {left:>9}",
            run.name,
            run.state.name(),
            number(run.loss),
            number(run.best_eval_loss)
        ));
    }
    printer.json(&json!({ "runs": runs }));
    Ok(ExitCode::SUCCESS)
}
