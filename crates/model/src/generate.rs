//! Continues a sequence of ids token by token: prefill, KV cache, choice.

use apertis_kernels::Backend;
use std::sync::Arc;

use crate::adapter::Adapter;
use crate::decoder::{Arena, Batch, Decoder, KvCache};
use crate::error::ModelError;
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
    /// Divides (or multiplies) logits of tokens that stood before. Keskar et al. 2019.
    pub repetition_penalty: f32,
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
            repetition_penalty: 1.0,
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
    random: Uniform,
    finish: Option<Finish>,
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
        let context = decoder.spec().context;
        if prompt.is_empty() || prompt.len() > context {
            let message = format!("the prompt has {} tokens, expected 1 to the context's {context}", prompt.len());
            return Err(ModelError::Input { operation: "generate", message });
        }
        let limit = settings.max_tokens.min(context - prompt.len());
        let backend: &Arc<dyn Backend> = decoder.weights().backend();
        let capacity = prompt.len() + limit;
        let cache = KvCache::new(backend, decoder.spec(), 1, capacity.max(1), decoder.weights().dtype)?;
        let arena = Arena::new(backend, decoder.logits_bytes(prompt.len(), 1, adapter) + ARENA_SLACK_BYTES)?;
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
            rotary_length: prompt.len() + settings.max_tokens,
            random: Uniform::new(settings.seed),
            finish: None,
        };
        generator.read(prompt)?;
        Ok(generator)
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
        let id = choose(&mut self.logits, &self.seen, &self.settings, &mut self.random);
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

    fn read(&mut self, ids: &[u32]) -> Result<(), ModelError> {
        let start = self.cache.lengths[0] as u32;
        let positions = (start..start + ids.len() as u32).collect();
        let batch = Batch { positions, rotary_lengths: vec![self.rotary_length], ..Batch::from_rows(&[ids.to_vec()]) };
        let last = ids.len() as u32 - 1;
        self.logits = self.decoder.logits(&mut self.arena, &batch, &[last], self.adapter, Some(&mut self.cache))?;
        Ok(())
    }
}

/// Picks a token from logits, which are changed.
fn choose(logits: &mut [f32], seen: &[u32], settings: &GenerateSettings, random: &mut Uniform) -> u32 {
    if settings.repetition_penalty != 1.0 {
        let mut known: Vec<u32> = seen.to_vec();
        known.sort_unstable();
        known.dedup();
        for id in known {
            let logit = &mut logits[id as usize];
            *logit = if *logit > 0.0 { *logit / settings.repetition_penalty } else { *logit * settings.repetition_penalty };
        }
    }
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
    let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    if settings.top_p < 1.0 {
        let mut sum = 0.0;
        let kept = candidates.iter().take_while(|(_, weight)| {
            let is_needed = sum < f64::from(settings.top_p) * total;
            sum += weight;
            is_needed
        });
        let kept = kept.count().max(1);
        candidates.truncate(kept);
    }
    let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    let mut left = random.next() * total;
    for (id, weight) in &candidates {
        left -= weight;
        if left <= 0.0 {
            return *id;
        }
    }
    candidates.last().map_or(best as u32, |(id, _)| *id)
}
