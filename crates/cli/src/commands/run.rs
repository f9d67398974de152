//! `apertis run MODEL`: one answer to a prompt, streamed; without a prompt, a chat.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;
use std::time::Instant;

use apertis_domain::Recipe;
use apertis_runs::Home;
use apertis_tokenizer::Message;
use serde_json::{Value, json};

use super::chat;
use crate::answer::{self, Answer};
use crate::arguments::RunArguments;
use crate::failure::Failure;
use crate::model;
use crate::printer::Printer;
use crate::sampling::Sampling;

pub(crate) fn run(arguments: &RunArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let sampling = Sampling::of(arguments).map_err(Failure::usage)?;
    let mut recipe = Recipe { model: arguments.model.clone(), ..Recipe::default() };
    recipe.apply_argument(&format!("precision={}", arguments.precision))?;
    recipe.apply_argument(&format!("threads={}", arguments.threads))?;
    let began = Instant::now();
    let prompt = match &arguments.prompt {
        Some(prompt) => Some(prompt.clone()),
        None if !std::io::stdin().is_terminal() => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::new(format!("stdin: {error}")))?;
            Some(text)
        }
        None => None,
    };
    if prompt.as_ref().is_some_and(|prompt| prompt.is_empty()) {
        return Err(Failure::usage("run: the prompt is empty").hint("Type one after the model, or pipe it in."));
    }
    let opened = model::open(&recipe, home)?;
    let tokenizer = opened.tokenizer()?;
    let load_seconds = began.elapsed().as_secs_f64();
    let Some(prompt) = prompt else {
        if arguments.raw || printer.is_json() {
            return Err(Failure::usage("run: a prompt is missing").hint("Type one after the model; a chat takes neither --raw nor --json."));
        }
        return chat::run(&opened, &tokenizer, sampling, arguments.verbose, home, printer);
    };
    let ids = if arguments.raw {
        tokenizer.encode(&prompt, true)?
    } else {
        answer::prompt_ids(&tokenizer, &[Message::text("user", prompt.trim_end())])?
    };
    let settings = sampling.settings(
        &if arguments.raw { tokenizer.eos_ids().to_vec() } else { tokenizer.stop_ids() },
        arguments.logprobs,
        answer::fresh_seed(),
    );
    let found = answer::stream(&opened, &tokenizer, &ids, &settings, &sampling.stop, &mut None, printer)?;
    printer.line("");
    let text = |id: u32| tokenizer.token_text(id).unwrap_or_default();
    for token in found.logprobs.iter().filter(|_| arguments.logprobs.is_some()) {
        let top: Vec<String> = token.top.iter().map(|(id, logprob)| format!("{:?} {logprob:.3}", text(*id))).collect();
        printer.line(format!("{:>9.4} {:?} ({})", token.logprob, text(token.id), top.join(", ")));
    }
    answer::explain(&found, &opened, Some(load_seconds), arguments.verbose, printer);
    printer.json(&describe(&found, &text, load_seconds));
    Ok(ExitCode::SUCCESS)
}

fn describe(found: &Answer, text: &dyn Fn(u32) -> String, load_seconds: f64) -> Value {
    let token = |id: u32, logprob: f32| json!({ "id": id, "text": text(id), "logprob": logprob });
    let logprobs: Vec<Value> = found
        .logprobs
        .iter()
        .map(|chosen| {
            let top: Vec<Value> = chosen.top.iter().map(|(id, logprob)| token(*id, *logprob)).collect();
            json!({ "id": chosen.id, "text": text(chosen.id), "logprob": chosen.logprob, "top": top })
        })
        .collect();
    json!({
        "text": found.text,
        "prompt_tokens": found.prompt_tokens,
        "tokens": found.tokens,
        "finish_reason": found.finish,
        "load_seconds": load_seconds,
        "prefill_seconds": found.prefill_seconds,
        "decode_seconds": found.decode_seconds,
        "logprobs": logprobs,
    })
}
