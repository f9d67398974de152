//! A model whose four layers have nothing in common, built straight from the list of layers: heads,
//! widths, windows, rotations, places of norms and kinds of channel all differ, and one layer has no
//! mixer, one no channel. What takes a shape from another layer cannot pass.

mod reference;
mod unlike;

use std::sync::Arc;

use apertis_kernels::{Backend, Dtype, Tensor};
use apertis_model::adapter::{self, AdapterSettings};
use apertis_model::decoder::{Arena, Batch, StepOptions, Targets, new_totals};
use apertis_model::spec::{ModelSpec, ParameterId};
use apertis_model::{Adapter, Decoder, Gradients, KvCache, ModelWeights, Trainable};
use reference::fastest_and_deferred;
use unlike::{Numbers, unlike_spec, with_values};

const ROW_LENGTHS: [usize; 3] = [11, 1, 7];

fn rows() -> Vec<Vec<u32>> {
    let mut numbers = Numbers::new(5);
    ROW_LENGTHS.iter().map(|length| (0..*length).map(|_| numbers.below(31)).collect()).collect()
}

/// Every token but each row's last predicts the next.
fn targets(batch: &Batch, divisor: Option<f32>) -> Targets {
    let inner: Vec<u32> = (0..batch.ids.len() as u32 - 1).filter(|row| !batch.offsets.contains(&(row + 1))).collect();
    let ids = inner.iter().map(|row| batch.ids[*row as usize + 1]).collect();
    let count = inner.len() as f32;
    Targets::mean_nll(inner, ids, divisor.unwrap_or(count))
}

/// Low-rank additions on every module, with numbers everywhere.
fn adapter_on_everything(weights: &ModelWeights) -> Adapter {
    let settings = AdapterSettings {
        rank: 3,
        alpha: 4.0,
        dropout: 0.0,
        targets: vec!["all-linear".to_string()],
        use_rslora: false,
        use_dora: false,
        modules_to_save: Vec::new(),
    };
    let adapter = adapter::create(weights, &settings, 3).expect("every layer has linear modules");
    let mut numbers = Numbers::new(9);
    for addition in &adapter.additions {
        weights.backend().write_f32(*addition.b, &numbers.spread(addition.b.len(), 0.2));
    }
    adapter
}

struct Trained {
    gradients: Gradients,
    loss: f64,
}

fn train(weights: &Arc<ModelWeights>, adapter: Option<&Adapter>, trainable: &Trainable, recompute: bool) -> Trained {
    let backend = weights.backend();
    let decoder = Decoder::new(Arc::clone(weights));
    let batch = Batch::from_rows(&rows());
    let targets = targets(&batch, None);
    let options = StepOptions { recompute, first_layer: trainable.first_layer, ..StepOptions::default() };
    let plan = decoder.plan_training(&ROW_LENGTHS, targets.len(), adapter, &options);
    let mut arena = Arena::new(backend, plan.arena_bytes).expect("tiny");
    let gradients = Gradients::new(backend, decoder.spec(), adapter, trainable).expect("tiny");
    let totals = new_totals(backend).expect("tiny");
    decoder.train(&mut arena, &batch, &targets, adapter, &gradients, *totals, &options).expect("the batch fits");
    assert!(arena.peak_bytes() <= plan.arena_bytes);
    let loss = -f64::from(backend.read_f32(*totals)[0]) / targets.len() as f64;
    Trained { gradients, loss }
}

/// The loss summed in f64, so that small differences of it are seen.
fn loss(decoder: &Decoder, arena: &mut Arena, adapter: Option<&Adapter>) -> f64 {
    let batch = Batch::from_rows(&rows());
    let targets = targets(&batch, None);
    let outputs = decoder.evaluate(arena, &batch, &targets, adapter).expect("the batch fits");
    -outputs.logp.iter().map(|logp| f64::from(*logp)).sum::<f64>() / targets.len() as f64
}

