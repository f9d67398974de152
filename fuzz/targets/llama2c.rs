//! llama2.c's model files: `cargo xtask fuzz llama2c`.

#![no_main]

use apertis_fuzz::{weights, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| weights::read_model(&write("model.bin", bytes)));
