//! A step of direct preference optimisation against PyTorch's: policy and reference are one base
//! with the adapter on and off, and the loss enters the head through its derivatives alone.

mod reference;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use apertis_kernels::{Backend, Context, CpuBackend, Dtype, InstructionSet, Owned, Tensor};
use apertis_model::adapter::{self, Attached, LowRank};
use apertis_model::decoder::{Arena, Batch, StepOptions, Targets, new_totals};
use apertis_model::weights::{Checkpoint, LoadOptions, load_model};
use apertis_model::{Adapter, Decoder, Gradients, Trainable};
use reference::Case;
use serde_json::Value;

struct Pairs {
    batch: Batch,
    targets: Targets,
    /// The row of each target.
    row_of: Vec<usize>,
    rows: usize,
}

fn read_pairs(folder: &Path) -> (Pairs, BTreeMap<String, Vec<f32>>) {
    let bytes = std::fs::read(folder.join("expected.safetensors")).expect("recorded");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("sound");
    let integers = |name: &str| -> Vec<u32> {
        let data = file.tensor(name).expect("recorded").data().to_vec();
        data.chunks_exact(8).map(|chunk| i64::from_le_bytes(chunk.try_into().expect("eight bytes")) as u32).collect()
    };
    let (ids, offsets) = (integers("ids"), integers("offsets"));
    let mask = file.tensor("target_mask").expect("recorded").data().to_vec();
    let mut targets = Targets::default();
    let mut row_of = Vec::new();
    for (row, range) in offsets.windows(2).enumerate() {
        for token in range[0] + 1..range[1] {
            if mask[token as usize] == 1 {
                targets.rows.push(token - 1);
                targets.ids.push(ids[token as usize]);
                row_of.push(row);
            }
        }
    }
    let gradients = file
        .tensors()
        .into_iter()
        .filter(|(name, _)| name.starts_with("grad."))
        .map(|(name, tensor)| {
            let values = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect();
            (name, values)
        })
        .collect();
    let rows = offsets.len() - 1;
    (Pairs { batch: Batch { ids, offsets, ..Batch::default() }, targets, row_of, rows }, gradients)
}

impl Pairs {
    /// Sums over each row's answer.
    fn logps(&self, decoder: &Decoder, arena: &mut Arena, adapter: Option<&Adapter>) -> Vec<f64> {
        let outputs = decoder.evaluate(arena, &self.batch, &self.targets, adapter).expect("the batch fits");
        let mut sums = vec![0.0; self.rows];
        for (row, logp) in self.row_of.iter().zip(outputs.logp) {
            sums[*row] += f64::from(logp);
        }
        sums
    }

    /// The loss, and its derivative by each target's log probability.
    fn loss(&self, beta: f64, policy: &[f64], reference: &[f64]) -> (f64, Vec<f32>) {
        let pairs = self.rows / 2;
        let mut loss = 0.0;
        let mut of_row = vec![0.0; self.rows];
        for pair in 0..pairs {
            let (chosen, rejected) = (2 * pair, 2 * pair + 1);
            let gap = (policy[chosen] - reference[chosen]) - (policy[rejected] - reference[rejected]);
            loss += (-beta * gap).exp().ln_1p() / pairs as f64;
            let slope = beta / (1.0 + (beta * gap).exp()) / pairs as f64;
            (of_row[chosen], of_row[rejected]) = (-slope, slope);
        }
        (loss, self.row_of.iter().map(|row| of_row[*row] as f32).collect())
    }
}

/// Copies of the adapter's tensors, each changed by a function of (value, gradient).
fn changed(attached: &Attached, gradients: &Gradients, change: &dyn Fn(f32, f32) -> f32) -> Adapter {
    let backend = attached.weights.backend();
    let one = |tensor: Tensor, gradient: Tensor| {
        let values: Vec<f32> =
            backend.read_f32(tensor).iter().zip(backend.read_f32(gradient)).map(|(value, gradient)| change(*value, gradient)).collect();
        let owned = Owned::zeros(backend, tensor.rows, tensor.columns, Dtype::F32).expect("memory");
        backend.write_f32(*owned, &values);
        owned
    };
    let pairs = attached.adapter.additions.iter().zip(&gradients.of_addition);
    let additions = pairs
        .map(|(addition, gradient)| LowRank {
            spec: addition.spec.clone(),
            a: one(*addition.a, gradient.a),
            b: one(*addition.b, gradient.b),
            magnitude: None,
        })
        .collect();
    Adapter::new(&attached.weights.spec, additions, BTreeMap::new())
}

