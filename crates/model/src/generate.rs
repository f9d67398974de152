//! Continues a sequence of ids token by token: prefill, KV cache, choice.

use apertis_kernels::Backend;
use std::sync::Arc;

use crate::adapter::Adapter;
use crate::decoder::{Arena, Batch, Decoder, KvCache};
use crate::error::ModelError;
use crate::spec::ModelSpec;
use crate::weights::Uniform;

/// Alignment of small tensors differs between the planned and the real row lengths.
const ARENA_SLACK_BYTES: usize = 1 << 20;

/// How the next token is chosen, and when to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateSettings {
    /// Divides the logits; 0 takes the largest.
    pub temperature: f32,
    /// Keep only this many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the likeliest tokens that together have this probability. Holtzman et al. 2020.
    pub top_p: f32,
    /// Keep tokens with at least this share of the likeliest one's probability.
    pub min_p: f32,
    /// Keep the tokens whose surprise is nearest to the expected one and that together have this
    /// probability; 1 keeps all. Meister et al. 2023.
    pub typical_p: f32,
    /// Divides (or multiplies) logits of tokens that stood before. Keskar et al. 2019.
    pub repetition_penalty: f32,
    /// Taken off the logits of tokens that the continuation already has.
    pub presence_penalty: f32,
    /// Taken off the logits of a token for each time that the continuation has it.
    pub frequency_penalty: f32,
    /// How many of the likeliest tokens [`Generator::logprobs`] names beside the chosen one; none
    /// computes nothing.
    pub logprobs: Option<usize>,
    /// Start of every random choice.
    pub seed: u64,
    /// Longest continuation.
    pub max_tokens: usize,
    /// Tokens that end it.
    pub stop_ids: Vec<u32>,
}

impl Default for GenerateSettings {
    fn default() -> Self {
        GenerateSettings {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.0,
            typical_p: 1.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logprobs: None,
            seed: 0,
            max_tokens: 512,
            stop_ids: Vec::new(),
        }
    }
}

/// Why a continuation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model said so.
    Stop,
    /// `max_tokens` was reached.
    Length,
    /// The model's context is full.
    ContextFull,
}

/// How likely the model itself found a token, before penalties and temperature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenLogprobs {
    /// The chosen token.
    pub id: u32,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// The likeliest tokens, likeliest first.
    pub top: Vec<(u32, f32)>,
}

/// What a continuation leaves behind: the ids that were read, with their keys and values. The next
/// prompt is read from where it departs from them.
pub struct ReadIds {
    cache: KvCache,
    ids: Vec<u32>,
    rotary_length: usize,
}

impl ReadIds {
    /// How many ids a prompt shares from the start, under the same rotations; its last one is
    /// read again, because its logits are wanted.
    fn shared(&self, spec: &ModelSpec, prompt: &[u32], rotary_length: usize) -> usize {
        let has_same_rotations = spec.ropes.iter().all(|rope| rope.variant(self.rotary_length) == rope.variant(rotary_length));
        if !has_same_rotations {
            return 0;
        }
        let shared = self.ids.iter().zip(prompt).take_while(|(read, wanted)| read == wanted).count();
        shared.min(prompt.len() - 1)
    }
}

/// A continuation in progress.
pub struct Generator<'a> {
    decoder: &'a Decoder,
    adapter: Option<&'a Adapter>,
    settings: GenerateSettings,
    cache: KvCache,
    arena: Arena,
    seen: Vec<u32>,
    logits: Vec<f32>,
    generated: usize,
    limit: usize,
    rotary_length: usize,
    reused: usize,
    random: Uniform,
    finish: Option<Finish>,
    logprobs: Option<TokenLogprobs>,
}

