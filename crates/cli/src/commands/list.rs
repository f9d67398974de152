//! `apertis list`: models and adapters of the home.

use std::process::ExitCode;

use apertis_library::ModelKind;
use apertis_runs::Home;
use serde_json::json;

use super::view::{count, gigabytes};
use crate::failure::Failure;
use crate::printer::Printer;

pub(crate) fn run(home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let models = apertis_library::list(&home.models())?;
    if models.is_empty() {
        printer.line(format!(
            "No models in {}. Put a model folder there, or give its path where a model is asked for.",
            home.models().display()
        ));
        printer.line("Runs are models too: `apertis runs` lists them.");
    } else {
        printer.line(format!("{:32} {:8} {:12} {:>10} {:>10}", "NAME", "KIND", "FAMILY", "PARAMETERS", "SIZE"));
    }
    for model in &models {
        let kind = match model.kind {
            ModelKind::Model => "model",
            ModelKind::Adapter => "adapter",
        };
        let parameters = model.parameters.map_or_else(|| "-".to_owned(), count);
        let family = if model.family.is_empty() { "-" } else { &model.family };
        printer.line(format!("{:32} {kind:8} {family:12} {parameters:>10} {:>10}", model.name, gigabytes(model.bytes)));
        if let Some(problem) = &model.problem {
            printer.line(format!("  cannot be used: {problem}"));
        }
    }
    printer.json(&json!({ "models": models }));
    Ok(ExitCode::SUCCESS)
}
