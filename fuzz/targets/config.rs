//! `config.json`: `cargo xtask fuzz config`. A config that is accepted describes a model whose
//! size can be counted, and its rotations can be tabled.

#![no_main]

use apertis_fuzz::check_sentence;
use apertis_model::{ModelConfig, family};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let spec = match ModelConfig::from_text(text).and_then(|config| family::map(&config)) {
        Ok(spec) => spec,
        Err(error) => return check_sentence(error),
    };
    let _ = spec.parameter_count();
    for rope in &spec.ropes {
        for length in [1, 8, spec.context.saturating_add(1)] {
            if rope.rotary_width < 1 << 12 {
                assert_eq!(rope.table(length, 0, 2).len(), 2 * rope.rotary_width);
            }
        }
    }
});
