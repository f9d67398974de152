//! Every weight format against the logits of PyTorch, and files that lie, are cut short or hold
//! something else: one sentence each, never a panic.

mod reference;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apertis_kernels::{Backend, Context, CpuBackend, Dtype, InstructionSet};
use apertis_model::Decoder;
use apertis_model::decoder::{Arena, Batch};
use apertis_model::weights::{Checkpoint, LoadOptions, load_model};
use proptest::prelude::*;

const OPTIONS: LoadOptions = LoadOptions { dtype: Dtype::F32, checks_values: true };

fn backend() -> Arc<dyn Backend> {
    let set = *InstructionSet::available().last().expect("at least one");
    CpuBackend::new(Arc::new(Context::new(1, set).expect("available")))
}

fn formats() -> Vec<PathBuf> {
    let root = apertis_testkit::fixtures().join("formats");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root).expect("committed").map(|entry| entry.expect("readable").path()).collect();
    folders.sort();
    assert!(folders.len() >= 12, "found {} formats", folders.len());
    folders
}

#[test]
fn every_format_gives_the_reference_s_logits() {
    let backend = backend();
    for folder in formats().iter().filter(|folder| folder.join("expected.safetensors").is_file()) {
        let (_, weights) = load_model(folder, &backend, &OPTIONS).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let bytes = std::fs::read(folder.join("expected.safetensors")).expect("recorded");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("sound");
        let integers = |name: &str| -> Vec<u32> {
            let data = file.tensor(name).expect("recorded").data().to_vec();
            data.chunks_exact(8).map(|chunk| i64::from_le_bytes(chunk.try_into().expect("eight bytes")) as u32).collect()
        };
        let expected: Vec<f32> = file
            .tensor("logits")
            .expect("recorded")
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().expect("four")))
            .collect();
        let batch = Batch { ids: integers("ids"), offsets: integers("offsets"), ..Batch::default() };
        let decoder = Decoder::new(weights);
        let count = batch.ids.len();
        let mut arena = Arena::new(&backend, decoder.logits_bytes(count, count, None)).expect("tiny");
        let rows: Vec<u32> = (0..count as u32).collect();
        let logits = decoder.logits(&mut arena, &batch, &rows, None, None).expect("the batch fits");
        let largest = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
        for (ours, theirs) in logits.iter().zip(&expected) {
            assert!((ours - theirs).abs() <= 2e-5 * largest, "{}: {ours} instead of {theirs}", folder.display());
        }
    }
}

#[test]
fn a_pickle_that_calls_something_is_refused_by_name() {
    let folder = apertis_testkit::fixtures().join("formats/bin_with_code");
    let error = load_model(&folder, &backend(), &OPTIONS).err().expect("it holds a call").to_string();
    assert!(error.contains("a call of __builtin__.print, expected tensors alone; nothing of it was run"), "{error}");
}

/// A copy of a format's folder with one file changed.
fn with_file(format: &str, name: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> tempfile::TempDir {
    let source = apertis_testkit::fixtures().join("formats").join(format);
    let out = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(&source).expect("committed") {
        let path = entry.expect("readable").path();
        std::fs::copy(&path, out.path().join(path.file_name().expect("a name"))).expect("room");
    }
    let path = out.path().join(name);
    let bytes = change(std::fs::read(&path).expect("it is there"));
    std::fs::write(&path, bytes).expect("room");
    out
}

fn refused(folder: &Path) -> String {
    load_model(folder, &backend(), &OPTIONS).err().expect("it is refused").to_string()
}

/// A safetensors file with this header and so many bytes of numbers.
fn with_header(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data_bytes, 0);
    bytes
}

