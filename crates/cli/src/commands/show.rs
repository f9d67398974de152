//! `apertis show MODEL`: what a model is made of, from its small files.

use std::process::ExitCode;

use apertis_model::{ModelConfig, family};
use apertis_runs::Home;
use apertis_tokenizer::Tokenizer;
use serde_json::json;

use super::view::{count, gigabytes};
use crate::arguments::ShowArguments;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::settings;

pub(crate) fn run(arguments: &ShowArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let resolved = settings::resolve(home, &arguments.model)?;
    let config = ModelConfig::from_folder(&resolved.folder)?;
    let spec = family::map(&config)?;
    let entry = apertis_library::describe(&resolved.folder)?;
    let family_name = config.family()?;
    let parameters = spec.parameter_count() as u64;
    printer.line(format!("model       {}", resolved.folder.display()));
    printer.line(format!("family      {family_name}"));
    printer.line(format!("parameters  {}", count(parameters)));
    printer.line(format!("size        {}", gigabytes(entry.bytes)));
    printer.line(format!("layers      {}", spec.layers.len()));
    printer.line(format!("context     {} tokens", spec.context));
    printer.line(format!("vocabulary  {}", spec.vocabulary));
    let tokenizer = Tokenizer::from_folder(&resolved.folder);
    let template = match &tokenizer {
        Ok(tokenizer) if tokenizer.chat_template().is_some() => "its own",
        Ok(_) => "none; ChatML is taken",
        Err(_) => "-",
    };
    match &tokenizer {
        Ok(tokenizer) => printer.line(format!("tokenizer   {} tokens; chat template: {template}", tokenizer.vocab_size())),
        Err(error) => printer.line(format!("tokenizer   {error}")),
    }
    let adapter = match &resolved.adapter {
        Some(folder) => {
            let adapter = apertis_library::describe(folder)?;
            printer.line(format!(
                "adapter     {} ({} parameters, {})",
                folder.display(),
                adapter.parameters.map_or_else(|| "-".to_owned(), count),
                gigabytes(adapter.bytes)
            ));
            Some(adapter)
        }
        None => None,
    };
    printer.json(&json!({
        "folder": resolved.folder,
        "family": family_name,
        "parameters": parameters,
        "bytes": entry.bytes,
        "layers": spec.layers.len(),
        "context": spec.context,
        "vocabulary": spec.vocabulary,
        "has_tokenizer": tokenizer.is_ok(),
        "has_chat_template": tokenizer.is_ok_and(|tokenizer| tokenizer.chat_template().is_some()),
        "adapter": adapter,
    }));
    Ok(ExitCode::SUCCESS)
}
