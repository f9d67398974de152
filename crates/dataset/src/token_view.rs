//! One row as tokens that a person can read: which are learned, which only seen, which cut off.

use std::sync::Arc;

use apertis_tokenizer::Tokenizer;

use crate::error::DatasetError;
use crate::open::new_tokeniser;
use crate::problem::{Problem, RowSource};
use crate::recognise::Sample;
use crate::samples::samples;
use crate::settings::DataSettings;

/// What happens to a token in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// It is learned: the model is trained to predict it.
    Trained,
    /// The model sees it and is not trained to predict it.
    Masked,
    /// It is beyond the maximum length and not seen at all.
    Cut,
}

/// One token of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewedToken {
    /// Its id.
    pub id: u32,
    /// What it reads as.
    pub text: String,
    /// What happens to it.
    pub state: TokenState,
}

/// One row of the data as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenView {
    /// Where the row stands.
    pub source: RowSource,
    /// Its tokens, or why it is not trained on.
    pub tokens: Result<Vec<ViewedToken>, Problem>,
    /// The beginning of a row that cannot be used.
    pub excerpt: String,
}

/// Tokenises row `row`, from 1, counting every row of the data, usable or not. Of a long text file
/// each row is one piece.
///
/// # Errors
/// Data that cannot be read, or fewer rows.
pub fn token_view(settings: &DataSettings, tokenizer: &Arc<Tokenizer>, row: u64) -> Result<TokenView, DatasetError> {
    let tokeniser = new_tokeniser(settings, tokenizer);
    let mut available = 0;
    for found in samples(&settings.paths, &settings.columns)? {
        let found = found?;
        available += 1;
        if available != row {
            continue;
        }
        let view = |tokens| TokenView { source: found.source, tokens, excerpt: found.excerpt.clone() };
        let converted = match found.content {
            Ok(converted) => converted,
            Err(problem) => return Ok(view(Err(problem))),
        };
        let (ids, mask) = match &converted.sample {
            Sample::Document(text) => match tokeniser.document(text, true, true) {
                // The first token of a text has nothing before it to be predicted from.
                Ok(ids) => {
                    let mask = (0..ids.len()).map(|at| at > 0).collect();
                    (ids, mask)
                }
                Err(problem) => return Ok(view(Err(problem))),
            },
            Sample::Conversation(conversation) => match tokeniser.render(conversation) {
                Ok(rendered) => (rendered.encoding.ids, rendered.mask),
                Err(problem) => return Ok(view(Err(problem))),
            },
        };
        let limit = match &converted.sample {
            Sample::Document(_) => ids.len(),
            Sample::Conversation(_) => settings.max_length,
        };
        return Ok(view(Ok(viewed(tokenizer, &ids, &mask, limit))));
    }
    Err(DatasetError::OutOfRange { what: "row", asked: row, available })
}

fn viewed(tokenizer: &Tokenizer, ids: &[u32], mask: &[bool], limit: usize) -> Vec<ViewedToken> {
    let state = |at: usize| match (at < limit, mask[at]) {
        (false, _) => TokenState::Cut,
        (true, true) => TokenState::Trained,
        (true, false) => TokenState::Masked,
    };
    ids.iter()
        .enumerate()
        .map(|(at, &id)| ViewedToken { id, text: tokenizer.token_text(id).unwrap_or_default(), state: state(at) })
        .collect()
}
