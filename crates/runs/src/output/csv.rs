//! `results.csv`: one row an evaluation; where nothing is evaluated, one a checkpoint.

use super::number::significant;
use crate::RunRecord;

const HEADER: [&str; 12] = [
    "step",
    "epoch",
    "tokens",
    "elapsed_seconds",
    "train_loss",
    "eval_loss",
    "eval_perplexity",
    "eval_accuracy",
    "learning_rate",
    "grad_norm",
    "tokens_per_second",
    "best",
];

/// The rows as text. Training values are means over the steps since the row before, the loss
/// weighted by target tokens.
pub fn results_csv(record: &RunRecord) -> String {
    let mut writer = ::csv::WriterBuilder::new().from_writer(Vec::new());
    let mut write = |row: [String; 12]| writer.write_record(row).expect("memory takes every row");
    write(HEADER.map(str::to_owned));
    let best = record.best().map(|point| point.step);
    let mut from = 0;
    if record.evaluations.is_empty() {
        let last = record.steps.last().map(|point| (point.step, point.elapsed_ms));
        let saved = record.checkpoints.iter().map(|point| (point.step, point.elapsed_ms));
        for (step, elapsed_ms) in saved.chain(last) {
            if step > from || from == 0 {
                write(row(record, from, step, elapsed_ms, Default::default(), false));
                from = step;
            }
        }
    }
    for point in &record.evaluations {
        let loss = point.value.loss;
        let evaluated = [significant(loss, 7), significant(loss.exp(), 6), significant(point.value.accuracy, 6)];
        let is_best = Some(point.step) == best;
        write(row(record, from, point.step, point.elapsed_ms, evaluated, is_best));
        from = point.step;
    }
    let bytes = writer.into_inner().expect("memory takes every row");
    String::from_utf8(bytes).expect("rows are made of texts")
}

fn row(
    record: &RunRecord,
    from: u64,
    to: u64,
    elapsed_ms: u64,
    [eval_loss, perplexity, accuracy]: [String; 3],
    is_best: bool,
) -> [String; 12] {
    let first = record.steps.partition_point(|point| point.step <= from);
    let end = record.steps.partition_point(|point| point.step <= to);
    let steps = &record.steps[first.min(end)..end];
    let newest = record.steps[..end].last();
    let sum = |value: &dyn Fn(&apertis_domain::event::StepFinished) -> f64| -> f64 { steps.iter().map(|point| value(&point.value)).sum() };
    let targets = sum(&|step| step.target_tokens as f64);
    let loss = sum(&|step| step.loss * step.target_tokens as f64) / targets;
    let grad_norm = sum(&|step| step.grad_norm) / steps.len() as f64;
    let speed = sum(&|step| step.tokens as f64) / (sum(&|step| step.step_ms) / 1000.0);
    [
        to.to_string(),
        significant(newest.map_or(0.0, |point| point.value.epoch), 5),
        newest.map_or(0, |point| point.tokens).to_string(),
        significant(elapsed_ms as f64 / 1000.0, 6),
        significant(loss, 7),
        eval_loss,
        perplexity,
        accuracy,
        significant(newest.map_or(f64::NAN, |point| point.value.learning_rate), 6),
        significant(grad_norm, 6),
        significant(speed, 6),
        if is_best { "1".to_owned() } else { String::new() },
    ]
}
