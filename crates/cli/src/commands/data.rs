//! `apertis data`: checks a data set and describes it: formats, reasons, lengths, what is trained.

use std::process::ExitCode;

use apertis_dataset::{DataReport, Dataset, Progress, open_whole};
use apertis_runs::Home;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::view::{count, gigabytes};
use crate::arguments::AssignmentArguments;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::{data, settings};

/// Shares of the rows whose length is shown.
const PERCENTILES: [(&str, f64); 5] = [("p10", 0.1), ("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];
/// Longest example of a bad row, in characters.
const EXAMPLE_CHARACTERS: usize = 100;

pub(crate) fn run(arguments: &AssignmentArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let (recipe, _) = settings::recipe(&arguments.assignments)?;
    let source = data::source(&recipe, home)?;
    let bar = printer.has_terminal().then(|| {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:28} {bytes}/{total_bytes}") {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar
    });
    let mut show = |progress: Progress| {
        if let Some(bar) = &bar {
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes_read);
        }
    };
    let opened = open_whole(&source.settings, &source.tokenizer, &home.cache(), &mut show);
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let prepared = opened?;
    let report = prepared.train.report();
    print(&report, &prepared.train, source.unit, source.settings.max_length, printer)?;
    if let Some(eval) = &prepared.eval {
        printer.line("");
        printer.line("held out by its name:");
        print(&eval.report(), eval, source.unit, source.settings.max_length, printer)?;
    }
    let mut answer = describe(&report, &prepared.train, source.unit)?;
    if let (Some(eval), Some(fields)) = (&prepared.eval, answer.as_object_mut()) {
        fields.insert("held_out".to_owned(), describe(&eval.report(), eval, source.unit)?);
    }
    printer.json(&answer);
    Ok(ExitCode::SUCCESS)
}

fn print(report: &DataReport, dataset: &Dataset, unit: &str, max_length: usize, printer: &Printer) -> Result<(), Failure> {
    for file in &report.files {
        let name = file.path.file_name().unwrap_or(file.path.as_os_str()).to_string_lossy();
        printer.line(format!("{name}: {}, {} rows, {}", file.format, file.rows_read, gigabytes(file.bytes)));
        if !file.unused_fields.is_empty() {
            printer.line(format!("  not used: {}", file.unused_fields.join(", ")));
        }
    }
    let statistics = &report.statistics;
    printer.line(format!("rows      {} read, {} usable", report.rows_read, statistics.rows));
    printer.line(format!("{unit:<9} {} ({} each row on average)", count(statistics.tokens), average(statistics.tokens, statistics.rows)));
    printer.line(format!("trained   {:.1}% of them", 100.0 * statistics.trained_share()));
    if report.has_rows {
        let lengths: Vec<String> =
            PERCENTILES.iter().map(|(name, share)| format!("{name} {}", statistics.length_percentile(*share))).collect();
        printer.line(format!("length    {}, longest {}", lengths.join(", "), statistics.length_max()));
        let longest: Vec<String> =
            statistics.longest().iter().take(3).map(|(length, source)| format!("{} ({length})", report.place(*source))).collect();
        printer.line(format!("longest   {}", longest.join(", ")));
    } else {
        printer.line(format!("windows   {} of {max_length} {unit}", dataset.units()?));
    }
    if statistics.cut_rows > 0 {
        printer.line(format!(
            "cut       {} rows were longer than {max_length} and lost {} {unit}",
            statistics.cut_rows, statistics.cut_tokens
        ));
    }
    if statistics.duplicate_rows > 0 {
        printer.line(format!("copies    {} rows are exact copies of earlier ones", statistics.duplicate_rows));
    }
    if statistics.rejected_answers > 0 {
        printer.line(format!("rejected  {} answers of preference rows are not learned", statistics.rejected_answers));
    }
    for (problem, found) in report.problems.iter() {
        printer.line(format!("{:9} {} rows: {}", if problem.is_fault() { "left out" } else { "skipped" }, found.count, problem.code()));
        for example in found.examples.iter().take(2) {
            printer.line(format!("  {}: {}", report.place(example.source), example.detail));
            let excerpt: String = example.excerpt.chars().take(EXAMPLE_CHARACTERS).collect();
            if !excerpt.is_empty() {
                printer.line(format!("    {excerpt}"));
            }
        }
    }
    for note in &report.notes {
        printer.line(format!("note      {note}"));
    }
    Ok(())
}

fn average(sum: u64, rows: u64) -> u64 {
    sum.checked_div(rows).unwrap_or(0)
}

fn describe(report: &DataReport, dataset: &Dataset, unit: &str) -> Result<Value, Failure> {
    let statistics = &report.statistics;
    let percentiles: serde_json::Map<String, Value> =
        PERCENTILES.iter().map(|(name, share)| ((*name).to_owned(), json!(statistics.length_percentile(*share)))).collect();
    let files: Vec<Value> = report
        .files
        .iter()
        .map(|file| json!({ "path": file.path, "format": file.format, "rows": file.rows_read, "bytes": file.bytes, "unused_fields": file.unused_fields }))
        .collect();
    let reasons = |wants_fault: bool| -> serde_json::Map<String, Value> {
        let wanted = report.problems.iter().filter(|(problem, _)| problem.is_fault() == wants_fault);
        wanted.map(|(problem, found)| (problem.code().to_owned(), reason(report, found))).collect()
    };
    let longest: Vec<Value> = statistics
        .longest()
        .iter()
        .map(|(length, source)| json!({ "length": length, "place": report.place(*source), "line": source.line }))
        .collect();
    Ok(json!({
        "files": files,
        "rows_read": report.rows_read,
        "rows": statistics.rows,
        "unit": unit,
        "tokens": statistics.tokens,
        "target_tokens": statistics.target_tokens,
        "trained_share": statistics.trained_share(),
        "train_units": dataset.units()?,
        "length": percentiles,
        "length_max": statistics.length_max(),
        "longest": longest,
        "cut_rows": statistics.cut_rows,
        "cut_tokens": statistics.cut_tokens,
        "duplicate_rows": statistics.duplicate_rows,
        "rejected_answers": statistics.rejected_answers,
        "dropped": reasons(true),
        "skipped": reasons(false),
        "notes": report.notes,
    }))
}

fn reason(report: &DataReport, found: &apertis_dataset::ProblemCount) -> Value {
    let examples: Vec<Value> = found
        .examples
        .iter()
        .map(|example| json!({ "place": report.place(example.source), "line": example.source.line, "detail": example.detail, "excerpt": example.excerpt }))
        .collect();
    json!({ "count": found.count, "examples": examples })
}
