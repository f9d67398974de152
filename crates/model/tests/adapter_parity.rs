//! Adapters as PEFT writes them, against recorded values: logits with the adapter and after
//! merging, gradients, and what is written back.
//!
//! Tolerances are those of the models: logits within 2e-5 · max(1, largest logit), loss within
//! 1e-5 relative, each gradient within 1e-4 of its length plus 1e-7 of all lengths.

mod reference;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apertis_kernels::{Backend, Dtype, Owned, Tensor};
use apertis_model::adapter::{self, Attached, LowRank};
use apertis_model::decoder::{Arena, StepOptions, new_totals};
use apertis_model::weights::{Checkpoint, LoadOptions, load_model};
use apertis_model::{Adapter, Decoder, Gradients, ModelConfig, ModelWeights, ParameterId, Trainable};
use reference::{Case, fastest_and_deferred};

const OPTIONS: LoadOptions = LoadOptions { dtype: Dtype::F32, checks_values: true };

fn backend() -> Arc<dyn Backend> {
    fastest_and_deferred().swap_remove(0)
}

/// A case, the folder of its base, and of its adapter.
fn cases() -> Vec<(Case, PathBuf, PathBuf)> {
    let fixtures = apertis_testkit::fixtures();
    let mut cases: Vec<_> = Case::all()
        .into_iter()
        .map(|case| {
            let case = case.with_adapter();
            let (base, adapter) = (case.folder.clone(), case.folder.join("adapter"));
            (case, base, adapter)
        })
        .collect();
    let root = fixtures.join("adapters");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root).expect("committed").map(|entry| entry.expect("readable").path()).collect();
    folders.sort();
    assert!(folders.len() >= 24, "found {} cases in {}", folders.len(), root.display());
    let only = std::env::var("CASE").ok();
    for folder in folders {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        if only.as_ref().is_none_or(|only| *only == name) {
            let (case, base) = Case::read_adapter(folder.clone());
            cases.push((case, fixtures.join(base), folder.join("adapter")));
        }
    }
    cases
}

fn attach(case: &Case, base: &Path, folder: &Path, backend: &Arc<dyn Backend>) -> (ModelConfig, Attached) {
    let (config, weights) = load_model(base, backend, &OPTIONS).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let attached = adapter::attach(folder, &weights).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    (config, attached)
}

fn logits(case: &Case, weights: &Arc<ModelWeights>, adapter: Option<&Adapter>) -> Vec<f32> {
    let decoder = Decoder::new(Arc::clone(weights));
    let bytes = decoder.logits_bytes(case.ids.len(), case.ids.len(), adapter);
    let mut arena = Arena::new(weights.backend(), bytes).expect("tiny models fit");
    let rows: Vec<u32> = (0..case.ids.len() as u32).collect();
    decoder.logits(&mut arena, &case.batch(), &rows, adapter, None).expect("the batch fits")
}

fn check_logits(case: &Case, label: &str, logits: &[f32], expected: &[f32]) {
    assert_eq!(logits.len(), expected.len(), "{} {label}", case.name);
    let largest = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    for (index, (ours, theirs)) in logits.iter().zip(expected).enumerate() {
        let error = (ours - theirs).abs();
        assert!(error <= 2e-5 * largest, "{} {label}: logit {index} is {ours} instead of {theirs}, off by {error:e}", case.name);
    }
}

#[test]
fn logits_with_the_adapter_equal_the_reference() {
    for backend in fastest_and_deferred() {
        for (case, base, folder) in cases() {
            let (_, attached) = attach(&case, &base, &folder, &backend);
            check_logits(&case, "adapted", &logits(&case, &attached.weights, Some(&attached.adapter)), &case.logits);
        }
    }
}