/// A header of 640 bytes was taken for a pickle: its length begins with the same two bytes.
#[test]
fn headers_as_long_as_another_format_s_first_bytes_are_read() {
    for start in [[0x80, 0x02], *b"PK"] {
        let folder = with_file("safetensors_f32", "model.safetensors", |bytes| {
            let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
            let wanted = (0..).map(|high| high << 16 | usize::from(u16::from_le_bytes(start))).find(|wanted| *wanted >= length);
            let padding = wanted.expect("lengths grow") - length;
            let mut longer = ((length + padding) as u64).to_le_bytes().to_vec();
            longer.extend(&bytes[8..8 + length]);
            longer.resize(longer.len() + padding, b' ');
            longer.extend(&bytes[8 + length..]);
            longer
        });
        load_model(folder.path(), &backend(), &OPTIONS).unwrap_or_else(|error| panic!("{start:?}: {error}"));
    }
}

#[test]
fn damaged_safetensors_are_one_sentence() {
    let check = |change: &dyn Fn(Vec<u8>) -> Vec<u8>, expected: &str| {
        let folder = with_file("safetensors_f32", "model.safetensors", change);
        let error = refused(folder.path());
        assert!(error.contains(expected) && !error.contains('\n'), "{expected}: {error}");
    };
    check(&|_| Vec::new(), "not a sound safetensors file");
    check(&|bytes| bytes[..bytes.len() - 5].to_vec(), "not a sound safetensors file");
    check(&|bytes| bytes[..20].to_vec(), "not a sound safetensors file");
    check(&|_| u64::MAX.to_le_bytes().to_vec(), "not a sound safetensors file");
    check(&|_| with_header("{ not json", 8), "not a sound safetensors file");
    let one = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    check(
        &|_| with_header(&format!(r#"{{{one},"b":{{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}}}"#), 12),
        "not a sound safetensors file",
    );
    check(&|_| with_header(r#"{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,8]}}"#, 8), "not a sound safetensors file");
    check(&|_| with_header(&format!("{{{one}}}"), 8), "is missing");
    // The last number of the file is the last of some tensor.
    let nan = |mut bytes: Vec<u8>| {
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        bytes
    };
    check(&nan, "is NaN, expected finite numbers");
}

#[test]
fn damaged_folders_are_one_sentence() {
    let check = |format: &str, name: &str, from: &str, to: &str, expected: &str| {
        let folder = with_file(format, name, |bytes| {
            let text = String::from_utf8(bytes).expect("text");
            assert!(text.contains(from), "{from}");
            text.replace(from, to).into_bytes()
        });
        let error = refused(folder.path());
        assert!(error.contains(expected) && !error.contains('\n'), "{expected}: {error}");
    };
    let index = "model.safetensors.index.json";
    check("safetensors_sharded", index, "model-00002-of-00003", "model-00009-of-00003", "which is missing");
    check("safetensors_sharded", index, "\"model-00002-of-00003", "\"../model-00002-of-00003", "expected a file of this folder");
    check("safetensors_sharded", index, "weight_map", "weights", "weight_map is missing");
    check("safetensors_sharded", index, "{", "[", "not JSON");
    check("bin_sharded", "pytorch_model.bin.index.json", "-00001-of", "-00007-of", "which is missing");
    check("safetensors_f32", "config.json", "\"llama\"", "\"lama\"", "model_type \"lama\" is not supported");
    check("safetensors_f32", "config.json", "{", "[", "not JSON");
    check("safetensors_f32", "config.json", "\"hidden_size\": 8", "\"hidden_size\": 16", "found shape");
    check("safetensors_f32", "config.json", "\"hidden_size\": 8", "\"hidden_size\": -8", "hidden_size: found -8");
    let empty = tempfile::tempdir().expect("a temporary folder");
    assert!(refused(empty.path()).contains("config.json"));
}

#[test]
fn damaged_pickles_are_one_sentence() {
    let check = |format: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let folder = with_file(format, "pytorch_model.bin", change);
        let error = refused(folder.path());
        assert!(!error.contains('\n'), "{error}");
    };
    for format in ["bin_f32", "bin_legacy", "bin_views"] {
        check(format, &|bytes| bytes[..bytes.len() / 2].to_vec());
        check(format, &|bytes| bytes[..2].to_vec());
        check(format, &|_| Vec::new());
    }
    // 100,000 tuples, each inside the next, would end a thread's stack.
    let nested = |_: Vec<u8>| {
        let mut bytes = vec![0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.', b')'];
        bytes.extend(std::iter::repeat_n(0x85, 100_000));
        bytes.push(b'.');
        bytes
    };
    let folder = with_file("bin_legacy", "pytorch_model.bin", nested);
    assert!(refused(folder.path()).contains("nested more than"));
}

/// A llama2.c model of version 0 with one layer of width 4.
fn llama2c(vocabulary: i32) -> Vec<u8> {
    let (width, hidden, context) = (4usize, 6usize, 8usize);
    let count = vocabulary.unsigned_abs() as usize;
    let numbers = count * width
        + 2 * width
        + 4 * width * width
        + 3 * width * hidden
        + width
        + context * 4
        + if vocabulary < 0 { count * width } else { 0 };
    let mut bytes: Vec<u8> = [4, 6, 1, 1, 1, vocabulary, 8].iter().flat_map(|size: &i32| size.to_le_bytes()).collect();
    bytes.extend((0..numbers).flat_map(|index| (index as f32 * 0.01).sin().to_le_bytes()));
    bytes
}

#[test]
fn llama2c_files_and_folders_load_or_say_what_is_wrong() {
    let backend = backend();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tiny.bin");
    for (vocabulary, is_tied) in [(5, true), (-5, false)] {
        std::fs::write(&path, llama2c(vocabulary)).expect("room");
        for source in [path.as_path(), folder.path()] {
            let (config, weights) = load_model(source, &backend, &OPTIONS).expect("a sound file");
            assert_eq!((weights.spec.vocabulary, weights.spec.is_tied()), (5, is_tied));
            assert_eq!(config.document["tie_word_embeddings"], is_tied);
        }
    }
    let refused_bytes = |bytes: &[u8], expected: &str| {
        std::fs::write(&path, bytes).expect("room");
        let error = load_model(&path, &backend, &OPTIONS).err().expect("it is refused").to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    };
    refused_bytes(&llama2c(5)[..100], "expected 828 from its header");
    refused_bytes(b"short", "ends inside its header");
    refused_bytes(&[0xff; 64], "expected seven sizes");
    std::fs::write(folder.path().join("other.bin"), llama2c(5)).expect("room");
    assert!(load_model(folder.path(), &backend, &OPTIONS).err().expect("two files").to_string().contains("name one of these files"));
}

/// Reads every tensor of a file; whatever happens must be an error or numbers.
fn read_all(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("any.bin");
    std::fs::write(&path, bytes).expect("room");
    if let Ok(checkpoint) = Checkpoint::from_files(std::slice::from_ref(&path)) {
        for name in checkpoint.names() {
            if let Ok(tensor) = checkpoint.tensor(name) {
                assert_eq!(tensor.to_f32().len(), tensor.shape.iter().product::<usize>());
            }
        }
    }
    drop(load_model(&path, &backend(), &OPTIONS));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_change_of_a_weight_file_is_an_error_or_numbers(
        format in 0usize..5,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let root = apertis_testkit::fixtures().join("formats");
        let mut bytes = match format {
            0 => std::fs::read(root.join("safetensors_f32/model.safetensors")),
            1 => std::fs::read(root.join("bin_f32/pytorch_model.bin")),
            2 => std::fs::read(root.join("bin_legacy/pytorch_model.bin")),
            3 => std::fs::read(root.join("bin_views/pytorch_model.bin")),
            _ => Ok(llama2c(5)),
        }
        .expect("committed");
        for (place, value) in &changes {
            // Headers are where lies matter: half of the changes go there.
            let end = if value % 2 == 0 { bytes.len().min(2200) } else { bytes.len() };
            let at = place.index(end);
            bytes[at] = *value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_all(&bytes);
    }
}
