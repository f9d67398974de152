//! `apertis merge`: a model with its adapter built in, as a folder that other programs load.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use apertis_model::adapter::merge_to_folder;
use apertis_runs::Home;
use serde_json::json;

use crate::arguments::AssignmentArguments;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::settings;

pub(crate) fn run(arguments: &AssignmentArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let mut out = None;
    let mut rest = Vec::new();
    for assignment in &arguments.assignments {
        match assignment.strip_prefix("out=") {
            Some(folder) => out = Some(PathBuf::from(folder)),
            None => rest.push(assignment.clone()),
        }
    }
    let out = out.filter(|out| !out.as_os_str().is_empty());
    let out = out.ok_or_else(|| Failure::usage("out: is missing").hint("Say where the merged model goes with out=FOLDER."))?;
    let (recipe, _) = settings::recipe(&rest)?;
    if recipe.model.is_empty() {
        return Err(Failure::usage("model: is missing").hint("Say which with model=RUN, or model=FOLDER adapter=FOLDER."));
    }
    let surroundings = settings::surroundings(&recipe, home)?;
    let (Some(model), Some(adapter)) = (&surroundings.model_folder, &surroundings.adapter_folder) else {
        return Err(Failure::new(format!("merge: {} is a whole model already; there is no adapter on it", recipe.model))
            .hint("Take the folder as it is, or name an adapter with adapter=FOLDER."));
    };
    let is_taken = std::fs::read_dir(&out).map_or_else(|_| out.exists(), |mut entries| entries.next().is_some());
    if is_taken {
        return Err(Failure::new(format!("merge: {} is there already", out.display())).hint("Name a folder that is new or empty."));
    }
    let machine = apertis_trainer::machine(&recipe, surroundings.cores)?;
    let unfinished = unfinished(&out);
    let merged = merge_to_folder(model, adapter, &unfinished, &machine.backend, machine.dtype)
        .map_err(Failure::from)
        .and_then(|()| settle(&unfinished, &out).map_err(|error| Failure::new(format!("merge: {}: {error}", out.display()))));
    if let Err(failure) = merged {
        // Half a model is nobody's.
        let _ = std::fs::remove_dir_all(&unfinished);
        return Err(failure);
    }
    printer.line(format!("merged into {}", out.display()));
    printer.json(&json!({ "model": model, "adapter": adapter, "out": std::path::absolute(&out).unwrap_or(out) }));
    Ok(ExitCode::SUCCESS)
}

/// A folder beside the one that is wanted, so that moving it there is one step.
fn unfinished(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    out.with_file_name(name)
}

/// Brings every file to the disk, and then the folder to its place.
fn settle(unfinished: &Path, out: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(unfinished)? {
        let path = entry?.path();
        if path.is_file() {
            std::fs::File::open(path)?.sync_all()?;
        }
    }
    if out.is_dir() {
        // It is empty.
        std::fs::remove_dir(out)?;
    }
    std::fs::rename(unfinished, out)
}