#[test]
fn a_merged_folder_gives_the_reference_s_logits() {
    for backend in fastest_and_deferred() {
        for (case, base, folder) in cases() {
            let out = tempfile::tempdir().expect("a temporary folder");
            adapter::merge_to_folder(&base, &folder, out.path(), &backend, Dtype::F32)
                .unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let (config, weights) = load_model(out.path(), &backend, &OPTIONS).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let expected = case.tensors.get("merged_logits").unwrap_or(&case.logits);
            check_logits(&case, "merged", &logits(&case, &weights, None), expected);
            if let Some(tied) = case.merged_tie {
                assert_eq!(config.document["tie_word_embeddings"], tied, "{}", case.name);
            }
            assert!(out.path().join("generation_config.json").is_file(), "{}", case.name);
        }
    }
}

#[test]
fn merging_refuses_to_write_over_what_it_reads() {
    let fixtures = apertis_testkit::fixtures();
    let model = fixtures.join("families/llama2");
    let error = adapter::merge_to_folder(&model, &model.join("adapter"), &model, &backend(), Dtype::F32).expect_err("the base's folder");
    assert!(error.to_string().contains("expected another folder"), "{error}");
}

/// An adapter that holds the gradients of another, so that writing it names them.
fn adapter_of_gradients(attached: &Attached, gradients: &Gradients) -> Adapter {
    let backend = attached.weights.backend();
    let copy = |tensor: Tensor| {
        let owned = Owned::zeros(backend, tensor.rows, tensor.columns, Dtype::F32).expect("memory");
        backend.copy(*owned, tensor, 1.0, false);
        owned
    };
    let additions = attached
        .adapter
        .additions
        .iter()
        .zip(&gradients.of_addition)
        .map(|(addition, gradient)| LowRank {
            spec: addition.spec.clone(),
            a: copy(gradient.a),
            b: copy(gradient.b),
            magnitude: gradient.magnitude.map(copy),
        })
        .collect();
    let replaced: BTreeMap<ParameterId, Owned> =
        attached.adapter.replaced.keys().map(|id| (*id, copy(gradients.of_parameter[id.0].expect("it is trained")))).collect();
    Adapter::new(&attached.weights.spec, additions, replaced)
}

fn read_tensors(folder: &Path) -> BTreeMap<String, Vec<f32>> {
    let checkpoint = Checkpoint::from_adapter_folder(folder).expect("it was written");
    checkpoint.names().map(|name| (name.to_string(), checkpoint.tensor(name).expect("it is there").to_f32())).collect()
}

#[test]
fn loss_and_gradients_equal_the_reference() {
    for backend in fastest_and_deferred() {
        for (case, base, folder) in cases() {
            for recompute in [false, true] {
                let (_, attached) = attach(&case, &base, &folder, &backend);
                let decoder = Decoder::new(Arc::clone(&attached.weights));
                let trainable = Trainable::adapter(&attached.adapter);
                let gradients = Gradients::new(&backend, decoder.spec(), Some(&attached.adapter), &trainable).expect("memory");
                let totals = new_totals(&backend).expect("memory");
                let options = StepOptions { recompute, ..StepOptions::default() };
                let plan = decoder.plan_training(&case.row_lengths(), case.targets.len(), Some(&attached.adapter), &options);
                let mut arena = Arena::new(&backend, plan.arena_bytes).expect("tiny models fit");
                decoder
                    .train(&mut arena, &case.batch(), &case.mean_nll(), Some(&attached.adapter), &gradients, *totals, &options)
                    .expect("the batch fits");
                let loss = -f64::from(backend.read_f32(*totals)[0]) / case.targets.len() as f64;
                assert!((loss - case.loss).abs() <= 1e-5 * case.loss, "{}: loss {loss}, expected {}", case.name, case.loss);
                let out = tempfile::tempdir().expect("a temporary folder");
                let holder = adapter_of_gradients(&attached, &gradients);
                adapter::save(out.path(), &holder, &attached.weights, &attached.settings, "base").expect("room for it");
                case.check_gradients(case.gradient_prefix, &read_tensors(out.path()));
            }
        }
    }
}

