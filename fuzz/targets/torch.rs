//! PyTorch's `.bin`: `cargo xtask fuzz torch`. The first byte chooses what the rest is: a whole
//! file, or the pickle of one, which then is put into a zip with some storages beside it.

#![no_main]

use std::io::Write;

use apertis_fuzz::{weights, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let path = match kind % 2 {
        0 => write("pytorch_model.bin", content),
        _ => write("pytorch_model.bin", &in_zip(content)),
    };
    weights::read_tensors(&path);
});

fn in_zip(pickle: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut add = |name: &str, content: &[u8]| {
        archive.start_file(name, options).expect("a name that is new");
        archive.write_all(content).expect("memory takes it");
    };
    add("m/data.pkl", pickle);
    for key in 0..4 {
        add(&format!("m/data/{key}"), &[1; 256]);
    }
    archive.finish().expect("memory takes it").into_inner()
}
