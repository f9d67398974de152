//! Greedy answers to fixed prompts, so that a person sees what the numbers mean.

use apertis_model::KvCache;
use apertis_model::decoder::{Arena, Batch};
use apertis_tokenizer::Tokenizer;

use crate::error::TrainError;
use crate::learner::Learner;

/// A prompt, ready to be continued.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplePrompt {
    /// As a person reads it.
    pub text: String,
    /// Its ids, up to where the answer begins.
    pub ids: Vec<u32>,
    /// What the data says, where it is a held-out row.
    pub reference: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Tokens of it.
    pub tokens: u64,
    /// stop or length.
    pub finish_reason: &'static str,
}

/// Continues a prompt greedily until an end token or `max_tokens`.
///
/// # Errors
/// When memory is short or the tokenizer cannot decode.
pub fn answer(learner: &mut Learner, tokenizer: &Tokenizer, prompt: &[u32], max_tokens: usize) -> Result<Answer, TrainError> {
    let (decoder, adapter, _) = learner.for_generation();
    let capacity = prompt.len() + max_tokens;
    let backend = decoder.weights().backend();
    let mut cache = KvCache::new(backend, decoder.spec(), 1, capacity, decoder.weights().dtype)?;
    let mut arena = Arena::new(backend, decoder.logits_bytes(prompt.len(), 1, adapter) + crate::evaluate::ARENA_SLACK_BYTES)?;
    let mut next = prompt.to_vec();
    let stop_ids = tokenizer.stop_ids();
    let mut ids = Vec::new();
    let mut finish_reason = "length";
    while ids.len() < max_tokens {
        let start = cache.lengths[0] as u32;
        let positions = (start..start + next.len() as u32).collect();
        let batch = Batch { positions, rotary_lengths: vec![capacity], ..Batch::from_rows(std::slice::from_ref(&next)) };
        let logits = decoder.logits(&mut arena, &batch, &[next.len() as u32 - 1], adapter, Some(&mut cache))?;
        let best = logits.iter().enumerate().fold(0, |best, (index, value)| if *value > logits[best] { index } else { best }) as u32;
        if stop_ids.contains(&best) {
            finish_reason = "stop";
            break;
        }
        ids.push(best);
        next = vec![best];
    }
    Ok(Answer { text: tokenizer.decode(&ids, true)?, tokens: ids.len() as u64, finish_reason })
}
