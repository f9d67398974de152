//! Files of as many conversations as wanted, all different, the same on every machine: pieces of
//! the demo's corpus, asked for and answered.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

/// When a file ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Rows(u64),
    Bytes(u64),
}

/// Conversations, their texts escaped once, that only a number tells apart.
const PATTERNS: usize = 20_000;

/// Writes the file where it is not there yet.
pub(super) fn write(root: &Path, path: &Path, until: Until) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let corpus = std::fs::read_to_string(root.join("fixtures/demo/corpus.txt")).context("bench: cannot read the corpus")?;
    let words: Vec<&str> = corpus.split_whitespace().collect();
    ensure!(words.len() > 2_000, "bench: the corpus has only {} words", words.len());
    let mut random = 1;
    let patterns: Vec<(String, String)> = (0..PATTERNS).map(|_| pattern(&words, &mut random)).collect();
    let partial = path.with_extension("partial");
    let mut file = BufWriter::new(std::fs::File::create(&partial).with_context(|| format!("bench: cannot write {}", partial.display()))?);
    let (mut rows, mut bytes) = (0, 0);
    while match until {
        Until::Rows(most) => rows < most,
        Until::Bytes(most) => bytes < most,
    } {
        let (before, after) = &patterns[below(PATTERNS, &mut random)];
        let row = format!("{before}{rows}{after}\n");
        file.write_all(row.as_bytes()).context("bench: cannot write rows")?;
        rows += 1;
        bytes += row.len() as u64;
    }
    file.flush().context("bench: cannot write rows")?;
    std::fs::rename(&partial, path).with_context(|| format!("bench: cannot name {}", path.display()))
}

/// A row around the place of its number: one to three turns, some with a system message.
fn pattern(words: &[&str], random: &mut u64) -> (String, String) {
    let mut text = |least: usize, most: usize| {
        let count = least + below(most - least, random);
        let start = below(words.len() - count, random);
        words[start..start + count].join(" ")
    };
    let mut messages = vec![json!({"role": "user", "content": format!("Row \u{1}: {}", text(4, 60))})];
    // Most answers are short, a few are long.
    messages.push(json!({"role": "assistant", "content": text(3, 120)}));
    if text(1, 5).len() % 3 == 0 {
        messages.push(json!({"role": "user", "content": text(4, 30)}));
        messages.push(json!({"role": "assistant", "content": text(20, 900)}));
    }
    if text(1, 5).len() % 4 == 0 {
        messages.insert(0, json!({"role": "system", "content": text(3, 12)}));
    }
    let row = json!({ "messages": messages }).to_string();
    let (before, after) = row.split_once("\\u0001").unwrap_or((&row, ""));
    (before.to_owned(), after.to_owned())
}

/// A number below `count` (xorshift64*).
fn below(count: usize, random: &mut u64) -> usize {
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    (random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % count
}