fn evaluation_arena(weights: &Arc<ModelWeights>, adapter: Option<&Adapter>) -> Arena {
    let decoder = Decoder::new(Arc::clone(weights));
    let plan = decoder.plan_evaluation(&ROW_LENGTHS, ROW_LENGTHS.iter().sum(), adapter);
    Arena::new(weights.backend(), plan.arena_bytes).expect("tiny")
}

/// Twice this step still leaves every token with its experts; from 8e-3 on some change, and the loss
/// jumps.
const STEP: f64 = 2e-3;

/// Central differences along a few directions against the gradient.
fn check_differences(name: &str, values: &[f32], gradient: &[f32], mut loss_at: impl FnMut(&[f32]) -> f64) {
    let length = gradient.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let mut numbers = Numbers::new(values.len() as u64);
    let mut directions: Vec<Vec<f32>> = (0..3).map(|_| numbers.spread(values.len(), 1.0)).collect();
    directions.push(gradient.to_vec());
    for direction in directions {
        let norm = direction.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        if norm == 0.0 {
            continue; // An expert that no token chose.
        }
        let moved = |step: f64| -> Vec<f32> {
            values.iter().zip(&direction).map(|(value, along)| (f64::from(*value) + step * f64::from(*along) / norm) as f32).collect()
        };
        let slope = (loss_at(&moved(STEP)) - loss_at(&moved(-STEP))) / (2.0 * STEP);
        let expected: f64 = gradient.iter().zip(&direction).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / norm;
        // The loss is right to about 4e-7, which 2 · STEP divides; curvature adds the square of the step.
        let allowed = 1e-4 + 1e-3 * length;
        assert!((slope - expected).abs() <= allowed, "{name}: slope {slope:e}, gradient says {expected:e}, of length {length:e}");
    }
}

fn check_every_gradient(spec: ModelSpec, backend: &Arc<dyn Backend>) {
    let weights = with_values(Arc::new(spec), backend, 1);
    let adapter = adapter_on_everything(&weights);
    let trainable = Trainable { has_adapter: true, ..Trainable::all(&weights.spec) };
    let Trained { gradients, loss: trained_loss } = train(&weights, Some(&adapter), &trainable, false);
    let mut arena = evaluation_arena(&weights, Some(&adapter));
    let evaluated_loss = loss(&Decoder::new(Arc::clone(&weights)), &mut arena, Some(&adapter));
    assert!((trained_loss - evaluated_loss).abs() <= 1e-6 * evaluated_loss, "{trained_loss} and {evaluated_loss}");
    let mut zeros = Vec::new();
    for (index, parameter) in weights.spec.parameters.iter().enumerate() {
        let id = ParameterId(index);
        let gradient = backend.read_f32(gradients.of_parameter[index].expect("all are trained"));
        if gradient.iter().all(|value| *value == 0.0) {
            zeros.push(parameter.name().to_string());
        }
        check_differences(parameter.name(), &backend.read_f32(weights.tensor(id)), &gradient, |values| {
            let changed = Decoder::new(unlike::with_parameter(&weights, id, values));
            loss(&changed, &mut arena, Some(&adapter))
        });
    }
    assert!(zeros.len() <= 3, "no gradient of {zeros:?}");
    let decoder = Decoder::new(Arc::clone(&weights));
    for (addition, gradient) in adapter.additions.iter().zip(&gradients.of_addition) {
        for (part, tensor, gradient) in [("a", *addition.a, gradient.a), ("b", *addition.b, gradient.b)] {
            let name = format!("{}.{part}", weights.spec.module(addition.spec.module).name);
            let values = backend.read_f32(tensor);
            check_differences(&name, &values, &backend.read_f32(gradient), |changed| {
                backend.write_f32(tensor, changed);
                loss(&decoder, &mut arena, Some(&adapter))
            });
            backend.write_f32(tensor, &values);
        }
    }
}

#[test]
fn differences_equal_every_gradient() {
    for backend in fastest_and_deferred() {
        check_every_gradient(unlike_spec(), &backend);
    }
}

#[test]
fn layers_beside_nothing_have_their_gradients() {
    let backend = fastest_and_deferred().swap_remove(0);
    check_every_gradient(unlike::half_empty_spec(), &backend);
}

