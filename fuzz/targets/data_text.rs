//! Plain text, UTF-16 too: `cargo xtask fuzz data_text`. The first byte chooses the ending.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    apertis_fuzz::data::read(["rows.txt", "rows.md", "rows"][usize::from(kind % 3)], content);
});
