//! Tables of any separator: `cargo xtask fuzz data_table`. The first byte chooses the ending.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    apertis_fuzz::data::read(["rows.csv", "rows.tsv"][usize::from(kind % 2)], content);
});
