//! gzip and zstd around rows: `cargo xtask fuzz data_compressed`. The first byte chooses the ending.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    apertis_fuzz::data::read(["rows.jsonl.gz", "rows.csv.zst", "rows.txt.gz"][usize::from(kind % 3)], content);
});
