//! Whether memory grows with the data: a small and a large file, looked at as bytes and tokenised.

use std::path::Path;

use anyhow::{Context, Result};

use super::options::Options;
use super::programs::{Programs, figure, folder};
use super::rows::{Until, write};

/// Size of the small file.
const SMALL_MEGABYTES: usize = 50;

pub(super) fn run(root: &Path, programs: &Programs, options: &Options) -> Result<()> {
    let base = root.join("fixtures/demo/base");
    let model = options.model.as_deref().unwrap_or(&base);
    let home = folder(root).join("data-home");
    let mut peaks: [Vec<Option<u64>>; 2] = Default::default();
    println!("| | rows | peak memory of the statistics | peak memory of tokenising |\n|---|---|---|---|");
    for megabytes in [SMALL_MEGABYTES, options.megabytes] {
        let file = folder(root).join(format!("rows-{megabytes}mb.jsonl"));
        write(root, &file, Until::Bytes(megabytes as u64 * 1_000_000))?;
        let mut rows = 0.0;
        for (peaks, model) in peaks.iter_mut().zip([None, Some(model)]) {
            let mut fields = vec![format!("data={}", file.display())];
            fields.extend(model.map(|model| format!("model={}", model.display())));
            let (answer, peak) = programs.data(&fields, &home)?;
            rows = figure(&answer, "rows")?;
            peaks.push(peak);
            // Every look begins without a cache, and leaves the disk as it was.
            std::fs::remove_dir_all(&home).with_context(|| format!("bench: cannot empty {}", home.display()))?;
        }
        let shown = |peaks: &[Option<u64>]| {
            let last = peaks.last().copied().flatten();
            last.map_or_else(|| "unknown".to_owned(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6))
        };
        println!("| {megabytes} MB | {rows} | {} | {} |", shown(&peaks[0]), shown(&peaks[1]));
        if megabytes != SMALL_MEGABYTES {
            std::fs::remove_file(&file).with_context(|| format!("bench: cannot remove {}", file.display()))?;
        }
    }
    for (peaks, name) in peaks.iter().zip(["statistics", "tokenising"]) {
        if let [Some(small), Some(large)] = peaks[..] {
            println!("\n{name}: {:+.1} MB from the small to the large file; asked: at most 50 MB", (large as f64 - small as f64) / 1e6);
        }
    }
    Ok(())
}
