//! Damaged weights and configs, the same ones each time: every one ends in numbers or in one
//! sentence. Those that once did not stand here by name.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apertis_kernels::{Backend, Context, CpuBackend, Dtype, InstructionSet};
use apertis_model::weights::{Checkpoint, LoadOptions, load_model};
use apertis_model::{ModelConfig, ModelError, ModelSpec, family};
use apertis_testkit::{damaged, fixtures};
use serde_json::{Value, json};

const OPTIONS: LoadOptions = LoadOptions { dtype: Dtype::F32, checks_values: true };

fn backend() -> Arc<dyn Backend> {
    CpuBackend::new(Arc::new(Context::new(1, InstructionSet::Scalar).expect("every machine has it")))
}

/// A sentence, or as many numbers as each shape says.
fn survives(path: &Path) {
    match Checkpoint::from_files(&[path.to_path_buf()]) {
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        Ok(checkpoint) => {
            for name in checkpoint.names() {
                if let Ok(tensor) = checkpoint.tensor(name) {
                    assert_eq!(tensor.to_f32().len(), tensor.shape.iter().product::<usize>(), "{name}");
                }
            }
        }
    }
}

#[test]
fn damaged_weight_files_end_in_numbers_or_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    for source in ["safetensors_f16/model.safetensors", "bin_bf16/pytorch_model.bin", "bin_legacy/pytorch_model.bin"] {
        let content = std::fs::read(fixtures().join("formats").join(source)).expect("committed");
        for bytes in damaged(&content, 600) {
            let path = folder.path().join("weights");
            std::fs::write(&path, &bytes).expect("room");
            survives(&path);
        }
    }
}

#[test]
fn damaged_llama2c_files_end_in_a_model_or_a_sentence() {
    let (folder, backend) = (tempfile::tempdir().expect("a folder"), backend());
    let path = folder.path().join("model.bin");
    let mut content: Vec<u8> = [4i32, 6, 1, 1, 1, 5, 8].iter().flat_map(|size| size.to_le_bytes()).collect();
    content.resize(28 + 4 * (5 * 4 + 3 * 4 + 4 * 16 + 3 * 24 + 8 * 4), 0x3c);
    std::fs::write(&path, &content).expect("room");
    load_model(&path, &backend, &OPTIONS).expect("undamaged, it loads");
    for bytes in damaged(&content, 600) {
        std::fs::write(&path, &bytes).expect("room");
        drop(load_model(&path, &backend, &OPTIONS));
    }
}

#[test]
fn llama2c_sizes_whose_sum_overflows_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.bin");
    // Each stack of 2^20 layers fits 64 bits, their sum does not.
    let sizes = [1 << 20, 1 << 20, 1 << 20, 1, 1, 1 << 20, 1 << 20];
    std::fs::write(&path, sizes.iter().flat_map(|size: &i32| size.to_le_bytes()).collect::<Vec<_>>()).expect("room");
    let error = load_model(&path, &backend(), &OPTIONS).err().expect("refused").to_string();
    assert!(error.contains("found 28 bytes, expected") && error.contains("from its header"), "{error}");
}

/// A PyTorch file with this pickle and one storage of 64 bytes.
fn with_pickle(folder: &Path, pickle: &[u8], storage: &[u8], method: zip::CompressionMethod) -> PathBuf {
    let path = folder.join("pytorch_model.bin");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).expect("room"));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, content) in [("m/data.pkl", pickle), ("m/data/0", storage)] {
        archive.start_file(name, options).expect("a new name");
        archive.write_all(content).expect("room");
    }
    archive.finish().expect("room");
    path
}

fn refusal(path: &Path) -> String {
    Checkpoint::from_files(&[path.to_path_buf()]).err().expect("it is refused").to_string()
}

#[test]
fn a_pickle_whose_maps_hold_each_other_many_times_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    // Fourteen maps, each with the one before in it 200 times: 200^14 ways down.
    let mut pickle = b"\x80\x02}q\0".to_vec();
    for level in 1..15u8 {
        pickle.extend(b"}(");
        for key in 0..200u8 {
            pickle.extend([b'K', key, b'h', level - 1]);
        }
        pickle.extend([b'u', b'q', level]);
    }
    pickle.push(b'.');
    let path = with_pickle(folder.path(), &pickle, &[0; 64], zip::CompressionMethod::Stored);
    assert!(refusal(&path).contains("it holds no tensors"), "{}", refusal(&path));
}