impl<'a> Generator<'a> {
    /// Reads the prompt.
    ///
    /// # Errors
    /// When the prompt is empty, longer than the context, or memory is short.
    pub fn new(
        decoder: &'a Decoder,
        adapter: Option<&'a Adapter>,
        prompt: &[u32],
        settings: &GenerateSettings,
    ) -> Result<Generator<'a>, ModelError> {
        Generator::after(decoder, adapter, None, prompt, settings)
    }

    /// Reads what of the prompt was not read before by the same decoder and adapter.
    ///
    /// # Errors
    /// As [`Generator::new`].
    pub fn after(
        decoder: &'a Decoder,
        adapter: Option<&'a Adapter>,
        read: Option<ReadIds>,
        prompt: &[u32],
        settings: &GenerateSettings,
    ) -> Result<Generator<'a>, ModelError> {
        let spec = decoder.spec();
        let context = spec.context;
        if prompt.is_empty() || prompt.len() > context {
            let message = format!("the prompt has {} tokens, expected 1 to the context's {context}", prompt.len());
            return Err(ModelError::Input { operation: "generate", message });
        }
        let limit = settings.max_tokens.min(context - prompt.len());
        let backend: &Arc<dyn Backend> = decoder.weights().backend();
        let capacity = prompt.len() + limit;
        let rotary_length = prompt.len() + settings.max_tokens;
        let reused = read.as_ref().map_or(0, |read| read.shared(spec, prompt, rotary_length));
        let cache = match read {
            Some(ReadIds { mut cache, .. }) if reused > 0 => {
                cache.truncate(0, reused);
                // Room for a few more turns, so that not every one copies all that was read.
                if cache.capacity < capacity { cache.grown(backend, (2 * capacity).min(context))? } else { cache }
            }
            _ => KvCache::new(backend, spec, 1, capacity, decoder.weights().dtype)?,
        };
        let new_ids = &prompt[reused..];
        let arena = Arena::new(backend, decoder.logits_bytes(new_ids.len(), 1, adapter) + ARENA_SLACK_BYTES)?;
        let mut generator = Generator {
            decoder,
            adapter,
            settings: settings.clone(),
            cache,
            arena,
            seen: prompt.to_vec(),
            logits: Vec::new(),
            generated: 0,
            limit,
            rotary_length,
            reused,
            random: Uniform::new(settings.seed),
            finish: None,
            logprobs: None,
        };
        generator.read(new_ids)?;
        Ok(generator)
    }

    /// Ids of the prompt that did not have to be read.
    pub fn reused_tokens(&self) -> usize {
        self.reused
    }

    /// Everything read so far, for the next prompt.
    pub fn into_read(self) -> ReadIds {
        let mut ids = self.seen;
        ids.truncate(self.cache.lengths[0]);
        ReadIds { cache: self.cache, ids, rotary_length: self.rotary_length }
    }

    /// The next token; none at the end.
    ///
    /// # Errors
    /// When the model cannot go on.
    pub fn next_token(&mut self) -> Result<Option<u32>, ModelError> {
        if self.finish.is_some() {
            return Ok(None);
        }
        if self.generated >= self.limit {
            self.finish = Some(if self.limit < self.settings.max_tokens { Finish::ContextFull } else { Finish::Length });
            return Ok(None);
        }
        let plain = self.settings.logprobs.map(|top| (top, self.logits.clone()));
        let prompt_length = self.seen.len() - self.generated;
        let id = choose(&mut self.logits, &self.seen, prompt_length, &self.settings, &mut self.random);
        self.logprobs = plain.map(|(top, logits)| logprobs(&logits, id, top));
        if self.settings.stop_ids.contains(&id) {
            self.finish = Some(Finish::Stop);
            return Ok(None);
        }
        self.seen.push(id);
        self.generated += 1;
        if self.generated < self.limit {
            self.read(&[id])?;
        }
        Ok(Some(id))
    }

    /// Why it ended.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// How likely the latest token was; none unless the settings ask for it.
    pub fn logprobs(&self) -> Option<&TokenLogprobs> {
        self.logprobs.as_ref()
    }

    fn read(&mut self, ids: &[u32]) -> Result<(), ModelError> {
        let start = self.cache.lengths[0] as u32;
        let positions = (start..start + ids.len() as u32).collect();
        let batch = Batch { positions, rotary_lengths: vec![self.rotary_length], ..Batch::from_rows(&[ids.to_vec()]) };
        let last = ids.len() as u32 - 1;
        self.logits = self.decoder.logits(&mut self.arena, &batch, &[last], self.adapter, Some(&mut self.cache))?;
        Ok(())
    }
}

fn logprobs(logits: &[f32], id: u32, top: usize) -> TokenLogprobs {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    let of = |logit: f32| (f64::from(logit - largest) - sum.ln()) as f32;
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
    let top = order.into_iter().take(top).map(|id| (id, of(logits[id as usize]))).collect();
    TokenLogprobs { id, logprob: of(logits[id as usize]), top }
}

/// Picks a token from logits, which are changed; `seen` is the prompt and what came after it.
fn choose(logits: &mut [f32], seen: &[u32], prompt_length: usize, settings: &GenerateSettings, random: &mut Uniform) -> u32 {
    penalize(logits, seen, prompt_length, settings);
    let best = logits.iter().enumerate().fold(0, |best, (index, value)| if *value > logits[best] { index } else { best });
    if settings.temperature <= 0.0 {
        return best as u32;
    }
    let largest = logits[best];
    let mut candidates: Vec<(u32, f64)> =
        logits.iter().enumerate().map(|(id, logit)| (id as u32, f64::from((logit - largest) / settings.temperature).exp())).collect();
    candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if settings.top_k > 0 {
        candidates.truncate(settings.top_k);
    }
    candidates.retain(|(_, weight)| *weight >= f64::from(settings.min_p));
    if settings.typical_p < 1.0 {
        keep_typical(&mut candidates, f64::from(settings.typical_p));
    }
    if settings.top_p < 1.0 {
        keep_share(&mut candidates, f64::from(settings.top_p));
    }
    let total = sum(&candidates);
    let mut left = random.next() * total;
    for (id, weight) in &candidates {
        left -= weight;
        if left <= 0.0 {
            return *id;
        }
    }
    candidates.last().map_or(best as u32, |(id, _)| *id)
}

