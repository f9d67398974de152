//! New adapters with modules trained in full: which modules a name means, what is written, that it is
//! read back the same, and what is refused before a run instead of after it.
//!
//! With `APERTIS_EXPORTS=FOLDER` the adapters stay there, each beside its logits, for
//! `cargo xtask references --exports`.

mod reference;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apertis_kernels::{Backend, Dtype};
use apertis_model::adapter::{self, AdapterSettings};
use apertis_model::decoder::{Arena, Batch};
use apertis_model::weights::{Checkpoint, LoadOptions, load_model};
use apertis_model::{Adapter, Decoder, ModelWeights, Trainable};
use reference::fastest_and_deferred;

const IDS: [u32; 5] = [3, 1, 4, 1, 5];
const OPTIONS: LoadOptions = LoadOptions { dtype: Dtype::F32, checks_values: true };

fn base(family: &str) -> PathBuf {
    apertis_testkit::fixtures().join("families").join(family)
}

fn load(family: &str, backend: &Arc<dyn Backend>) -> Arc<ModelWeights> {
    load_model(&base(family), backend, &OPTIONS).expect("the fixture loads").1
}

fn settings(targets: &[&str], modules_to_save: &[&str]) -> AdapterSettings {
    let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
    AdapterSettings {
        rank: 4,
        alpha: 8.0,
        dropout: 0.0,
        targets: words(targets),
        use_rslora: false,
        use_dora: false,
        modules_to_save: words(modules_to_save),
    }
}

fn logits(weights: &Arc<ModelWeights>, adapter: Option<&Adapter>) -> Vec<f32> {
    let decoder = Decoder::new(Arc::clone(weights));
    let mut arena = Arena::new(weights.backend(), decoder.logits_bytes(IDS.len(), IDS.len(), adapter)).expect("tiny");
    let rows: Vec<u32> = (0..IDS.len() as u32).collect();
    decoder.logits(&mut arena, &Batch::from_rows(&[IDS.to_vec()]), &rows, adapter, None).expect("the ids fit")
}

/// As training would: every number of the adapter moves a little.
fn disturb(adapter: &Adapter, backend: &Arc<dyn Backend>) {
    let move_all = |tensor, size: f32| {
        let moved: Vec<f32> =
            backend.read_f32(tensor).iter().enumerate().map(|(at, value)| value + size * ((at * 37 % 101) as f32 / 50.0 - 1.0)).collect();
        backend.write_f32(tensor, &moved);
    };
    adapter.additions.iter().for_each(|addition| move_all(*addition.b, 0.1));
    adapter.replaced.values().for_each(|replaced| move_all(**replaced, 0.05));
}

fn check(name: &str, family: &str, settings: &AdapterSettings, expected: &[&str], backend: &Arc<dyn Backend>) {
    let weights = load(family, backend);
    let adapter = adapter::create(&weights, settings, 11).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(Trainable::adapter(&adapter).parameters.len(), adapter.replaced.len(), "{name}");
    assert!(logits(&weights, Some(&adapter)) == logits(&weights, None), "{name}: a new adapter changes the model");
    disturb(&adapter, backend);
    let found = logits(&weights, Some(&adapter));
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = match std::env::var_os("APERTIS_EXPORTS") {
        Some(exports) => Path::new(&exports).join(name),
        None => temporary.path().join(name),
    };
    std::fs::create_dir_all(&folder).expect("room");
    let base_name = base(family).display().to_string();
    adapter::save(&folder, &adapter, &weights, settings, &base_name).expect("room");
    std::fs::write(folder.join("logits.json"), serde_json::json!({ "base": base(family), "logits": found }).to_string()).expect("room");

    let checkpoint = Checkpoint::from_adapter_folder(&folder).expect("it was written");
    let mut names: Vec<&str> = checkpoint.names().filter(|name| !name.contains(".lora_")).collect();
    names.sort_unstable();
    let mut expected: Vec<String> = expected.iter().map(|name| format!("base_model.model.{name}.weight")).collect();
    expected.sort_unstable();
    names.retain(|name| !name.ends_with(".bias"));
    assert_eq!(names, expected, "{name}");
    let attached = adapter::attach(&folder, &weights).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(attached.weights.spec.is_tied(), weights.spec.is_tied(), "{name}");
    assert!(logits(&attached.weights, Some(&attached.adapter)) == found, "{name}: what was read back computes otherwise");
}