#[test]
fn a_pickle_that_grows_a_noted_list_for_ever_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pickle = b"\x80\x02]q\0".to_vec();
    pickle.extend(b"K\0a".repeat(200_000));
    pickle.push(b'.');
    let path = with_pickle(folder.path(), &pickle, &[0; 64], zip::CompressionMethod::Stored);
    assert!(refusal(&path).contains("no map of names") || refusal(&path).contains("more than 16777216 values"), "{}", refusal(&path));
    // Noted again after each item, so that each of them copies the whole list.
    let mut pickle = b"\x80\x02]".to_vec();
    pickle.extend(b"q\0K\0a".repeat(200_000));
    pickle.push(b'.');
    let path = with_pickle(folder.path(), &pickle, &[0; 64], zip::CompressionMethod::Stored);
    assert!(refusal(&path).contains("more than 16777216 values"), "{}", refusal(&path));
}

#[test]
fn a_storage_packed_to_nothing_is_not_unpacked() {
    let folder = tempfile::tempdir().expect("a folder");
    let count: i32 = 2 << 20;
    let mut pickle =
        b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ"
            .to_vec();
    pickle.extend(count.to_le_bytes());
    pickle.extend(b"tQK\0K\x02\x85K\x01\x85tRs.");
    let path = with_pickle(folder.path(), &pickle, &vec![0; 8 << 20], zip::CompressionMethod::Deflated);
    assert!(refusal(&path).contains("8388608 bytes packed into"), "{}", refusal(&path));
}

fn mapped(document: &Value) -> Result<ModelSpec, ModelError> {
    ModelConfig::from_text(&document.to_string()).and_then(|config| family::map(&config))
}

/// Every family's config with each of its values replaced by each of these: a sentence, or a model
/// whose numbers can be counted.
#[test]
fn configs_with_any_value_wrong_end_in_a_model_or_a_sentence() {
    let values = [
        json!(0),
        json!(1),
        json!(3),
        json!(-1),
        json!(1u64 << 31),
        json!(u64::MAX),
        json!(1e300),
        json!(0.5),
        json!(null),
        json!(true),
        json!("x"),
        json!([]),
        json!([1, "a"]),
        json!({}),
        json!({"rope_type": "yarn"}),
    ];
    let mut count = 0;
    for entry in std::fs::read_dir(fixtures().join("families")).expect("committed") {
        let text = std::fs::read_to_string(entry.expect("readable").path().join("config.json")).expect("committed");
        let sound: Value = serde_json::from_str(&text).expect("JSON");
        mapped(&sound).expect("a sound config");
        for key in sound.as_object().expect("an object").keys() {
            for value in &values {
                let mut document = sound.clone();
                document[key] = value.clone();
                if let Ok(spec) = mapped(&document) {
                    let total = spec.parameters.iter().try_fold(0usize, |sum, part| sum.checked_add(part.rows.checked_mul(part.columns)?));
                    assert!(total.is_some_and(|total| total < 1 << 47), "{key}={value}: {total:?}");
                    for rope in spec.ropes.iter().filter(|rope| rope.rotary_width < 4096) {
                        assert_eq!(rope.table(9, 0, 2).len(), 2 * rope.rotary_width, "{key}={value}");
                    }
                }
                count += 1;
            }
        }
    }
    assert!(count > 5000, "only {count} configs");
}

#[test]
fn configs_that_promise_the_impossible_are_refused_before_memory_is_filled() {
    let check = |case: &str, changes: &[(&str, Value)], expected: &str| {
        let text = std::fs::read_to_string(fixtures().join("families").join(case).join("config.json")).expect("committed");
        let mut document: Value = serde_json::from_str(&text).expect("JSON");
        for (key, value) in changes {
            document[*key] = value.clone();
        }
        let error = mapped(&document).err().unwrap_or_else(|| panic!("{case} {changes:?} was accepted")).to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    };
    for case in ["qwen2", "qwen3_moe", "mixtral", "smollm3", "llama2"] {
        check(case, &[("num_hidden_layers", json!(1u64 << 31))], "expected at most 10000");
    }
    check("gpt2", &[("n_layer", json!(1u64 << 31))], "expected at most 10000");
    check("qwen3_moe", &[("num_experts", json!(60_000)), ("num_hidden_layers", json!(9_000))], "expected at most 262144 of them");
    check("stablelm", &[("num_attention_heads", json!(1u64 << 31))], "expected at most 262144 of them");
    check("llama2", &[("vocab_size", json!(1u64 << 31)), ("hidden_size", json!(1u64 << 31))], "which no model has");
    check("llama2", &[("num_hidden_layers", json!(0))], "expected at least 1 of each");
    check("mistral", &[("sliding_window", json!(0))], "sliding_window of 0");
    check("gpt_neox", &[("hidden_size", json!(33)), ("num_attention_heads", json!(4))], "do not fit");
    check("granite", &[("logits_scaling", json!(0))], "expected another number");
    check("gemma2", &[("final_logit_softcapping", json!(0.0))], "expected a number above 0");
}
