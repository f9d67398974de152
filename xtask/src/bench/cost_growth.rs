//! Whether a step costs more where there are more rows: the same 300 steps from a thousand and from
//! a hundred thousand rows, in turn, their tokens cached.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::options::Options;
use super::programs::{Programs, figure, folder};
use super::rows::{Until, write};
use super::shape;
use super::table::median;

const ROWS: [u64; 2] = [1_000, 100_000];
const STEPS: u64 = 300;
/// Steps before the caches of the processor and the allocator are warm.
const WARM_STEPS: usize = 2;

/// Medians of one run.
#[derive(Debug, Clone, Copy)]
struct Cost {
    microseconds_per_token: f64,
    peak_bytes: f64,
}

pub(super) fn run(root: &Path, programs: &Programs, options: &Options) -> Result<()> {
    let model = match &options.model {
        Some(model) => model.clone(),
        None => shape::make(shape::TINY, &root.join("fixtures/demo/base"), &folder(root).join("tiny"))?,
    };
    let mut files = Vec::new();
    for rows in ROWS {
        let file = folder(root).join(format!("{rows}-rows.jsonl"));
        write(root, &file, Until::Rows(rows))?;
        // Fills the token cache: a run would begin before all of the file is in it.
        programs.data(&fields(&model, &file), &programs.home)?;
        files.push(file);
    }
    let mut costs: [Vec<Cost>; 2] = Default::default();
    for round in 1..=options.rounds {
        for (costs, file) in costs.iter_mut().zip(&files) {
            costs.push(train(programs, &model, file, STEPS)?);
        }
        eprintln!("round {round}: {:?} {:?}", costs[0].last(), costs[1].last());
    }
    println!("| | 1 thousand rows | 100 thousand rows | ratio, median (each round) | asked |\n|---|---|---|---|---|");
    let quantities: [(&str, fn(&Cost) -> f64, &str); 2] = [
        ("median step, µs a token", |cost| cost.microseconds_per_token, "≤ 1.10"),
        ("peak memory, MB", |cost| cost.peak_bytes / 1e6, "≤ 1.05"),
    ];
    for (name, of, asked) in quantities {
        let [few, many] = costs.each_ref().map(|costs| costs.iter().map(of).collect::<Vec<f64>>());
        let ratios: Vec<f64> = few.iter().zip(&many).map(|(few, many)| many / few).collect();
        let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
        println!("| {name} | {:.2} | {:.2} | {:.3} ({}) | {asked} |", median(&few), median(&many), median(&ratios), each.join(", "));
    }
    Ok(())
}

fn train(programs: &Programs, model: &Path, file: &Path, steps: u64) -> Result<Cost> {
    let mut fields = fields(model, file);
    fields.push(format!("max_steps={steps}"));
    let (answer, _) = programs.train(&fields)?;
    let dir = PathBuf::from(answer["dir"].as_str().context("bench: expected the text `dir`")?);
    let log = std::fs::read_to_string(dir.join("events.jsonl")).context("bench: cannot read the log of the run")?;
    let mut steps = Vec::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).context("bench: a line of the log is no JSON")?;
        if event["kind"] == "step_finished" {
            steps.push(figure(&event, "step_ms")? * 1e3 / figure(&event, "tokens")?);
        }
    }
    Ok(Cost { microseconds_per_token: median(steps.get(WARM_STEPS..).unwrap_or_default()), peak_bytes: figure(&answer, "peak_rss_bytes")? })
}

/// The recipe, without how long it runs.
fn fields(model: &Path, file: &Path) -> Vec<String> {
    let mut fields = vec![format!("model={}", model.display()), format!("data={}", file.display())];
    let common = "method=full learning_rate=1e-4 eval_fraction=0 batch_size=8 max_length=512 schedule=constant warmup_steps=0 patience=0";
    fields.extend(common.split_whitespace().map(str::to_owned));
    fields
}