fn penalize(logits: &mut [f32], seen: &[u32], prompt_length: usize, settings: &GenerateSettings) {
    let sorted = |ids: &[u32]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids
    };
    if settings.repetition_penalty != 1.0 {
        let mut known = sorted(seen);
        known.dedup();
        for id in known {
            let logit = &mut logits[id as usize];
            *logit = if *logit > 0.0 { *logit / settings.repetition_penalty } else { *logit * settings.repetition_penalty };
        }
    }
    if settings.presence_penalty != 0.0 || settings.frequency_penalty != 0.0 {
        let said = sorted(&seen[prompt_length..]);
        for group in said.chunk_by(|a, b| a == b) {
            logits[group[0] as usize] -= settings.presence_penalty + settings.frequency_penalty * group.len() as f32;
        }
    }
}

fn sum(candidates: &[(u32, f64)]) -> f64 {
    candidates.iter().map(|(_, weight)| weight).sum()
}

/// Keeps the first candidates that together have this share of all; at least one.
fn keep_share(candidates: &mut Vec<(u32, f64)>, share: f64) {
    let wanted = share * sum(candidates);
    let mut reached = 0.0;
    let kept = candidates.iter().take_while(|(_, weight)| {
        let is_needed = reached < wanted;
        reached += weight;
        is_needed
    });
    let kept = kept.count().max(1);
    candidates.truncate(kept);
}

/// Keeps those whose surprise is nearest to the expected surprise; likeliest first again after it.
fn keep_typical(candidates: &mut Vec<(u32, f64)>, share: f64) {
    let total = sum(candidates);
    let surprise = |weight: f64| if weight > 0.0 { -(weight / total).ln() } else { f64::INFINITY };
    let entropy: f64 = candidates.iter().filter(|(_, weight)| *weight > 0.0).map(|(_, weight)| weight / total * surprise(*weight)).sum();
    candidates.sort_by(|a, b| (surprise(a.1) - entropy).abs().total_cmp(&(surprise(b.1) - entropy).abs()).then(a.0.cmp(&b.0)));
    keep_share(candidates, share);
    candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens that a hundred draws give.
    fn drawn(logits: &[f32], seen: &[u32], prompt_length: usize, settings: &GenerateSettings) -> Vec<u32> {
        let mut random = Uniform::new(1);
        let mut ids: Vec<u32> = (0..100).map(|_| choose(&mut logits.to_vec(), seen, prompt_length, settings, &mut random)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    #[test]
    fn each_setting_leaves_its_tokens() {
        let plain = GenerateSettings { temperature: 1.0, top_k: 0, top_p: 1.0, ..GenerateSettings::default() };
        let check = |shares: [f32; 4], seen: &[u32], settings: GenerateSettings, expected: &[u32]| {
            let logits = shares.map(f32::ln);
            assert_eq!(drawn(&logits, seen, 1, &settings), expected, "{settings:?}");
        };
        let shares = [0.4, 0.3, 0.2, 0.1];
        check(shares, &[0], plain.clone(), &[0, 1, 2, 3]);
        check(shares, &[0], GenerateSettings { temperature: 0.0, ..plain.clone() }, &[0]);
        check(shares, &[0], GenerateSettings { top_k: 2, ..plain.clone() }, &[0, 1]);
        check(shares, &[0], GenerateSettings { top_p: 0.6, ..plain.clone() }, &[0, 1]);
        check(shares, &[0], GenerateSettings { min_p: 0.45, ..plain.clone() }, &[0, 1, 2]);
        // Entropy 1.28; surprises 0.92, 1.20, 1.61, 2.30: the second and the third are nearest.
        check(shares, &[0], GenerateSettings { typical_p: 0.45, ..plain.clone() }, &[1, 2]);
        // The first is the prompt's and only the repetition penalty sees it: -0.92 becomes -1.83.
        let greedy = GenerateSettings { temperature: 0.0, ..plain };
        check(shares, &[0], GenerateSettings { repetition_penalty: 2.0, ..greedy.clone() }, &[1]);
        check(shares, &[0], GenerateSettings { presence_penalty: 5.0, ..greedy.clone() }, &[0]);
        check(shares, &[0, 0], GenerateSettings { presence_penalty: 1.0, ..greedy.clone() }, &[1]);
        // 0.4 against 0.3 differ by 0.29: two times 0.2 turn it, one time does not.
        check(shares, &[0, 0], GenerateSettings { frequency_penalty: 0.2, ..greedy.clone() }, &[0]);
        check(shares, &[0, 0, 0], GenerateSettings { frequency_penalty: 0.2, ..greedy }, &[1]);
    }

    #[test]
    fn logprobs_are_the_models_own() {
        let found = logprobs(&[0.5f32.ln() + 3.0, 0.3f32.ln() + 3.0, 0.2f32.ln() + 3.0], 1, 2);
        let close = |found: f32, share: f32| assert!((found - share.ln()).abs() < 1e-6, "{found} and {share}");
        close(found.logprob, 0.3);
        assert_eq!(found.top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1]);
        close(found.top[0].1, 0.5);
    }
}
