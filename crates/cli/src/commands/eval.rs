//! `apertis eval`: how well a model predicts data and answers its questions; or two models.

use std::process::ExitCode;

use apertis_domain::Recipe;
use apertis_runs::Home;
use apertis_trainer::evaluate::bootstrap_interval;
use serde_json::{Map, Value, json};

use crate::arguments::EvalArguments;
use crate::failure::Failure;
use crate::measure::{Generated, Generation, Measured, measure};
use crate::printer::Printer;
use crate::scores::{Interval, Patterns};
use crate::settings;

/// Rows shown at either end.
const EXTREMES: usize = 3;
/// Generated rows and their longest answer when nobody says.
const GENERATED_ROWS: u64 = 100;
const GENERATED_TOKENS: usize = 128;
/// Longest answer that is shown.
const SHOWN_CHARACTERS: usize = 100;

pub(crate) fn run(arguments: &EvalArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let (generation, words) = generation(&arguments.assignments)?;
    let is_pair = words.iter().any(|word| word.starts_with("a.") || word.starts_with("b."));
    if !is_pair {
        let measured = measure(&recipe(&words)?, generation.as_ref(), home)?;
        print(&measured, printer);
        printer.json(&Value::Object(describe(&measured)));
        return Ok(ExitCode::SUCCESS);
    }
    let side = |letter: &str| -> Result<Measured, Failure> {
        let (own, other) = (format!("{letter}."), if letter == "a" { "b." } else { "a." });
        // A word of one side comes last, so that it wins over a shared one.
        let shared = words.iter().filter(|word| !word.starts_with(&own) && !word.starts_with(other)).cloned();
        let mine: Vec<String> = shared.chain(words.iter().filter_map(|word| word.strip_prefix(&own).map(str::to_owned))).collect();
        let recipe = recipe(&mine)?;
        if recipe.model.is_empty() {
            return Err(Failure::usage(format!("{own}model: is missing")).hint("Compare two models with a.model=… b.model=…"));
        }
        measure(&recipe, generation.as_ref(), home)
    };
    let (a, b) = (side("a")?, side("b")?);
    for (letter, measured) in [("a", &a), ("b", &b)] {
        printer.line(format!("{letter}: {}", measured.name));
        print(measured, printer);
        printer.line("");
    }
    let difference = difference(&a, &b);
    match difference {
        Some(Interval { mean, low, high }) => {
            let verdict = match (low > 0.0, high < 0.0) {
                (true, _) => "b is better",
                (_, true) => "a is better",
                _ => "no difference that this data can show",
            };
            printer.line(format!("loss of a − loss of b: {mean:.4} ({low:.4}–{high:.4}): {verdict}"));
        }
        None => printer.line("The losses cannot be compared token by token: the models have other tokenizers, or read other rows."),
    }
    printer.json(&json!({ "a": describe(&a), "b": describe(&b), "loss_difference": difference }));
    Ok(ExitCode::SUCCESS)
}

fn recipe(words: &[String]) -> Result<Recipe, Failure> {
    Ok(settings::recipe(words)?.0)
}

/// Takes what is only this command's out of the words.
fn generation(assignments: &[String]) -> Result<(Option<Generation>, Vec<String>), Failure> {
    let mut generation = Generation { rows: GENERATED_ROWS, tokens: GENERATED_TOKENS, patterns: Patterns::default() };
    let mut is_wanted = false;
    let mut words = Vec::new();
    for assignment in assignments {
        let (name, text) = assignment.split_once('=').unwrap_or((assignment, ""));
        let switch = || text.parse::<bool>().map_err(|_| Failure::usage(format!("{name}: found {text:?}, expected true or false")));
        let whole = || {
            let value = text.parse::<u64>().ok().filter(|value| *value > 0);
            value.ok_or_else(|| Failure::usage(format!("{name}: found {text:?}, expected a whole number from 1")))
        };
        match name {
            "generate" => is_wanted = switch()?,
            "generate.rows" => generation.rows = whole()?,
            "generate.tokens" => generation.tokens = whole()? as usize,
            "generate.json" => generation.patterns.wants_json = switch()?,
            "generate.regex" => {
                let regex = regex::Regex::new(text).map_err(|error| Failure::usage(format!("generate.regex: {error}")))?;
                generation.patterns.regex = Some(regex);
            }
            _ => words.push(assignment.clone()),
        }
    }
    Ok((is_wanted.then_some(generation), words))
}

