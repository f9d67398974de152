//! `apertis run MODEL`: one answer to a prompt, streamed.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;
use std::time::Instant;

use apertis_domain::Recipe;
use apertis_model::generate::{Finish, GenerateSettings, Generator};
use apertis_runs::Home;
use apertis_tokenizer::Message;
use serde_json::json;

use crate::arguments::RunArguments;
use crate::failure::Failure;
use crate::model;
use crate::printer::Printer;

/// Longest answer when nobody says.
const MAX_TOKENS: usize = 512;

pub(crate) fn run(arguments: &RunArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let mut recipe = Recipe { model: arguments.model.clone(), ..Recipe::default() };
    recipe.apply_argument(&format!("precision={}", arguments.precision))?;
    recipe.apply_argument(&format!("threads={}", arguments.threads))?;
    let began = Instant::now();
    let prompt = match &arguments.prompt {
        Some(prompt) => prompt.clone(),
        None if !std::io::stdin().is_terminal() => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::new(format!("stdin: {error}")))?;
            text
        }
        None => return Err(Failure::usage("run: a prompt is missing").hint("Type one after the model, or pipe it in.")),
    };
    let opened = model::open(&recipe, home)?;
    let tokenizer = opened.tokenizer()?;
    let ids = match (arguments.raw, tokenizer.chat_template()) {
        (false, template) => {
            let chatml = apertis_tokenizer::ChatTemplate::chatml();
            let template = template.unwrap_or(&chatml);
            let messages = [Message::text("user", prompt.trim_end())];
            let rendered = template.render(&messages, None, true, &serde_json::Map::new())?;
            tokenizer.encode_rendered(&rendered.text)?.ids
        }
        (true, _) => tokenizer.encode(&prompt, true)?,
    };
    let load_seconds = began.elapsed().as_secs_f64();
    let settings = GenerateSettings {
        temperature: arguments.temperature.unwrap_or(0.8),
        max_tokens: arguments.max_tokens.unwrap_or(MAX_TOKENS),
        stop_ids: tokenizer.eos_ids().to_vec(),
        ..GenerateSettings::default()
    };
    let mut generator = Generator::new(&opened.decoder, opened.adapter.as_ref(), &ids, &settings)?;
    let prefill_seconds = began.elapsed().as_secs_f64() - load_seconds;
    let mut stream = tokenizer.stream_decoder(true);
    let mut text = String::new();
    let mut tokens = 0;
    while let Some(id) = generator.next_token()? {
        tokens += 1;
        if let Some(piece) = stream.push(id)? {
            printer.piece(&piece);
            text.push_str(&piece);
        }
    }
    if let Some(piece) = stream.finish()? {
        printer.piece(&piece);
        text.push_str(&piece);
    }
    printer.line("");
    let total_seconds = began.elapsed().as_secs_f64();
    if arguments.verbose {
        let decode_seconds = total_seconds - load_seconds - prefill_seconds;
        printer
            .note(format!("load {load_seconds:.2} s, prefill {prefill_seconds:.2} s ({} tokens), decode {decode_seconds:.2} s", ids.len()));
        printer.note(format!("{tokens} tokens, {:.1} tokens/s", tokens as f64 / decode_seconds.max(1e-9)));
    }
    let reason = match generator.finish() {
        Some(Finish::Stop) => "stop",
        Some(Finish::ContextFull) => "context_full",
        _ => "length",
    };
    if reason == "context_full" {
        printer.note(format!("the context of {} tokens is full; the answer ends here", opened.decoder.spec().context));
    }
    printer.json(&json!({ "text": text, "prompt_tokens": ids.len(), "tokens": tokens, "finish_reason": reason }));
    Ok(ExitCode::SUCCESS)
}
