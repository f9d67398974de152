//! safetensors: `cargo xtask fuzz safetensors`. The first byte chooses what the rest is: a whole
//! file, its header alone, or the index of a sharded folder.

#![no_main]

use apertis_fuzz::{folder, weights, write};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../../fixtures/formats/safetensors_f32/config.json");
const SHARD: &[u8] = include_bytes!("../../fixtures/formats/safetensors_f32/model.safetensors");

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    write("config.json", CONFIG);
    match kind % 3 {
        0 => weights::read_tensors(&write("model.safetensors", content)),
        1 => {
            let mut file = (content.len() as u64).to_le_bytes().to_vec();
            file.extend_from_slice(content);
            file.resize(file.len() + 256, 1);
            weights::read_tensors(&write("model.safetensors", &file));
        }
        _ => {
            let _ = std::fs::remove_file(folder().join("model.safetensors"));
            write("shard.safetensors", SHARD);
            write("model.safetensors.index.json", content);
        }
    }
    weights::read_model(folder());
});
