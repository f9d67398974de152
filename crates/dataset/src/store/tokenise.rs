//! One sample to token rows: the template, which tokens are learned, and what happens to rows
//! that are too long. Pure, so that all threads run it at once.

use std::sync::Arc;

use apertis_domain::recipe::TooLong;
use apertis_tokenizer::{ChatTemplate, Encoding, SpanRefusal, Tokenizer, TrainOn, mask_from_spans, trained_spans};

use super::TokenRow;
use crate::problem::{Problem, RowProblem};
use crate::recognise::Conversation;

/// How samples become rows; part of the cache key.
#[derive(Clone)]
pub(crate) struct Rendering {
    pub(crate) template: ChatTemplate,
    pub(crate) train_on: TrainOn,
    pub(crate) max_length: usize,
    pub(crate) too_long: TooLong,
    pub(crate) packing: bool,
}

/// A tokenizer with everything that is decided about rows.
pub(crate) struct Tokeniser {
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) rendering: Rendering,
}

/// A rendered and tokenised conversation, before anything is cut.
pub(crate) struct Rendered {
    pub(crate) encoding: Encoding,
    pub(crate) mask: Vec<bool>,
}

/// The rows of one conversation.
#[derive(Debug)]
pub(crate) struct ConversationRows {
    pub(crate) rows: Vec<TokenRow>,
    /// Tokens before anything was cut.
    pub(crate) length: u32,
    /// Whether the row was longer than the maximum and `too_long=stop`.
    pub(crate) must_stop: bool,
}

impl Tokeniser {
    /// Renders a conversation and finds what of it is learned.
    pub(crate) fn render(&self, conversation: &Conversation) -> Result<Rendered, Problem> {
        let rendering = &self.rendering;
        let (text, spans) = trained_spans(&rendering.template, &conversation.messages, conversation.tools.as_ref(), rendering.train_on)
            .map_err(|refusal| refused(&refusal))?;
        let encoding = self.tokenizer.encode_with_offsets(&text, false).map_err(|error| failed(&error.to_string()))?;
        let mask = match rendering.train_on {
            TrainOn::Everything => vec![true; encoding.ids.len()],
            _ => mask_from_spans(&encoding, &spans),
        };
        Ok(Rendered { encoding, mask })
    }

    /// The rows of a conversation.
    pub(crate) fn conversation(&self, conversation: &Conversation) -> Result<ConversationRows, Problem> {
        let rendered = self.render(conversation)?;
        let length = rendered.encoding.ids.len();
        let (ids, mask) = (rendered.encoding.ids, rendered.mask);
        let limit = self.rendering.max_length;
        let is_too_long = length > limit;
        let rows = match self.rendering.too_long {
            TooLong::Skip if is_too_long => {
                let detail = format!("{length} tokens, at most {limit} allowed");
                return Err(Problem::new(RowProblem::TooLong, detail));
            }
            TooLong::Split if is_too_long => split(&ids, &mask, limit),
            _ => vec![cut(ids, mask, limit)],
        };
        let has_target = |row: &TokenRow| target_count(row) > 0;
        let rows: Vec<TokenRow> = drop_untrained(rows, has_target);
        if rows.is_empty() {
            let detail = if is_too_long {
                format!("{length} tokens: within the first {limit} nothing is learned")
            } else {
                "no token of an answer is left to learn".to_string()
            };
            return Err(Problem::new(RowProblem::NothingTrained, detail));
        }
        let must_stop = is_too_long && self.rendering.too_long == TooLong::Stop;
        Ok(ConversationRows { rows, length: length as u32, must_stop })
    }

    /// The ids of a document or a piece of one, with the marks of its beginning and end.
    pub(crate) fn document(&self, text: &str, is_first: bool, is_last: bool) -> Result<Vec<u32>, Problem> {
        let body = self.tokenizer.encode(text, false).map_err(|error| failed(&error.to_string()))?;
        let bos = self.tokenizer.bos_id().filter(|_| is_first && self.tokenizer.adds_bos());
        let eos = self.tokenizer.eos_ids().first().copied().filter(|_| is_last);
        Ok(bos.into_iter().chain(body).chain(eos).collect())
    }
}

fn refused(refusal: &SpanRefusal) -> Problem {
    let kind = match refusal {
        SpanRefusal::NoAssistantTurn => RowProblem::EmptyAnswer,
        _ => RowProblem::TemplateFailed,
    };
    Problem::new(kind, refusal.to_string())
}

fn failed(detail: &str) -> Problem {
    Problem::new(RowProblem::TokenizerFailed, detail)
}

fn cut(mut ids: Vec<u32>, mut mask: Vec<bool>, limit: usize) -> TokenRow {
    let cut_tokens = ids.len().saturating_sub(limit) as u32;
    ids.truncate(limit);
    mask.truncate(limit);
    TokenRow { ids, mask: Some(mask), continues: false, cut_tokens }
}

fn split(ids: &[u32], mask: &[bool], limit: usize) -> Vec<TokenRow> {
    let pieces = ids.chunks(limit).zip(mask.chunks(limit));
    pieces
        .enumerate()
        .map(|(at, (ids, mask))| TokenRow { ids: ids.to_vec(), mask: Some(mask.to_vec()), continues: at > 0, cut_tokens: 0 })
        .collect()
}

/// Leaves out the pieces of a split row that have nothing to learn; what follows one of them does
/// not continue it.
fn drop_untrained(rows: Vec<TokenRow>, has_target: impl Fn(&TokenRow) -> bool) -> Vec<TokenRow> {
    let mut kept: Vec<TokenRow> = Vec::with_capacity(rows.len());
    let mut was_kept = false;
    for mut row in rows {
        row.continues &= was_kept;
        was_kept = has_target(&row);
        if was_kept {
            kept.push(row);
        }
    }
    kept
}

/// Tokens of a row that are learned: the first one has nothing before it to be learned from,
/// unless the row continues another.
pub(crate) fn target_count(row: &TokenRow) -> usize {
    let first = usize::from(!row.continues);
    match &row.mask {
        None => row.ids.len().saturating_sub(first),
        Some(mask) => mask.iter().skip(first).filter(|&&trained| trained).count(),
    }
}