#[test]
fn modules_trained_in_full_come_back_as_they_were() {
    let all = ["all-linear"];
    for backend in fastest_and_deferred() {
        let check = |name: &str, family: &str, targets: &[&str], saved: &[&str], expected: &[&str]| {
            check(name, family, &settings(targets, saved), expected, &backend);
        };
        check("llama", "llama2", &all, &["embed_tokens", "lm_head", "norm"], &["model.embed_tokens", "lm_head", "model.norm"]);
        let tied = ["model.embed_tokens", "lm_head"];
        check("tied_embedding", "qwen2_tied", &["q_proj", "v_proj"], &["embed_tokens"], &tied);
        check("tied_head", "qwen2_tied", &["q_proj", "v_proj"], &["lm_head"], &tied);
        check("tied_both", "qwen2_tied", &all, &["embed_tokens", "lm_head"], &tied);
        check("gpt2", "gpt2", &all, &["wte", "h.0.attn.c_attn"], &["transformer.wte", "lm_head", "transformer.h.0.attn.c_attn"]);
        check("neox", "gpt_neox", &all, &["embed_in", "embed_out"], &["gpt_neox.embed_in", "lm_head"]);
        check("phi3", "phi3", &["o_proj"], &["layers.0.self_attn.qkv_proj"], &["model.layers.0.self_attn.qkv_proj"]);
        check("mixture", "qwen3_moe", &all, &["lm_head"], &["lm_head"]);
    }
}

#[test]
fn what_no_adapter_can_hold_is_refused_before_the_run() {
    let backend = fastest_and_deferred().swap_remove(0);
    let check = |family: &str, settings: AdapterSettings, expected: &str| {
        let error = adapter::create(&load(family, &backend), &settings, 1).err().unwrap_or_else(|| panic!("{family}: {settings:?}"));
        assert!(error.to_string().contains(expected), "{family}: {error}");
    };
    check("llama2", settings(&["all-linear"], &["lm_haed"]), "no module is called \"lm_haed\"; this model has");
    check("llama2", settings(&["q_proj"], &["q_proj"]), "q_proj is in lora.targets too");
    check(
        "llama2",
        settings(&["q_proj", "lm_head"], &[]),
        "lm_head is trained in full, not by an adapter; name it in lora.modules_to_save",
    );
    check("qwen2_tied", settings(&["embed_tokens"], &[]), "name it in lora.modules_to_save");
    check("qwen3_moe", settings(&["q_proj"], &["down_proj"]), "names experts");
    let dora = |targets: &[&str]| AdapterSettings { use_dora: true, ..settings(targets, &[]) };
    check("mixtral", dora(&["all-linear"]), "lora.dora: is not supported on");
    // Layer 3 of this one has a dense channel, which peft can only take as parameters.
    check("qwen2_moe", dora(&["layers.3.mlp.down_proj"]), "lora.dora: is not supported on model.layers.3.mlp.down_proj");
    check("qwen2_moe", dora(&["shared_expert.up_proj"]), "lora.dora: is not supported on");
    adapter::create(&load("qwen2_moe", &backend), &dora(&["q_proj", "o_proj"]), 1).expect("attention takes learned lengths");
}

#[test]
fn learned_lengths_of_experts_are_refused_when_read() {
    let backend = fastest_and_deferred().swap_remove(0);
    let folder = apertis_testkit::fixtures().join("adapters/mixtral_per_expert/adapter");
    let out = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(folder.join("adapter_model.safetensors"), out.path().join("adapter_model.safetensors")).expect("room");
    let config = std::fs::read_to_string(folder.join("adapter_config.json")).expect("committed");
    assert!(config.contains("\"use_dora\": false"));
    std::fs::write(out.path().join("adapter_config.json"), config.replace("\"use_dora\": false", "\"use_dora\": true")).expect("room");
    let error = adapter::attach(out.path(), &load("mixtral", &backend)).err().expect("lengths of experts").to_string();
    assert!(error.contains("use_dora is not supported on experts"), "{error}");
}

/// Dropout was written for parameters, which peft refuses.
#[test]
fn parameters_are_written_without_dropout() {
    let backend = fastest_and_deferred().swap_remove(0);
    let weights = load("qwen2_moe", &backend);
    for (targets, expected) in [("layers.3.mlp.down_proj", 0.0), ("q_proj", 0.25)] {
        let settings = AdapterSettings { dropout: 0.25, ..settings(&[targets], &[]) };
        let adapter = adapter::create(&weights, &settings, 1).expect("it is a module");
        let out = tempfile::tempdir().expect("a temporary folder");
        adapter::save(out.path(), &adapter, &weights, &settings, "base").expect("room");
        let text = std::fs::read_to_string(out.path().join("adapter_config.json")).expect("it was written");
        let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(config["lora_dropout"].as_f64(), Some(expected), "{targets}");
    }
}