fn check_close(label: &str, found: &[f64], expected: &Value, tolerance: f64) {
    for (found, expected) in found.iter().zip(expected.as_array().expect("a list")) {
        let expected = expected.as_f64().expect("a number");
        assert!((found - expected).abs() <= tolerance * expected.abs(), "{label}: {found} instead of {expected}");
    }
}

#[test]
fn a_preference_step_equals_the_reference() {
    let fixtures = apertis_testkit::fixtures();
    let folder = fixtures.join("dpo");
    let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).expect("recorded")).expect("JSON");
    let number = |value: &Value| value.as_f64().expect("a number");
    let (pairs, tensors) = read_pairs(&folder);
    let set = *InstructionSet::available().last().expect("one");
    let backend: Arc<dyn Backend> = CpuBackend::new(Arc::new(Context::new(2, set).expect("available")));
    let options = LoadOptions { dtype: Dtype::F32, checks_values: true };
    let (_, base) = load_model(&fixtures.join(expected["base"].as_str().expect("a base")), &backend, &options).expect("it loads");
    let attached = adapter::attach(&folder.join("adapter"), &base).expect("it fits");
    let decoder = Decoder::new(Arc::clone(&attached.weights));
    let lengths: Vec<usize> = pairs.batch.offsets.windows(2).map(|row| (row[1] - row[0]) as usize).collect();
    let plan = decoder.plan_training(&lengths, pairs.targets.len(), Some(&attached.adapter), &StepOptions::default());
    let mut arena = Arena::new(&backend, plan.arena_bytes).expect("tiny models fit");

    let reference = pairs.logps(&decoder, &mut arena, None);
    let policy = pairs.logps(&decoder, &mut arena, Some(&attached.adapter));
    // Log probabilities and losses: 1e-5 relative, as every loss.
    check_close("reference", &reference, &expected["reference_logps"], 1e-5);
    check_close("policy", &policy, &expected["policy_logps"], 1e-5);
    let (loss, dlogp) = pairs.loss(number(&expected["beta"]), &policy, &reference);
    let expected_loss = number(&expected["loss"]);
    assert!((loss - expected_loss).abs() <= 1e-5 * expected_loss, "loss {loss} instead of {expected_loss}");

    let count = pairs.targets.len();
    let targets = Targets { dlogp, dlse: vec![0.0; count], dmean: vec![0.0; count], ..pairs.targets.clone() };
    let trainable = Trainable::adapter(&attached.adapter);
    let gradients = Gradients::new(&backend, decoder.spec(), Some(&attached.adapter), &trainable).expect("memory");
    let totals = new_totals(&backend).expect("memory");
    decoder
        .train(&mut arena, &pairs.batch, &targets, Some(&attached.adapter), &gradients, *totals, &StepOptions::default())
        .expect("the batch fits");
    let out = tempfile::tempdir().expect("a temporary folder");
    let holder = changed(&attached, &gradients, &|_, gradient| gradient);
    adapter::save(out.path(), &holder, &attached.weights, &attached.settings, "base").expect("room for it");
    let written = Checkpoint::from_adapter_folder(out.path()).expect("it was written");
    let ours = written.names().map(|name| (name.to_string(), written.tensor(name).expect("there").to_f32())).collect();
    Case::of_gradients("dpo", tensors).check_gradients("grad.", &ours);

    let norm = backend.read_f32(gradients.all()).iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let expected_norm = number(&expected["grad_norm"]);
    assert!((norm - expected_norm).abs() <= 1e-4 * expected_norm, "norm {norm} instead of {expected_norm}");

    // The first update of AdamW after the clip: both moments are the gradient's own.
    let settings = &expected["train"];
    let (rate, decay) = (number(&settings["learning_rate"]), number(&settings["weight_decay"]));
    let clip = (number(&settings["max_grad_norm"]) / norm).min(1.0);
    let epsilon = number(&settings["adam_epsilon"]);
    let updated = changed(&attached, &gradients, &|value, gradient| {
        let gradient = f64::from(gradient) * clip;
        (f64::from(value) * (1.0 - rate * decay) - rate * gradient / (gradient.abs() + epsilon)) as f32
    });
    let policy = pairs.logps(&decoder, &mut arena, Some(&updated));
    // After an update: 2e-4 relative, as the losses of training runs.
    check_close("policy after the step", &policy, &expected["policy_logps_after_one_step"], 2e-4);
    let (loss, _) = pairs.loss(number(&expected["beta"]), &policy, &reference);
    let expected_loss = number(&expected["loss_after_one_step"]);
    assert!((loss - expected_loss).abs() <= 2e-4 * expected_loss, "loss {loss} instead of {expected_loss}");
}