fn bits(backend: &Arc<dyn Backend>, tensor: Tensor) -> Vec<u32> {
    backend.read_f32(tensor).into_iter().map(f32::to_bits).collect()
}

#[test]
fn computing_again_changes_no_bit() {
    for backend in fastest_and_deferred() {
        for spec in [unlike_spec(), unlike::half_empty_spec()] {
            let weights = with_values(Arc::new(spec), &backend, 1);
            let adapter = adapter_on_everything(&weights);
            let trainable = Trainable { has_adapter: true, ..Trainable::all(&weights.spec) };
            let [kept, again] = [false, true].map(|recompute| train(&weights, Some(&adapter), &trainable, recompute));
            assert_eq!(kept.loss.to_bits(), again.loss.to_bits(), "{}", backend.name());
            assert!(bits(&backend, kept.gradients.all()) == bits(&backend, again.gradients.all()), "{}", backend.name());
        }
    }
}

#[test]
fn the_last_layers_alone_have_the_gradients_of_the_whole() {
    for backend in fastest_and_deferred() {
        let weights = with_values(Arc::new(unlike_spec()), &backend, 1);
        let whole = train(&weights, None, &Trainable::all(&weights.spec), false).gradients;
        for count in 1..4 {
            let trainable = Trainable::last_layers(&weights.spec, count);
            let part = train(&weights, None, &trainable, false).gradients;
            for id in &trainable.parameters {
                let [ours, theirs] = [&part, &whole].map(|gradients| bits(&backend, gradients.of_parameter[id.0].expect("trained")));
                assert!(ours == theirs, "{count} layers: {}", weights.spec.parameter(*id).name());
            }
        }
    }
}

fn check_close(label: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{label}");
    let largest = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    for (index, (ours, theirs)) in found.iter().zip(expected).enumerate() {
        // The models' own tolerance: sums over other tiles of the same numbers.
        assert!((ours - theirs).abs() <= 2e-5 * largest, "{label}: logit {index} is {ours} instead of {theirs}");
    }
}

#[test]
fn packed_rows_and_decoding_equal_each_row_alone() {
    for backend in fastest_and_deferred() {
        for spec in [unlike_spec(), unlike::half_empty_spec()] {
            let weights = with_values(Arc::new(spec), &backend, 1);
            let adapter = adapter_on_everything(&weights);
            let decoder = Decoder::new(Arc::clone(&weights));
            let tokens: usize = ROW_LENGTHS.iter().sum();
            let mut arena = Arena::new(&backend, 2 * decoder.logits_bytes(tokens, tokens, Some(&adapter))).expect("tiny");
            let mut logits = |batch: &Batch, cache: Option<&mut KvCache>| {
                let all: Vec<u32> = (0..batch.ids.len() as u32).collect();
                decoder.logits(&mut arena, batch, &all, Some(&adapter), cache).expect("the batch fits")
            };
            let packed = logits(&Batch::from_rows(&rows()), None);
            let vocabulary = decoder.spec().vocabulary;
            let mut start = 0;
            for row in rows() {
                let alone = logits(&Batch::from_rows(std::slice::from_ref(&row)), None);
                check_close("packed", &packed[start * vocabulary..(start + row.len()) * vocabulary], &alone);
                start += row.len();
                // All at once, one by one, and a piece before single ids.
                for first in [row.len(), 1, row.len().min(4)] {
                    let mut cache = KvCache::new(&backend, decoder.spec(), 1, row.len(), Dtype::F32).expect("tiny");
                    let mut decoded = Vec::new();
                    let pieces = std::iter::once(&row[..first]).chain(row[first..].chunks(1));
                    for piece in pieces {
                        let from = cache.lengths[0] as u32;
                        let positions = (from..from + piece.len() as u32).collect();
                        let batch = Batch { positions, ..Batch::from_rows(&[piece.to_vec()]) };
                        decoded.extend(logits(&batch, Some(&mut cache)));
                    }
                    check_close(&format!("decoded after {first}"), &decoded, &alone);
                }
            }
        }
    }
}
