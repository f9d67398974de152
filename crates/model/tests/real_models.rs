//! Real trained models reproduce recorded ids and logits; runs where the shared folder is there.

use std::path::Path;
use std::sync::Arc;

use apertis_kernels::{Backend, Context, CpuBackend, Dtype, InstructionSet};
use apertis_model::decoder::{Arena, Batch};
use apertis_model::weights::{LoadOptions, load_model};
use apertis_model::{Decoder, KvCache};
use serde_json::Value;

fn decoder(path: &Path) -> Decoder {
    let set = *InstructionSet::available().last().expect("at least one");
    let backend: Arc<dyn Backend> = CpuBackend::new(Arc::new(Context::new(2, set).expect("available")));
    let options = LoadOptions { dtype: Dtype::F32, checks_values: true };
    let (_, weights) = load_model(path, &backend, &options).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Decoder::new(weights)
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().expect("recorded").iter().map(|id| id.as_u64().expect("an id") as u32).collect()
}

/// Logits after the last of some ids.
fn last_logits(decoder: &Decoder, ids: &[u32]) -> Vec<f32> {
    let mut arena = Arena::new(decoder.weights().backend(), decoder.logits_bytes(ids.len(), 1, None)).expect("memory");
    let last = ids.len() as u32 - 1;
    decoder.logits(&mut arena, &Batch::from_rows(&[ids.to_vec()]), &[last], None, None).expect("the row fits")
}

/// The ids after a prompt, each the likeliest.
fn greedy(decoder: &Decoder, prompt: &[u32], count: usize) -> Vec<u32> {
    let backend = decoder.weights().backend();
    let length = prompt.len() + count;
    let mut cache = KvCache::new(backend, decoder.spec(), 1, length, Dtype::F32).expect("memory");
    let mut arena = Arena::new(backend, 2 * decoder.logits_bytes(length, 1, None)).expect("memory");
    let (mut all, mut next) = (prompt.to_vec(), prompt.to_vec());
    for _ in 0..count {
        let start = cache.lengths[0] as u32;
        let positions = (start..start + next.len() as u32).collect();
        let batch = Batch { positions, rotary_lengths: vec![length], ..Batch::from_rows(&[next.clone()]) };
        let logits = decoder.logits(&mut arena, &batch, &[next.len() as u32 - 1], None, Some(&mut cache)).expect("room");
        let best = logits.iter().enumerate().fold(0, |best, (index, value)| if *value > logits[best] { index } else { best });
        all.push(best as u32);
        next = vec![best as u32];
    }
    all
}

fn check_first(label: &str, logits: &[f32], recorded: &Value) {
    for (ours, theirs) in logits.iter().zip(recorded.as_array().expect("recorded")) {
        let theirs = theirs.as_f64().expect("a number") as f32;
        // The recorded numbers come from another f32 implementation: the models' tolerance, twice.
        assert!((ours - theirs).abs() <= 4e-5 * theirs.abs().max(10.0), "{label}: {ours} instead of {theirs}");
    }
}

#[test]
fn real_models_reproduce_what_was_recorded() {
    let Some(shared) = apertis_testkit::shared_testdata() else { return };
    let models = shared.join("models");
    let Ok(text) = std::fs::read_to_string(models.join("reference-values.json")) else { return };
    let recorded: Value = serde_json::from_str(&text).expect("a JSON document");

    let stories = &recorded["stories260K"];
    let model = decoder(&models.join("stories260K-llama2c/stories260K.bin"));
    check_first("stories260K", &last_logits(&model, &[1]), &stories["first_logits_after_BOS_0_8"]);
    let expected = ids(&stories["ids"]);
    assert_eq!(greedy(&model, &expected[..1], expected.len() - 1), expected, "stories260K");
    // The same model in eight bits says nearly the same: its likeliest next ids along the text.
    let eight_bit = decoder(&models.join("stories260K-llama2c/stories260K-q8.bin"));
    let largest =
        |logits: Vec<f32>| logits.iter().enumerate().fold(0, |best, (index, value)| if *value > logits[best] { index } else { best });
    let agreed = (1..40).filter(|end| largest(last_logits(&eight_bit, &expected[..*end])) as u32 == expected[*end]).count();
    assert!(agreed >= 36, "stories260K-q8: {agreed} of 39 ids agree");

    let capp = &recorded["capp-gpt2"];
    let model = decoder(&models.join("capp-gpt2-hf"));
    let prompt = ids(&capp["prompt_ids"]);
    check_first("capp-gpt2", &last_logits(&model, &prompt), &capp["logits_after_prompt_0_8"]);
    let expected = ids(&capp["greedy_ids"]);
    assert_eq!(greedy(&model, &prompt, expected.len() - prompt.len()), expected, "capp-gpt2");
}
