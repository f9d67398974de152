//! Memory does not grow with the size of the data, neither while it is tokenised nor while it is
//! trained on. Alone in its file, since it looks at the whole process.

mod support;

use std::io::Write;
use std::path::Path;

use apertis_dataset::{DataSettings, Sampler, SamplerSettings};
use support::{open, settings};

/// Peak of resident memory since the last reset, in bytes; `None` where `/proc` does not tell.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

fn reset_peak() -> Option<()> {
    std::fs::write("/proc/self/clear_refs", "5").ok()
}

fn write_rows(path: &Path, rows: usize) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    for row in 0..rows {
        let answer = "answer words ".repeat(1 + row % 37);
        writeln!(file, "{{\"prompt\":\"question {row}\",\"completion\":\"{answer}\"}}").expect("written");
    }
}

/// Peaks of tokenising and of 200 steps over `rows` rows.
fn peaks(folder: &Path, rows: usize) -> Option<(u64, u64)> {
    let path = folder.join(format!("{rows}.jsonl"));
    write_rows(&path, rows);
    let data = DataSettings { block_bytes: 1 << 20, ..settings(path) };
    reset_peak()?;
    let prepared = open(&data, folder).expect("prepared");
    let tokenising = peak_bytes()?;
    reset_peak()?;
    let sampler = Sampler::new(prepared.train, SamplerSettings::default()).expect("a sampler");
    for step in 0..200 {
        sampler.global_batch(step * 17 % 500).expect("a batch");
    }
    Some((tokenising, peak_bytes()?))
}

#[test]
fn five_times_the_data_takes_no_more_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(warm) = peaks(folder.path(), 30_000) else {
        return;
    };
    let (Some(small), Some(large)) = (peaks(folder.path(), 30_001), peaks(folder.path(), 150_000)) else {
        return;
    };
    // 150,000 rows are 39 MB and as many tokens. The allocator keeps some megabytes of what was
    // freed, the tokenizer remembers words, and how many chunks of 1 MB wait for each other depends
    // on what else the machine does.
    let allowed = 20 << 20;
    assert!(large.0 <= small.0 + allowed, "tokenising: {warm:?} {small:?} {large:?}");
    assert!(large.1 <= small.1 + allowed, "training: {warm:?} {small:?} {large:?}");
}
