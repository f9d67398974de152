//! `apertis bench train|run`: how quick this machine is with a model.

use std::process::ExitCode;
use std::time::Instant;

use apertis_model::generate::{GenerateSettings, Generator};
use apertis_runs::Home;
use serde_json::json;

use super::view::gigabytes;
use crate::arguments::{BenchArguments, BenchWhat};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::rehearsal::rehearse;
use crate::{model, settings};

/// The first step is left out of the median.
const STEPS: u64 = 11;
/// Prompt and answer of `bench run`.
const PROMPT_TOKENS: usize = 256;
const ANSWER_TOKENS: usize = 64;
/// Each number is the median of so many.
const REPETITIONS: usize = 3;

pub(crate) fn run(arguments: &BenchArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    match arguments.what {
        BenchWhat::Train => train(arguments, home, printer),
        BenchWhat::Run => generate(arguments, home, printer),
    }
}

fn train(arguments: &BenchArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let (mut recipe, _) = settings::recipe(&arguments.assignments)?;
    if recipe.data.is_empty() {
        let path = home.cache().join("bench.txt");
        std::fs::write(&path, text()).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        recipe.data = path.display().to_string();
    }
    recipe.check()?;
    let found = rehearse(&recipe, home, STEPS)?;
    printer.line(format!("start     {:.2} s until the first step", found.start_seconds));
    printer.line(format!("step      {:.3} s (median of {})", found.step_seconds(), found.steps.len().saturating_sub(1)));
    printer.line(format!("speed     {:.0} tokens/s", found.tokens_per_second()));
    printer.line(format!("memory    {}", gigabytes(found.peak_rss_bytes)));
    printer.json(&json!({
        "tokens_per_second": found.tokens_per_second(),
        "step_seconds": found.step_seconds(),
        "start_seconds": found.start_seconds,
        "peak_rss_bytes": found.peak_rss_bytes,
        "instruction_set": found.plan.instruction_set,
        "threads": found.plan.threads,
        "precision": found.plan.precision,
    }));
    Ok(ExitCode::SUCCESS)
}

/// Plain text of ordinary word lengths, the same every time.
fn text() -> String {
    const WORDS: [&str; 12] = ["harbour", "the", "rope", "morning", "of", "a", "boat", "wind", "carries", "slowly", "and", "lantern"];
    let mut state = 7_u32;
    let mut word = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        WORDS[(state >> 16) as usize % WORDS.len()]
    };
    (0..20_000).map(|_| (0..9).map(|_| word()).collect::<Vec<_>>().join(" ") + ".\n").collect()
}

fn generate(arguments: &BenchArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let (recipe, _) = settings::recipe(&arguments.assignments)?;
    let began = Instant::now();
    let opened = model::open(&recipe, home)?;
    let load_seconds = began.elapsed().as_secs_f64();
    let spec = opened.decoder.spec();
    let answer_tokens = ANSWER_TOKENS.min(spec.context / 2);
    let prompt_tokens = PROMPT_TOKENS.min(spec.context - answer_tokens);
    let ids: Vec<u32> = (0..prompt_tokens).map(|at| (at * 7919 % spec.vocabulary) as u32).collect();
    let settings = GenerateSettings { temperature: 0.0, max_tokens: answer_tokens, ..GenerateSettings::default() };
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        let began = Instant::now();
        let mut generator = Generator::new(&opened.decoder, opened.adapter.as_ref(), &ids, &settings)?;
        let read = began.elapsed().as_secs_f64();
        while generator.next_token()?.is_some() {}
        prefill.push(prompt_tokens as f64 / read);
        // The first token comes with the prompt.
        decode.push((answer_tokens - 1) as f64 / (began.elapsed().as_secs_f64() - read).max(1e-9));
    }
    for rates in [&mut prefill, &mut decode] {
        rates.sort_by(f64::total_cmp);
    }
    let (prefill, decode) = (prefill[REPETITIONS / 2], decode[REPETITIONS / 2]);
    printer.line(format!("load      {load_seconds:.2} s"));
    printer.line(format!("prefill   {prefill:.0} tokens/s ({prompt_tokens} tokens)"));
    printer.line(format!("decode    {decode:.1} tokens/s ({answer_tokens} tokens)"));
    printer.json(&json!({
        "load_seconds": load_seconds,
        "prefill_tokens_per_second": prefill,
        "decode_tokens_per_second": decode,
        "prompt_tokens": prompt_tokens,
        "answer_tokens": answer_tokens,
    }));
    Ok(ExitCode::SUCCESS)
}
