//! A hundred steps in bf16 against the same steps in f32: each loss within 1 %, the project's promise.

use std::sync::Arc;

use apertis_dataset::{GlobalBatch, PackedBatch, RowId};
use apertis_domain::recipe::Optimizer;
use apertis_kernels::{Backend, Context, CpuBackend, Dtype, InstructionSet};
use apertis_model::adapter::{self, AdapterSettings};
use apertis_model::decoder::StepOptions;
use apertis_model::weights::{ScratchShape, config_for_scratch, initialize};
use apertis_model::{Decoder, Trainable, family};
use apertis_trainer::{Learner, LossSettings, OptimizerSettings};

const STEPS: u64 = 100;
const ROWS: usize = 4;
const ROW_TOKENS: usize = 48;

/// Rows of the demo's text, one token a byte, each step further on.
fn batch(text: &[u8], step: u64) -> GlobalBatch {
    let mut packed = PackedBatch { offsets: vec![0], ..PackedBatch::default() };
    for row in 0..ROWS {
        let start = (step as usize * ROWS + row) * ROW_TOKENS;
        let window = &text[start..=start + ROW_TOKENS];
        packed.ids.extend(window[..ROW_TOKENS].iter().map(|byte| u32::from(*byte)));
        packed.targets.extend(window[1..].iter().map(|byte| i32::from(*byte)));
        packed.positions.extend(0..ROW_TOKENS as u32);
        packed.offsets.push(packed.ids.len() as u32);
        packed.rows.push(RowId(row as u64));
    }
    GlobalBatch { target_count: packed.target_count(), micro: vec![packed], unit_count: ROWS as u64, ..GlobalBatch::default() }
}

fn losses(text: &[u8], family: &str, has_adapter: bool, set: InstructionSet, dtype: Dtype, rate: f64) -> Vec<f64> {
    let backend: Arc<dyn Backend> = CpuBackend::new(Arc::new(Context::new(2, set).expect("available")));
    let shape = ScratchShape {
        family: family.to_string(),
        layers: 3,
        heads: 4,
        kv_heads: 2,
        width: 64,
        hidden: 0,
        context: ROW_TOKENS,
        vocabulary: 256,
        bos_id: None,
        eos_id: None,
        pad_id: None,
    };
    let shape = if family == "gpt2" { ScratchShape { kv_heads: 0, ..shape } } else { shape };
    let spec = Arc::new(family::map(&config_for_scratch(&shape).expect("the widths fit")).expect("a known family"));
    let weights = initialize(&spec, &backend, dtype, 7).expect("memory");
    let settings = AdapterSettings {
        rank: 8,
        alpha: 16.0,
        dropout: 0.0,
        targets: vec!["all-linear".to_string()],
        use_rslora: false,
        use_dora: false,
        modules_to_save: Vec::new(),
    };
    let adapter = has_adapter.then(|| adapter::create(&weights, &settings, 7).expect("it has linear modules"));
    let trainable = adapter.as_ref().map_or_else(|| Trainable::all(&spec), Trainable::adapter);
    let optimizer =
        OptimizerSettings { optimizer: Optimizer::AdamW, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, max_grad_norm: 1.0 };
    let decoder = Decoder::new(Arc::clone(&weights));
    let plan = decoder.plan_training(&[ROW_TOKENS; ROWS], ROWS * ROW_TOKENS, adapter.as_ref(), &StepOptions::default());
    let mut learner =
        Learner::new(weights, adapter, trainable, optimizer, LossSettings::default(), plan.arena_bytes + 4096).expect("memory");
    (0..STEPS).map(|step| learner.step(&batch(text, step), step, rate).expect("the batch fits").loss).collect()
}

/// The largest relative difference, and its step.
fn worst(found: &[f64], expected: &[f64]) -> (f64, usize) {
    let errors = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs() / expected);
    errors.enumerate().fold((0.0, 0), |worst, (step, error)| if error > worst.0 || error.is_nan() { (error, step) } else { worst })
}

/// At a rate where two paths in f32 agree: where they part, steps amplify any rounding, and a
/// difference says nothing of bf16.
fn check(family: &str, has_adapter: bool, rate: f64, fall: f64) {
    let text = std::fs::read(apertis_testkit::fixtures().join("demo/corpus.txt")).expect("committed");
    let run = |set, dtype| losses(&text, family, has_adapter, set, dtype, rate);
    let expected = run(InstructionSet::detect(), Dtype::F32);
    let last_ten = expected[90..].iter().sum::<f64>() / 10.0;
    assert!(last_ten < expected[0] - fall, "{family}: the loss only falls from {} to {last_ten}", expected[0]);
    let (floor, step) = worst(&run(InstructionSet::Portable, Dtype::F32), &expected);
    assert!(floor <= 1e-3, "{family}: f32 parts from f32 at step {step} by {floor:e}: no rate to compare at");
    // What `instruction_set=auto` takes here, and the other quick paths this processor has.
    for set in InstructionSet::available().into_iter().filter(|set| *set != InstructionSet::Scalar) {
        let (error, step) = worst(&run(set, Dtype::Bf16), &expected);
        assert!(error <= 0.01, "{family} by {set}: step {step} is off by {error:e}");
    }
}

#[test]
fn whole_models_lose_no_more_than_one_percent() {
    check("llama", false, 5e-4, 2.0);
    check("gpt2", false, 5e-4, 2.0);
}

#[test]
fn adapters_lose_no_more_than_one_percent() {
    check("llama", true, 3e-3, 0.3);
}
