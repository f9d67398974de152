//! Turns of a chat that go on from what was read before, against the same turns read anew.
//!
//! Tolerance of log probabilities: twice the project's promise for logits in f32, 2e-5 · max(1,
//! largest), since rows that are computed together or alone may be summed in another order.

mod reference;

use std::sync::Arc;

use apertis_kernels::{Backend, Context, CpuBackend, Dtype, InstructionSet};
use apertis_model::Decoder;
use apertis_model::generate::{GenerateSettings, Generator, ReadIds};
use apertis_model::weights::{LoadOptions, load_model};
use reference::Case;

/// One turn: its ids, how likely each was, how many ids of the prompt were not read, what is left.
type Turn = (Vec<u32>, Vec<f32>, usize, ReadIds);

fn turn(decoder: &Decoder, read: Option<ReadIds>, prompt: &[u32], settings: &GenerateSettings) -> Turn {
    let mut generator = Generator::after(decoder, None, read, prompt, settings).expect("the prompt fits");
    let (mut ids, mut logprobs) = (Vec::new(), Vec::new());
    while let Some(id) = generator.next_token().expect("the cache has room") {
        ids.push(id);
        logprobs.push(generator.logprobs().expect("they were asked for").logprob);
    }
    (ids, logprobs, generator.reused_tokens(), generator.into_read())
}

fn decoder(case: &Case) -> Decoder {
    let set = *InstructionSet::available().last().expect("one");
    let backend: Arc<dyn Backend> = CpuBackend::new(Arc::new(Context::new(2, set).expect("available")));
    let options = LoadOptions { dtype: Dtype::F32, checks_values: true };
    let (_, weights) = load_model(&case.folder, &backend, &options).expect("the fixture loads");
    Decoder::new(weights)
}

#[test]
fn a_turn_that_goes_on_equals_one_read_anew() {
    let settings = GenerateSettings { temperature: 0.0, max_tokens: 4, logprobs: Some(0), ..GenerateSettings::default() };
    let mut reused_of = std::collections::BTreeMap::new();
    for case in Case::all() {
        let decoder = decoder(&case);
        let mut read = None;
        let mut prompt = case.greedy.prompt.clone();
        let mut reused = Vec::new();
        for turn_number in 0..3 {
            if prompt.len() + settings.max_tokens > decoder.spec().context {
                break;
            }
            let (ids, logprobs, count, left) = turn(&decoder, read.take(), &prompt, &settings);
            let (ids_anew, logprobs_anew, ..) = turn(&decoder, None, &prompt, &settings);
            assert_eq!(ids, ids_anew, "{} turn {turn_number}, {count} of {} ids reused", case.name, prompt.len());
            for (ours, theirs) in logprobs.iter().zip(&logprobs_anew) {
                assert!((ours - theirs).abs() <= 4e-5 * theirs.abs().max(1.0), "{}: {ours} and {theirs}", case.name);
            }
            assert!(count < prompt.len());
            reused.push(count);
            read = Some(left);
            prompt.extend(&ids);
            // The second turn is said anew from its third id on; the last one only goes on.
            match turn_number {
                0 => prompt[2] = (prompt[2] + 1) % case.vocabulary as u32,
                _ => prompt.push(1),
            }
        }
        reused_of.insert(case.name.clone(), reused);
    }
    let long_enough = reused_of["llama3"].clone();
    assert_eq!(long_enough[..2], [0, 2], "{long_enough:?}");
    assert!(long_enough[2] > 2, "{long_enough:?}");
}

#[test]
fn another_length_of_a_rotation_reads_everything_anew() {
    let settings = |max_tokens| GenerateSettings { temperature: 0.0, max_tokens, logprobs: Some(0), ..GenerateSettings::default() };
    let check = |name: &str, tokens: [usize; 2], is_reused: bool| {
        let case = Case::all().into_iter().find(|case| case.name == name).expect("it is recorded");
        let decoder = decoder(&case);
        let (ids, _, _, read) = turn(&decoder, None, &case.greedy.prompt, &settings(tokens[0]));
        let mut prompt = case.greedy.prompt.clone();
        prompt.extend(ids);
        let (again, _, reused, _) = turn(&decoder, Some(read), &prompt, &settings(tokens[1]));
        let (anew, ..) = turn(&decoder, None, &prompt, &settings(tokens[1]));
        assert_eq!((again, reused > 0), (anew, is_reused), "{name} {tokens:?}");
    };
    check("llama3", [2, 4], true);
    // Six ids and two tokens stay within the first context of twelve, eight and sixteen do not.
    check("phi3_longrope", [2, 2], true);
    check("phi3_longrope", [2, 16], false);
    check("llama_dynamic", [2, 2], true);
    check("llama_dynamic", [2, 8], false);
}
