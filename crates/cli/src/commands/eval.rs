//! `apertis eval`: how well a model predicts data.

use std::collections::BTreeMap;
use std::process::ExitCode;

use apertis_runs::Home;
use apertis_trainer::evaluate::evaluate_model;
use apertis_trainer::setup::data_settings;
use serde_json::json;

use crate::arguments::EvalArguments;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::{model, settings};

/// Tokens computed at once.
const MICRO_BATCH_TOKENS: usize = 2048;

pub(crate) fn run(arguments: &EvalArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let (recipe, _) = settings::recipe(&arguments.assignments)?;
    if recipe.data.is_empty() {
        return Err(Failure::usage("data: is missing").hint("Say which with data=FILE."));
    }
    let opened = model::open(&recipe, home)?;
    let tokenizer = opened.tokenizer()?;
    let surroundings = settings::surroundings(&recipe, home)?;
    let max_length = if recipe.max_length == 0 { opened.decoder.spec().context.clamp(2, 2048) } else { recipe.max_length };
    let mut data = data_settings(&recipe, &surroundings, max_length)?;
    data.eval_fraction = 0.0;
    let prepared = apertis_dataset::open_whole(&data, &tokenizer, &home.cache(), &mut |_| {})?;
    let evaluation = evaluate_model(&opened.decoder, opened.adapter.as_ref(), &prepared.train, MICRO_BATCH_TOKENS, |_| {})?;
    if evaluation.target_tokens() == 0 {
        return Err(Failure { code: "data_empty", ..Failure::new("eval: the data has no token to predict") });
    }
    let dropped: BTreeMap<String, u64> = prepared
        .report
        .problems
        .iter()
        .filter(|(problem, _)| problem.is_fault())
        .map(|(problem, count)| (problem.code().to_owned(), count.count))
        .collect();
    let loss = evaluation.loss();
    let (low, high) = evaluation.loss_interval();
    printer.line(format!("loss        {loss:.4} ({low:.4}–{high:.4})"));
    printer.line(format!("perplexity  {:.2}", loss.exp()));
    printer.line(format!("accuracy    {:.1}%", 100.0 * evaluation.accuracy()));
    printer.line(format!("rows        {} ({} target tokens)", evaluation.rows.len(), evaluation.target_tokens()));
    for (reason, count) in &dropped {
        printer.line(format!("left out    {count}: {reason}"));
    }
    printer.json(&json!({
        "nll_per_token": loss,
        "nll_low": low,
        "nll_high": high,
        "perplexity": loss.exp(),
        "accuracy": evaluation.accuracy(),
        "target_tokens": evaluation.target_tokens(),
        "rows": evaluation.rows.len(),
        "dropped": dropped,
    }));
    Ok(ExitCode::SUCCESS)
}
