//! Compares batch encoding with offsets against the `tokenizers` crate's own batch
//! encoding on the lines of a file, in turn, three times, by the median ratio:
//! `cargo run --release -p apertis-tokenizer --example encode_throughput -- FILE TOKENIZER_DIR`.

#![expect(clippy::print_stdout, reason = "an example is a program of its own")]

use std::path::Path;
use std::time::Instant;

use apertis_tokenizer::Tokenizer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("expected FILE and TOKENIZER_DIR".into());
    };
    let text = std::fs::read_to_string(file)?;
    let texts: Vec<&str> = text.lines().collect();
    let ours = Tokenizer::from_folder(Path::new(&folder))?;
    // The other side reads what we would save, so that both run the same pipeline.
    let saved = std::env::temp_dir().join(format!("apertis-throughput-{}", std::process::id()));
    ours.save(&saved)?;
    let theirs = tokenizers::Tokenizer::from_file(saved.join("tokenizer.json")).map_err(|error| error.to_string())?;
    std::fs::remove_dir_all(&saved)?;

    let megabytes = text.len() as f64 / 1e6;
    let mut ratios = Vec::new();
    for turn in 1..=3 {
        let start = Instant::now();
        let encoded = ours.encode_batch_with_offsets(&texts, true)?;
        let ours_seconds = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let reference = theirs.encode_batch(texts.clone(), true).map_err(|error| error.to_string())?;
        let theirs_seconds = start.elapsed().as_secs_f64();
        let same = encoded.iter().zip(&reference).all(|(ours, theirs)| ours.ids == theirs.get_ids());
        let tokens: usize = encoded.iter().map(|encoding| encoding.ids.len()).sum();
        println!(
            "turn {turn}: {tokens} tokens, same ids: {same}; ours {:.1} MB/s, tokenizers {:.1} MB/s",
            megabytes / ours_seconds,
            megabytes / theirs_seconds
        );
        ratios.push(theirs_seconds / ours_seconds);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio of speeds: {:.2}", ratios[1]);
    Ok(())
}