fn print(measured: &Measured, printer: &Printer) {
    let evaluation = &measured.evaluation;
    let loss = evaluation.loss();
    let (low, high) = evaluation.loss_interval();
    printer.line(format!("loss        {loss:.4} ({low:.4}–{high:.4})"));
    printer.line(format!("perplexity  {:.2}", loss.exp()));
    printer.line(format!("accuracy    {:.1}%", 100.0 * evaluation.accuracy()));
    printer.line(format!("rows        {} ({} target tokens)", evaluation.rows.len(), evaluation.target_tokens()));
    for (reason, count) in &measured.dropped {
        printer.line(format!("left out    {count}: {reason}"));
    }
    if evaluation.rows.len() > 2 * EXTREMES {
        let ordered = ordered(measured);
        let shown = |(place, loss): &(&str, f64)| format!("{place} ({loss:.3})");
        let best: Vec<String> = ordered.iter().take(EXTREMES).map(shown).collect();
        let worst: Vec<String> = ordered.iter().rev().take(EXTREMES).map(shown).collect();
        printer.line(format!("best rows   {}", best.join(", ")));
        printer.line(format!("worst rows  {}", worst.join(", ")));
    }
    if measured.generated.is_empty() {
        return;
    }
    printer.line(format!("answers     {} generated, {} rows could not be answered", measured.generated.len(), measured.unanswered_rows));
    for (name, Interval { mean, low, high }) in averages(&measured.generated) {
        printer.line(format!("{name:11} {mean:.3} ({low:.3}–{high:.3})"));
    }
    let mut by_score: Vec<&Generated> = measured.generated.iter().collect();
    by_score.sort_by(|a, b| a.scores.rouge_l.total_cmp(&b.scores.rouge_l));
    for (title, found) in [("worst answer", by_score.first()), ("best answer", by_score.last())] {
        if let Some(found) = found {
            let short = |text: &str| text.chars().take(SHOWN_CHARACTERS).collect::<String>().replace('\n', " ");
            printer.line(format!("{title} ({}): {}", found.place, short(&found.answer)));
            printer.line(format!("  reference: {}", short(&found.reference)));
        }
    }
}

/// Place and loss a token of every judged row, the smallest loss first.
fn ordered(measured: &Measured) -> Vec<(&str, f64)> {
    let judged = measured.evaluation.rows.iter().zip(&measured.places).filter(|(row, _)| row.targets > 0);
    let mut rows: Vec<(&str, f64)> = judged.map(|(row, place)| (place.as_str(), row.nll_sum / row.targets as f64)).collect();
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    rows
}

fn averages(generated: &[Generated]) -> Vec<(&'static str, Interval)> {
    let of = |value: &dyn Fn(&Generated) -> Option<f64>| -> Option<Interval> {
        let values: Vec<f64> = generated.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| Interval::of(&values))
    };
    let all = [
        ("exact_match", of(&|row| Some(row.scores.exact_match))),
        ("token_f1", of(&|row| Some(row.scores.token_f1))),
        ("rouge_l", of(&|row| Some(row.scores.rouge_l))),
        ("regex_match", of(&|row| row.scores.regex_match)),
        ("json_valid", of(&|row| row.scores.json_valid)),
    ];
    all.into_iter().filter_map(|(name, interval)| Some((name, interval?))).collect()
}

fn describe(measured: &Measured) -> Map<String, Value> {
    let evaluation = &measured.evaluation;
    let loss = evaluation.loss();
    let (low, high) = evaluation.loss_interval();
    let rows = |rows: &mut dyn Iterator<Item = (&str, f64)>| -> Vec<Value> {
        rows.take(EXTREMES).map(|(place, loss)| json!({ "place": place, "nll_per_token": loss })).collect()
    };
    let ordered = ordered(measured);
    let answers: Vec<Value> = measured
        .generated
        .iter()
        .map(|row| json!({ "place": row.place, "answer": row.answer, "reference": row.reference, "rouge_l": row.scores.rouge_l }))
        .collect();
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("nll_per_token", json!(loss));
    put("nll_low", json!(low));
    put("nll_high", json!(high));
    put("perplexity", json!(loss.exp()));
    put("accuracy", json!(evaluation.accuracy()));
    put("target_tokens", json!(evaluation.target_tokens()));
    put("rows", json!(evaluation.rows.len()));
    put("dropped", json!(measured.dropped));
    put("best_rows", json!(rows(&mut ordered.iter().copied())));
    put("worst_rows", json!(rows(&mut ordered.iter().rev().copied())));
    if !answers.is_empty() {
        for (name, interval) in averages(&measured.generated) {
            put(name, json!(interval));
        }
        put("generated_rows", json!(answers.len()));
        put("unanswered_rows", json!(measured.unanswered_rows));
        put("answers", json!(answers));
    }
    fields
}

/// By how much the loss of `a` is larger, over the rows that both read.
fn difference(a: &Measured, b: &Measured) -> Option<Interval> {
    let (left, right) = (&a.evaluation.rows, &b.evaluation.rows);
    let is_same = a.tokenizer_hash == b.tokenizer_hash
        && left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| (left.row, left.targets) == (right.row, right.targets));
    if !is_same {
        return None;
    }
    let statistic = |sample: &[usize]| {
        let sum = |value: &dyn Fn(usize) -> f64| sample.iter().map(|index| value(*index)).sum::<f64>();
        sum(&|index| left[index].nll_sum - right[index].nll_sum) / sum(&|index| left[index].targets as f64)
    };
    let all: Vec<usize> = (0..left.len()).collect();
    let (low, high) = bootstrap_interval(left.len(), statistic);
    Some(Interval { mean: statistic(&all), low, high })
}
