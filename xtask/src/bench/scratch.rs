//! A character model from nothing, in the shape of nanoGPT's small recipe for tiny Shakespeare.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::options::Options;
use super::programs::{Programs, figure, folder};
use super::table::{Row, head, median};

pub(super) fn run(root: &Path, programs: &Programs, options: &Options) -> Result<()> {
    let text = options.text.clone().unwrap_or_else(|| root.join("fixtures/demo/corpus.txt"));
    let (train, held_out) = split(&text, &folder(root))?;
    let mut peer = Vec::new();
    let mut ours: [Vec<(f64, f64)>; 2] = Default::default();
    for seed in 1..=options.rounds {
        let arguments = [text.as_os_str(), "--seed".as_ref(), seed.to_string().as_ref()].map(OsString::from);
        if let Some((answer, _)) = programs.peer("peer_scratch.py", &arguments)? {
            peer.push((figure(&answer, "seconds")?, figure(&answer, "val_loss")?));
        }
        for (figures, precision) in ours.iter_mut().zip(["bf16", "f32"]) {
            figures.push(train_once(programs, &train, &held_out, seed, precision)?);
        }
        eprintln!("seed {seed}: ours {:?} {:?}, peer {:?}", ours[0].last(), ours[1].last(), peer.last());
    }
    let column = |figures: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| figures.iter().map(of).collect::<Vec<f64>>();
    head();
    for (figures, precision, asked) in [(&ours[0], "bf16", "≤ 0.333"), (&ours[1], "f32", "≤ 0.556")] {
        let (seconds, peer_seconds) = (column(figures, |figure| figure.0), column(&peer, |figure| figure.0));
        let name = format!("{precision}: seconds of the whole command; its steps alone");
        Row { name: &name, unit: "s", ours: &seconds, peer: &peer_seconds, asked }.print();
        let (loss, peer_loss) = (column(figures, |figure| figure.1), column(&peer, |figure| figure.1));
        Row { name: &format!("{precision}: held-out loss"), unit: "", ours: &loss, peer: &peer_loss, asked: "≤ 1.90" }.print();
        println!("| {precision}: mean loss of the seeds | {:.4} | {:.4} | | peer + 0.02 |", mean(&loss), mean(&peer_loss));
    }
    println!("\nmedian seconds: bf16 {:.1}", median(&column(&ours[0], |figure| figure.0)));
    Ok(())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Seconds of the whole command, and its held-out loss.
fn train_once(programs: &Programs, train: &Path, held_out: &Path, seed: usize, precision: &str) -> Result<(f64, f64)> {
    let mut fields: Vec<String> = [
        format!("data={}", train.display()),
        format!("eval_data={}", held_out.display()),
        format!("seed={seed}"),
        format!("precision={precision}"),
    ]
    .into();
    let common = "method=scratch tokenizer=char model.layers=4 model.heads=4 model.width=128 model.context=64 batch_size=12 max_steps=2000 \
        learning_rate=1e-3 min_learning_rate_ratio=0.1 warmup_steps=100 weight_decay=0.1 adam_beta2=0.99 eval_steps=2000 patience=0 sample_tokens=0";
    fields.extend(common.split_whitespace().map(str::to_owned));
    let (answer, elapsed) = programs.train(&fields)?;
    Ok((elapsed.as_secs_f64(), figure(&answer, "eval_loss")?))
}

/// The first nine tenths of a text's characters and its last tenth, as two files.
fn split(text: &Path, folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let whole = std::fs::read_to_string(text).with_context(|| format!("bench: cannot read {}", text.display()))?;
    let count = whole.chars().count();
    let cut = whole.char_indices().nth(count * 9 / 10).map_or(whole.len(), |(at, _)| at);
    let paths = (folder.join("train.txt"), folder.join("held-out.txt"));
    for (path, part) in [(&paths.0, &whole[..cut]), (&paths.1, &whole[cut..])] {
        std::fs::write(path, part).with_context(|| format!("bench: cannot write {}", path.display()))?;
    }
    Ok(paths)
}
