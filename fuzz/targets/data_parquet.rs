//! Parquet: `cargo xtask fuzz data_parquet`. The decoder may panic, which the reader catches; what
//! it does not catch ends the run.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        // The hook would end the process before the reader can catch anything; a panic that
        // leaves the target still ends it.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |bytes: &[u8]| apertis_fuzz::data::read("rows.parquet", bytes)
);
