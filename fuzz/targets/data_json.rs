//! JSON Lines, arrays and sequences of JSON: `cargo xtask fuzz data_json`. The first byte chooses
//! the ending.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    apertis_fuzz::data::read(["rows.jsonl", "rows.json"][usize::from(kind % 2)], content);
});
