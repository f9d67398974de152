//! Which part of a rendered conversation is trained: found from the template itself,
//! or refused with a reason; never guessed.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::error::{SpanRefusal, TokenizerError};
use crate::message::Message;
use crate::template::ChatTemplate;
use crate::tokenizer::Encoding;

/// What of a conversation is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainOn {
    /// Every turn of the assistant.
    AllAssistantTurns,
    /// Only the assistant's last turn.
    LastTurn,
    /// The whole text.
    Everything,
}

/// Renders a conversation and finds the bytes of it that are trained.
///
/// A trained turn starts after the generation prompt and runs through the template's
/// end of turn, white space that the template adds after it included. Where the
/// template has `{% generation %}` blocks they say it; else prefixes are rendered:
/// the prompt before a turn, and the conversation up to it, must both be beginnings
/// of the whole text.
///
/// # Errors
/// A [`SpanRefusal`] to count, where the template gives no certain answer.
pub fn trained_spans(
    template: &ChatTemplate,
    messages: &[Message],
    tools: Option<&Value>,
    which: TrainOn,
) -> Result<(String, Vec<Range<usize>>), SpanRefusal> {
    trained_spans_with(template, messages, tools, which, &Map::new())
}

/// [`trained_spans`] with further variables for the template.
///
/// # Errors
/// As [`trained_spans`].
pub fn trained_spans_with(
    template: &ChatTemplate,
    messages: &[Message],
    tools: Option<&Value>,
    which: TrainOn,
    extra: &Map<String, Value>,
) -> Result<(String, Vec<Range<usize>>), SpanRefusal> {
    let search = Search { template, messages, tools, extra };
    let full = search.render(messages.len(), false)?;
    if which == TrainOn::Everything {
        let whole = 0..full.text.len();
        return Ok((full.text, vec![whole]));
    }
    let mut turns: Vec<usize> = (0..messages.len()).filter(|turn| messages[*turn].role == "assistant").collect();
    let Some(last) = turns.last().copied() else {
        return Err(SpanRefusal::NoAssistantTurn);
    };
    let blocks: Vec<Range<usize>> = full.generation_spans.into_iter().filter(|span| !span.is_empty()).collect();
    if !blocks.is_empty() {
        let spans = match which {
            TrainOn::LastTurn if blocks.len() == turns.len() => vec![blocks[blocks.len() - 1].clone()],
            TrainOn::LastTurn => {
                let start = search.start_of(last, &full.text)?;
                blocks.into_iter().filter(|span| span.end > start).collect()
            }
            _ => blocks,
        };
        return Ok((full.text, spans));
    }
    if which == TrainOn::LastTurn {
        turns = vec![last];
    }
    let mut spans: Vec<Range<usize>> = Vec::with_capacity(turns.len());
    for turn in turns {
        let start = search.start_of(turn, &full.text)?;
        let span = start..search.end_of(turn, start, &full.text)?;
        match spans.last_mut() {
            Some(before) if before.end == span.start => before.end = span.end,
            Some(before) if before.end > span.start => {
                return Err(SpanRefusal::PrefixTestFailed { turn });
            }
            _ => spans.push(span),
        }
    }
    Ok((full.text, spans))
}

/// One conversation and all that its renderings need.
struct Search<'a> {
    template: &'a ChatTemplate,
    messages: &'a [Message],
    tools: Option<&'a Value>,
    extra: &'a Map<String, Value>,
}

impl Search<'_> {
    fn render(&self, count: usize, prompt: bool) -> Result<crate::Rendered, SpanRefusal> {
        self.template.render(&self.messages[..count], self.tools, prompt, self.extra).map_err(|error| {
            SpanRefusal::TemplateFailed(match error {
                TokenizerError::Template { message, .. } => message,
                other => other.to_string(),
            })
        })
    }

    /// Where a turn's own text begins: the end of the prompt that asks for it.
    fn start_of(&self, turn: usize, full: &str) -> Result<usize, SpanRefusal> {
        let prompt = self.render(turn, true)?.text;
        if full.starts_with(&prompt) {
            return Ok(prompt.len());
        }
        let before = self.render(turn, false)?.text;
        Err(if full.starts_with(&before) { SpanRefusal::PrefixTestFailed { turn } } else { SpanRefusal::RewritesEarlierTurns { turn } })
    }

    /// Where a turn ends, what the template writes after it included.
    fn end_of(&self, turn: usize, start: usize, full: &str) -> Result<usize, SpanRefusal> {
        if turn + 1 == self.messages.len() {
            return Ok(full.len());
        }
        let rendered = self.render(turn + 1, false)?.text;
        let until = if full.starts_with(&rendered) {
            rendered.as_str()
        } else {
            self.without_closing(&rendered).filter(|until| full.starts_with(until)).ok_or(SpanRefusal::RewritesEarlierTurns { turn })?
        };
        if until.len() < start {
            return Err(SpanRefusal::PrefixTestFailed { turn });
        }
        Ok(until.len())
    }
}

impl Search<'_> {
    /// A rendering without the token that the template writes once, at the very end
    /// of a conversation (as Phi-3's does): it is no part of the turn before it.
    fn without_closing<'a>(&self, rendered: &'a str) -> Option<&'a str> {
        let closing = self.template.variable("eos_token")?.as_str()?;
        rendered.strip_suffix(closing).filter(|_| !closing.is_empty())
    }
}

/// Which tokens are trained: those whose first byte lies in a span.
///
/// A token that begins before a span and reaches into it is not trained, since the
/// model is given it with the prompt; one that begins inside and reaches out is.
/// Tokens that stand for no bytes are not trained. Spans are in order and apart.
pub fn mask_from_spans(encoding: &Encoding, spans: &[Range<usize>]) -> Vec<bool> {
    encoding
        .offsets
        .iter()
        .map(|(start, end)| {
            let next = spans.partition_point(|span| span.end <= *start);
            end > start && spans.get(next).is_some_and(|span| span.contains(start))
        })
        .collect()
}
