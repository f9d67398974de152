//! Greedy answers to fixed prompts, so that a person sees what the numbers mean.

use apertis_dataset::Dataset;
use apertis_domain::recipe::Recipe;
use apertis_model::generate::{Finish, GenerateSettings, Generator};
use apertis_tokenizer::{ChatTemplate, Message, Tokenizer};

use crate::error::TrainError;
use crate::learner::Learner;

/// Held-out rows that are answered when the recipe names no prompts.
const HELD_OUT_PROMPTS: u64 = 3;
/// Where every token is trained, this many of a row are the prompt.
const PLAIN_PROMPT_TOKENS: usize = 8;

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

/// Prompts of the recipe, else the first held-out rows up to their answers.
///
/// # Errors
/// When a prompt of the recipe does not fit the context, or held-out rows cannot be read.
pub fn prompts(
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    held_out: Option<&Dataset>,
    context: usize,
) -> Result<Vec<SamplePrompt>, TrainError> {
    if recipe.sample_tokens == 0 {
        return Ok(Vec::new());
    }
    if !recipe.sample_prompts.is_empty() {
        let template = tokenizer.chat_template();
        return recipe.sample_prompts.iter().map(|text| prompt_of_text(tokenizer, template, text, context)).collect();
    }
    let Some(held_out) = held_out else { return Ok(Vec::new()) };
    let longest = context.saturating_sub(recipe.sample_tokens).max(1);
    let mut prompts = Vec::new();
    for unit in 0..held_out.units()?.min(HELD_OUT_PROMPTS) {
        let row = held_out.row(held_out.row_id(unit)?)?;
        let trains_from_start = row.mask.first() == Some(&true);
        let answer_start = match row.mask.iter().position(|trained| *trained) {
            _ if trains_from_start => row.ids.len().min(PLAIN_PROMPT_TOKENS),
            found => found.unwrap_or(0),
        };
        if answer_start == 0 || answer_start > longest {
            continue;
        }
        let answer_end = row.mask[answer_start..].iter().position(|trained| !trained).map_or(row.ids.len(), |length| answer_start + length);
        let reference_end = answer_end.min(answer_start + recipe.sample_tokens);
        prompts.push(SamplePrompt {
            text: tokenizer.decode(&row.ids[..answer_start], true)?,
            ids: row.ids[..answer_start].to_vec(),
            reference: tokenizer.decode(&row.ids[answer_start..reference_end], true)?,
        });
    }
    Ok(prompts)
}

fn prompt_of_text(tokenizer: &Tokenizer, template: Option<&ChatTemplate>, text: &str, context: usize) -> Result<SamplePrompt, TrainError> {
    let ids = match template {
        Some(template) => {
            let messages = [Message::text("user", text)];
            let rendered = template.render(&messages, None, true, &serde_json::Map::new())?;
            tokenizer.encode_rendered(&rendered.text)?.ids
        }
        None => tokenizer.encode(text, true)?,
    };
    if ids.is_empty() || ids.len() > context {
        return Err(TrainError::Recipe(format!("sample_prompts: one has {} tokens, expected 1 to the context's {context}", ids.len())));
    }
    Ok(SamplePrompt { text: text.to_string(), ids, reference: String::new() })
}

/// Continues a prompt greedily until an end token or `max_tokens`.
///
/// # Errors
/// When memory is short or the tokenizer cannot decode.
pub fn answer(learner: &Learner, tokenizer: &Tokenizer, prompt: &[u32], max_tokens: usize) -> Result<Answer, TrainError> {
    let settings = GenerateSettings { temperature: 0.0, max_tokens, stop_ids: tokenizer.stop_ids(), ..GenerateSettings::default() };
    let mut generator = Generator::new(learner.decoder(), learner.adapter(), prompt, &settings)?;
    let mut ids = Vec::new();
    while let Some(id) = generator.next_token()? {
        ids.push(id);
    }
    let finish_reason = match generator.finish() {
        Some(Finish::Stop) => "stop",
        _ => "length",
    };
    Ok(Answer { text: tokenizer.decode(&ids, true)?, tokens: ids.len() as u64, finish_reason })
}