#[test]
fn what_is_written_is_what_was_read() {
    for backend in fastest_and_deferred() {
        for (case, base, folder) in cases() {
            let (_, attached) = attach(&case, &base, &folder, &backend);
            let out = tempfile::tempdir().expect("a temporary folder");
            adapter::save(out.path(), &attached.adapter, &attached.weights, &attached.settings, "base").expect("room for it");
            assert!(read_tensors(out.path()) == read_tensors(&folder), "{}: the tensors differ", case.name);
            let (_, again) = attach(&case, &base, out.path(), &backend);
            let specs = |attached: &Attached| attached.adapter.additions.iter().map(|addition| addition.spec.clone()).collect::<Vec<_>>();
            for (ours, theirs) in specs(&again).iter().zip(specs(&attached)) {
                assert!((ours.scale - theirs.scale).abs() <= 1e-6 * theirs.scale, "{}: {ours:?} {theirs:?}", case.name);
                assert_eq!((ours.module, ours.rank, ours.output_start), (theirs.module, theirs.rank, theirs.output_start), "{}", case.name);
            }
            assert_eq!(again.weights.spec.is_tied(), attached.weights.spec.is_tied(), "{}", case.name);
        }
    }
}

#[test]
fn a_bf16_base_takes_every_adapter() {
    let backend = backend();
    for (case, base, folder) in cases() {
        let options = LoadOptions { dtype: Dtype::Bf16, checks_values: true };
        let (_, weights) = load_model(&base, &backend, &options).expect("the fixture loads");
        let attached = adapter::attach(&folder, &weights).expect("the adapter fits");
        let found = logits(&case, &attached.weights, Some(&attached.adapter));
        // bf16 keeps 8 bits; a router's tie may go the other way for single rows, so the mean counts.
        let error: f32 = found.iter().zip(&case.logits).map(|(a, b)| (a - b).abs()).sum::<f32>() / found.len() as f32;
        let size: f32 = case.logits.iter().map(|value| value.abs()).sum::<f32>() / found.len() as f32;
        assert!(error <= 0.1 * size, "{}: mean error {error}, mean size {size}", case.name);
    }
}

#[test]
fn a_wrong_adapter_is_one_sentence() {
    let backend = backend();
    let fixtures = apertis_testkit::fixtures();
    let (_, weights) = load_model(&fixtures.join("families/llama2"), &backend, &OPTIONS).expect("the fixture loads");
    let good = fixtures.join("families/llama2/adapter");
    let config = std::fs::read_to_string(good.join("adapter_config.json")).expect("committed");
    let check = |from: &str, to: &str, expected: &str| {
        assert!(config.contains(from), "{from}");
        let out = tempfile::tempdir().expect("a temporary folder");
        std::fs::copy(good.join("adapter_model.safetensors"), out.path().join("adapter_model.safetensors")).expect("room");
        std::fs::write(out.path().join("adapter_config.json"), config.replace(from, to)).expect("room");
        let error = adapter::attach(out.path(), &weights).err().unwrap_or_else(|| panic!("{to} was taken")).to_string();
        assert!(error.contains(expected), "{to}: {error}");
    };
    check("\"LORA\"", "\"VERA\"", "peft_type: found VERA, expected LORA");
    check("\"bias\": \"none\"", "\"bias\": \"all\"", "bias: found all, expected none");
    check("\"lora_bias\": false", "\"lora_bias\": true", "lora_bias: found true, which is not supported");
    check("\"alpha_pattern\": {}", "\"alpha_pattern\": {\"(\": 3}", "not an expression");
    check("\"lora_alpha\": 8", "\"lora_alpha\": \"big\"", "lora_alpha: found \"big\", expected a number");
    check("{", "[", "not JSON");
    let (_, other) = load_model(&fixtures.join("families/gpt2"), &backend, &OPTIONS).expect("the fixture loads");
    let error = adapter::attach(&good, &other).err().expect("another family's adapter").to_string();
    assert!(error.contains("the model has no linear module model.layers.0"), "{error}");
    let (_, other) = load_model(&fixtures.join("families/mixtral"), &backend, &OPTIONS).expect("the fixture loads");
    assert!(adapter::attach(&good, &other).is_err(), "an adapter of another model");
}
