//! Twenty AdamW steps of every recorded model, whole and by adapter, against PyTorch's losses.
//!
//! Tolerance: each loss within 2e-4 relative, the project's promise.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apertis_dataset::{GlobalBatch, PackedBatch};
use apertis_domain::recipe::Optimizer;
use apertis_kernels::{Backend, Context, CpuBackend, Dtype, InstructionSet};
use apertis_model::adapter;
use apertis_model::decoder::StepOptions;
use apertis_model::weights::{LoadOptions, load_model};
use apertis_model::{Decoder, Trainable};
use apertis_trainer::{Learner, LossSettings, OptimizerSettings};
use serde_json::Value;

struct Case {
    folder: PathBuf,
    document: Value,
    batch: PackedBatch,
}

fn cases() -> Vec<Case> {
    let root = apertis_testkit::fixtures().join("families");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root).expect("fixtures are committed").map(|entry| entry.expect("readable").path()).collect();
    folders.sort();
    assert!(folders.len() >= 40);
    folders.into_iter().map(read).collect()
}

fn read(folder: PathBuf) -> Case {
    let bytes = std::fs::read(folder.join("expected.safetensors")).expect("recorded");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("sound");
    let integers = |name: &str| -> Vec<i64> {
        let data = file.tensor(name).expect("recorded").data().to_vec();
        data.chunks_exact(8).map(|chunk| i64::from_le_bytes(chunk.try_into().expect("eight bytes"))).collect()
    };
    let offsets: Vec<u32> = integers("offsets").into_iter().map(|offset| offset as u32).collect();
    let batch = PackedBatch {
        ids: integers("ids").into_iter().map(|id| id as u32).collect(),
        positions: offsets.windows(2).flat_map(|row| 0..row[1] - row[0]).collect(),
        rows: (0..offsets.len() as u64 - 1).map(apertis_dataset::RowId).collect(),
        targets: integers("targets").into_iter().map(|target| if target < 0 { -1 } else { target as i32 }).collect(),
        offsets,
    };
    let document = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).expect("recorded")).expect("JSON");
    Case { folder, document, batch }
}

/// `adapter` is the base's folder and the adapter's.
fn check(case: &Case, settings: &Value, losses: &Value, adapter: Option<(&Path, &Path)>) {
    let set = *InstructionSet::available().last().expect("one");
    let backend: Arc<dyn Backend> = CpuBackend::new(Arc::new(Context::new(2, set).expect("available")));
    let options = LoadOptions { dtype: Dtype::F32, checks_values: true };
    let base = adapter.map_or(case.folder.as_path(), |(base, _)| base);
    let (_, weights) = load_model(base, &backend, &options).expect("the fixture loads");
    let (weights, adapter) = match adapter {
        None => (weights, None),
        Some((_, folder)) => {
            let attached = adapter::attach(folder, &weights).expect("the adapter fits");
            (attached.weights, Some(attached.adapter))
        }
    };
    let trainable = adapter.as_ref().map_or_else(|| Trainable::all(&weights.spec), Trainable::adapter);
    let number = |key: &str| settings[key].as_f64().expect("recorded");
    let optimizer = OptimizerSettings {
        optimizer: Optimizer::AdamW,
        beta1: number("adam_beta1") as f32,
        beta2: number("adam_beta2") as f32,
        epsilon: number("adam_epsilon") as f32,
        weight_decay: number("weight_decay") as f32,
        max_grad_norm: number("max_grad_norm") as f32,
    };
    let lengths: Vec<usize> = case.batch.offsets.windows(2).map(|row| (row[1] - row[0]) as usize).collect();
    let plan = Decoder::new(Arc::clone(&weights)).plan_training(&lengths, case.batch.ids.len(), adapter.as_ref(), &StepOptions::default());
    let mut learner =
        Learner::new(weights, adapter, trainable, optimizer, LossSettings::default(), plan.arena_bytes + 4096).expect("memory");
    let batch = GlobalBatch {
        target_count: case.batch.target_count(),
        micro: vec![case.batch.clone()],
        unit_count: lengths.len() as u64,
        ..GlobalBatch::default()
    };
    let name = Path::new(case.folder.file_name().expect("a name")).display();
    for (step, expected) in losses.as_array().expect("recorded").iter().enumerate() {
        let expected = expected.as_f64().expect("a number");
        let outcome = learner.step(&batch, step as u64, number("learning_rate")).expect("the batch fits");
        let error = (outcome.loss - expected).abs() / expected;
        assert!(error <= 2e-4, "{name}: step {step}: loss {} instead of {expected}, off by {error:e}", outcome.loss);
    }
}

#[test]
fn whole_models_follow_the_reference() {
    for case in cases() {
        check(&case, &case.document["train_full"], &case.document["losses_full"], None);
    }
}

#[test]
fn adapters_follow_the_reference() {
    for case in cases() {
        let lora = &case.document["lora"];
        check(&case, &lora["train_lora"], &lora["losses_lora"], Some((&case.folder, &case.folder.join("adapter"))));
    }
}

#[test]
fn every_kind_of_adapter_follows_the_reference() {
    let fixtures = apertis_testkit::fixtures();
    let mut count = 0;
    for entry in std::fs::read_dir(fixtures.join("adapters")).expect("fixtures are committed") {
        let case = read(entry.expect("readable").path());
        let base = fixtures.join(case.document["base"].as_str().expect("a base"));
        check(&case, &case.document["train"], &case.document["losses"], Some((&base, &case.folder.join("adapter"))));
        count += 1;
    }
    assert!(count >= 24, "found {count} adapters");
}
