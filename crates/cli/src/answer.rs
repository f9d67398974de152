//! One answer of a model: from messages to ids, and from ids to streamed text.

use std::time::Instant;

use apertis_model::generate::{Finish, GenerateSettings, Generator, ReadIds, TokenLogprobs};
use apertis_tokenizer::{ChatTemplate, Message, Tokenizer};

use crate::failure::Failure;
use crate::interrupts;
use crate::model::OpenModel;
use crate::printer::Printer;
use crate::sampling::StopStrings;

/// An answer and what it took.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) prompt_tokens: usize,
    /// Of these, known from the turn before.
    pub(crate) reused_tokens: usize,
    pub(crate) tokens: usize,
    /// `stop`, `stop_string`, `length`, `context_full` or `interrupted`.
    pub(crate) finish: &'static str,
    pub(crate) prefill_seconds: f64,
    pub(crate) decode_seconds: f64,
    pub(crate) logprobs: Vec<TokenLogprobs>,
}

/// Ids of a conversation up to where the model has to answer, by the model's template, else ChatML.
pub(crate) fn prompt_ids(tokenizer: &Tokenizer, messages: &[Message]) -> Result<Vec<u32>, Failure> {
    let chatml = ChatTemplate::chatml();
    let template = tokenizer.chat_template().unwrap_or(&chatml);
    let rendered = template.render(messages, None, true, &serde_json::Map::new())?;
    Ok(tokenizer.encode_rendered(&rendered.text)?.ids)
}

/// Generates and prints as it goes, going on from what `read` holds and leaving there what was read; Ctrl-C ends the answer where [`interrupts::watch`] was called.
pub(crate) fn stream(
    opened: &OpenModel,
    tokenizer: &Tokenizer,
    ids: &[u32],
    settings: &GenerateSettings,
    stop: &[String],
    read: &mut Option<ReadIds>,
    printer: &Printer,
) -> Result<Answer, Failure> {
    let began = Instant::now();
    let asked_before = interrupts::count();
    let mut generator = Generator::after(&opened.decoder, opened.adapter.as_ref(), read.take(), ids, settings)?;
    let mut answer = Answer {
        prompt_tokens: ids.len(),
        reused_tokens: generator.reused_tokens(),
        prefill_seconds: began.elapsed().as_secs_f64(),
        ..Answer::default()
    };
    let mut stream = tokenizer.stream_decoder(true);
    let mut stops = StopStrings::new(stop);
    let show = |text: &str, answer: &mut Answer| {
        printer.piece(text);
        answer.text.push_str(text);
    };
    while let Some(id) = generator.next_token()? {
        answer.tokens += 1;
        answer.logprobs.extend(generator.logprobs().cloned());
        if let Some(piece) = stream.push(id)? {
            let (text, is_stop) = stops.push(&piece);
            show(&text, &mut answer);
            if is_stop {
                answer.finish = "stop_string";
                break;
            }
        }
        if interrupts::count() > asked_before {
            answer.finish = "interrupted";
            break;
        }
    }
    if answer.finish != "stop_string" {
        let rest = stream.finish()?.unwrap_or_default();
        let (text, is_stop) = stops.push(&rest);
        show(&text, &mut answer);
        if is_stop {
            answer.finish = "stop_string";
        } else {
            show(&stops.finish(), &mut answer);
        }
    }
    answer.decode_seconds = began.elapsed().as_secs_f64() - answer.prefill_seconds;
    if answer.finish.is_empty() {
        answer.finish = match generator.finish() {
            Some(Finish::Stop) => "stop",
            Some(Finish::ContextFull) => "context_full",
            _ => "length",
        };
    }
    *read = Some(generator.into_read());
    Ok(answer)
}

/// Says on stderr what the text alone does not show.
pub(crate) fn explain(answer: &Answer, opened: &OpenModel, load_seconds: Option<f64>, is_verbose: bool, printer: &Printer) {
    if answer.finish == "context_full" {
        printer.note(format!("the context of {} tokens is full; the answer ends here", opened.decoder.spec().context));
    }
    if is_verbose {
        let load = load_seconds.map_or_else(String::new, |seconds| format!("load {seconds:.2} s, "));
        let read = answer.prompt_tokens - answer.reused_tokens;
        let known = match answer.reused_tokens {
            0 => String::new(),
            known => format!(" and {known} known"),
        };
        let rate = |tokens: usize, seconds: f64| tokens as f64 / seconds.max(1e-9);
        printer.note(format!(
            "{load}prefill {:.2} s ({read} tokens{known}, {:.1} tokens/s), decode {:.2} s ({} tokens, {:.1} tokens/s)",
            answer.prefill_seconds,
            rate(read, answer.prefill_seconds),
            answer.decode_seconds,
            answer.tokens,
            rate(answer.tokens, answer.decode_seconds)
        ));
    }
}

/// Another seed for every answer: nobody asked for a certain one.
pub(crate) fn fresh_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
