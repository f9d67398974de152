//! Measures tokenising: a data file to packed blocks, against the `tokenizers` crate's own batch
//! encoding of the same texts, in turn, on all cores.
//!
//! `cargo run --release -p apertis-dataset --example throughput -- TOKENIZER_FOLDER DATA [TIMES]`

#![expect(clippy::print_stdout, reason = "a measurement that is run by hand")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use apertis_dataset::{Columns, DataSettings, Sample, TooLong, TrainOn, open_whole, samples};
use apertis_tokenizer::{ChatTemplate, Tokenizer, trained_spans};

/// Processor time of this process so far, in hundredths of a second: what other programs on the
/// machine disturb less than the clock on the wall. 0 where there is no `/proc`.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, data, rest @ ..] = arguments.as_slice() else {
        return Err("expected TOKENIZER_FOLDER DATA [TIMES]".into());
    };
    let times: usize = rest.first().map_or(Ok(3), |times| times.parse())?;
    let folder = PathBuf::from(folder);
    let tokenizer = Arc::new(Tokenizer::from_folder(&folder)?);
    let peer = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).map_err(|error| error.to_string())?;
    let template = tokenizer.chat_template().cloned().unwrap_or_else(ChatTemplate::chatml);
    let mut texts = Vec::new();
    for row in samples(&[data.into()], &Columns::default())? {
        match row?.content {
            Ok(converted) => match converted.sample {
                Sample::Document(text) => texts.push(text),
                Sample::Conversation(chat) => {
                    let spans = trained_spans(&template, &chat.messages, chat.tools.as_ref(), TrainOn::Everything)?;
                    texts.push(spans.0);
                }
            },
            Err(problem) => println!("left out: {}", problem.detail),
        }
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    println!("{} texts, {:.1} MB", texts.len(), bytes as f64 / 1e6);
    let mut ratios = Vec::new();
    for _ in 0..times {
        let ticks = cpu_ticks();
        let started = Instant::now();
        let encodings = peer.encode_batch(texts.clone(), false).map_err(|error| error.to_string())?;
        let peer_seconds = started.elapsed().as_secs_f64();
        let peer_ticks = cpu_ticks() - ticks;
        let tokens: usize = encodings.iter().map(tokenizers::Encoding::len).sum();
        drop(encodings);
        let cache = tempfile::tempdir()?;
        let settings = DataSettings { paths: vec![data.into()], too_long: TooLong::Cut, max_length: 1 << 20, ..DataSettings::default() };
        let ticks = cpu_ticks();
        let started = Instant::now();
        let prepared = open_whole(&settings, &tokenizer, cache.path(), &mut |_| {})?;
        let seconds = started.elapsed().as_secs_f64();
        let statistics = prepared.report.statistics;
        println!(
            "tokenizers {:.0} tokens/s ({tokens}, cpu {peer_ticks}), file to blocks {:.0} tokens/s ({}, cpu {})",
            tokens as f64 / peer_seconds,
            statistics.tokens as f64 / seconds,
            statistics.tokens,
            cpu_ticks() - ticks
        );
        ratios.push(statistics.tokens as f64 / seconds / (tokens as f64 / peer_seconds));
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[ratios.len() / 2]);
    Ok(())
}
