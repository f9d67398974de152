//! Every family and option against recorded values of PyTorch and Transformers, in f32.
//!
//! Tolerances are the project's promise: logits within 2e-5 · max(1, largest logit), loss
//! within 1e-5 relative, each gradient within 1e-4 of its length plus 1e-7 of all lengths.

mod reference;

use std::sync::Arc;

use apertis_kernels::{Backend, Dtype};
use apertis_model::decoder::{Arena, Batch, StepOptions, new_totals};
use apertis_model::weights::{Checkpoint, LoadOptions, load_weights};
use apertis_model::{Decoder, Gradients, KvCache, ModelConfig, ModelWeights, Trainable, family};
use reference::{Case, backends, fastest_and_deferred, relative_error};

fn load(case: &Case, config_name: &str, backend: &Arc<dyn Backend>) -> Arc<ModelWeights> {
    let text = std::fs::read_to_string(case.folder.join(config_name)).expect("the fixture has a config");
    let config = ModelConfig::from_text(&text).expect("the fixture's config is sound");
    let spec = Arc::new(family::map(&config).unwrap_or_else(|error| panic!("{}: {config_name}: {error}", case.name)));
    let checkpoint = Checkpoint::from_folder(&case.folder).expect("the fixture has weights");
    load_weights(&spec, &checkpoint, backend, &LoadOptions { dtype: Dtype::F32, checks_values: true })
        .unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

fn arena_for(decoder: &Decoder, case: &Case, recompute: bool) -> Arena {
    let plan = decoder.plan_training(&case.row_lengths(), case.targets.len(), None, &StepOptions { recompute, ..StepOptions::default() });
    let logits = decoder.logits_bytes(case.ids.len(), case.ids.len(), None);
    Arena::new(decoder.weights().backend(), plan.arena_bytes.max(logits)).expect("tiny models fit")
}

fn check_logits(case: &Case, label: &str, logits: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    let (index, error) = logits
        .iter()
        .zip(expected)
        .map(|(ours, theirs)| (ours - theirs).abs())
        .enumerate()
        .fold((0, 0.0), |worst, (index, error)| if error > worst.1 || error.is_nan() { (index, error) } else { worst });
    assert!(
        error <= 2e-5 * largest,
        "{} {label}: logit {index} is {} instead of {}, off by {error:e}",
        case.name,
        logits[index],
        expected[index]
    );
}

#[test]
fn logits_equal_the_reference() {
    for backend in backends() {
        for case in Case::all() {
            for config in case.configs() {
                let decoder = Decoder::new(load(&case, &config, &backend));
                let mut arena = arena_for(&decoder, &case, false);
                let rows: Vec<u32> = (0..case.ids.len() as u32).collect();
                let logits = decoder.logits(&mut arena, &case.batch(), &rows, None, None).expect("the batch fits");
                check_logits(&case, &format!("{config} on {}", backend.name()), &logits, &case.logits);
            }
        }
    }
}

#[test]
fn loss_and_gradients_equal_the_reference() {
    for backend in fastest_and_deferred() {
        for case in Case::all() {
            for recompute in [false, true] {
                let weights = load(&case, "config.json", &backend);
                let decoder = Decoder::new(Arc::clone(&weights));
                let gradients =
                    Gradients::new(&backend, &weights.spec, None, &Trainable::all(&weights.spec)).expect("memory for gradients");
                let totals = new_totals(&backend).expect("memory for totals");
                let mut arena = arena_for(&decoder, &case, recompute);
                let options = StepOptions { recompute, ..StepOptions::default() };
                decoder.train(&mut arena, &case.batch(), &case.mean_nll(), None, &gradients, *totals, &options).expect("the batch fits");
                let loss = -f64::from(backend.read_f32(*totals)[0]) / case.targets.len() as f64;
                assert!((loss - case.loss).abs() <= 1e-5 * case.loss, "{}: loss {loss}, expected {}", case.name, case.loss);
                let mut ours = std::collections::BTreeMap::new();
                for (parameter, gradient) in weights.spec.parameters.iter().zip(&gradients.of_parameter) {
                    let values = backend.read_f32(gradient.expect("every parameter is trained"));
                    ours.extend(reference::split_parts(parameter, &values));
                }
                case.check_gradients("grad.", &ours);
            }
        }
    }
}

#[test]
fn rows_packed_together_equal_rows_alone() {
    for backend in fastest_and_deferred() {
        for case in Case::all() {
            let decoder = Decoder::new(load(&case, "config.json", &backend));
            let mut arena = arena_for(&decoder, &case, false);
            for row in case.batch_rows() {
                let batch = Batch::from_rows(std::slice::from_ref(&row.ids));
                let rows: Vec<u32> = (0..row.ids.len() as u32).collect();
                let logits = decoder.logits(&mut arena, &batch, &rows, None, None).expect("the row fits");
                check_logits(
                    &case,
                    "row alone",
                    &logits,
                    &case.logits[row.start * case.vocabulary..(row.start + row.ids.len()) * case.vocabulary],
                );
            }
        }
    }
}

#[test]
fn decoding_by_the_cache_equals_the_reference() {
    for backend in fastest_and_deferred() {
        for case in Case::all() {
            let decoder = Decoder::new(load(&case, "config.json", &backend));
            let mut arena = arena_for(&decoder, &case, false);
            for row in case.batch_rows() {
                let mut cache = KvCache::new(&backend, decoder.spec(), 1, row.ids.len(), Dtype::F32).expect("memory for the cache");
                let mut logits = Vec::new();
                for (position, id) in row.ids.iter().enumerate() {
                    let batch =
                        Batch { positions: vec![position as u32], rotary_lengths: vec![row.ids.len()], ..Batch::from_rows(&[vec![*id]]) };
                    logits.extend(decoder.logits(&mut arena, &batch, &[0], None, Some(&mut cache)).expect("the cache has room"));
                }
                check_logits(
                    &case,
                    "one by one",
                    &logits,
                    &case.logits[row.start * case.vocabulary..(row.start + row.ids.len()) * case.vocabulary],
                );
            }
        }
    }
}

#[test]
fn greedy_text_equals_the_reference() {
    for backend in fastest_and_deferred() {
        for case in Case::all() {
            let decoder = Decoder::new(load(&case, "config.json", &backend));
            let mut arena = arena_for(&decoder, &case, false);
            let greedy = &case.greedy;
            let length = greedy.prompt.len() + greedy.ids.len();
            let mut cache = KvCache::new(&backend, decoder.spec(), 1, length, Dtype::F32).expect("memory for the cache");
            let mut next: Vec<u32> = greedy.prompt.clone();
            for (step, expected) in greedy.ids.iter().enumerate() {
                let start = cache.lengths[0] as u32;
                let positions = (start..start + next.len() as u32).collect();
                let batch = Batch { positions, rotary_lengths: vec![length], ..Batch::from_rows(&[next.clone()]) };
                let logits =
                    decoder.logits(&mut arena, &batch, &[next.len() as u32 - 1], None, Some(&mut cache)).expect("the cache has room");
                let best = logits.iter().enumerate().fold(0, |best, (index, value)| if *value > logits[best] { index } else { best });
                if greedy.margins[step] < 1e-3 {
                    break; // From here on rounding may choose.
                }
                assert_eq!(best as u32, *expected, "{}: greedy token {step}", case.name);
                next = vec![best as u32];
            }
        }
    }
}

#[test]
fn a_gradient_is_missed_when_it_is_wrong() {
    assert!(relative_error(&[1.0, 2.0], &[1.0, 2.001]) > 1e-4);
    assert!(relative_error(&[1.0, 2.0], &[1.0, 2.0]) == 0.0);
}
