//! The chat of `apertis run MODEL`: lines and commands of a person, answers of the model, and
//! conversations that can be saved.

use std::path::PathBuf;
use std::process::ExitCode;

use apertis_model::generate::ReadIds;
use apertis_runs::Home;
use apertis_tokenizer::{Message, Tokenizer};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use serde::{Deserialize, Serialize};

use crate::answer;
use crate::failure::Failure;
use crate::interrupts;
use crate::model::OpenModel;
use crate::printer::Printer;
use crate::sampling::Sampling;

const HELP: &str = "\
/set parameter NAME VALUE  temperature, top_k, top_p, min_p, typical_p, seed, num_predict,
                           repeat_penalty, presence_penalty, frequency_penalty, stop
/set system TEXT           what the model is told first; empty takes it back
/show info                 the model, the parameters and how full the context is
/show parameters, system   only these
/save NAME                 keep this conversation
/load NAME                 go on with a kept conversation
/clear                     forget the conversation
/bye                       leave (also Ctrl-D)
\"\"\"                        begins and ends a message of several lines
Ctrl-C                     ends an answer

When the conversation no longer fits the context, its oldest turns are left out of what the
model reads, and a line says so.";

/// A conversation as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Conversation {
    system: String,
    messages: Vec<Message>,
    sampling: Sampling,
}

/// What a typed line means.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    Empty,
    Say(&'a str),
    /// `"""` was opened and not closed.
    Open(&'a str),
    SetParameter(&'a str, &'a str),
    SetSystem(&'a str),
    ShowInfo,
    ShowParameters,
    ShowSystem,
    Save(&'a str),
    Load(&'a str),
    Clear,
    Help,
    Bye,
    Unknown(&'a str),
}

pub(crate) fn run(
    opened: &OpenModel,
    tokenizer: &Tokenizer,
    sampling: Sampling,
    is_verbose: bool,
    home: &Home,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let terminal = |error: ReadlineError| Failure::new(format!("chat: {error}"));
    let config = Config::builder().auto_add_history(true).build();
    let mut editor: Editor<(), FileHistory> = Editor::with_config(config).map_err(terminal)?;
    let history = home.root().join("chat_history.txt");
    // The first chat has no history.
    let _ = editor.load_history(&history);
    let mut chat = Chat {
        opened,
        tokenizer,
        is_verbose,
        home,
        printer,
        conversation: Conversation { sampling, ..Conversation::default() },
        read: None,
    };
    printer.line(format!("{} · /? for help", opened.resolved.name));
    interrupts::watch();
    loop {
        let typed = match editor.readline(">>> ") {
            Ok(typed) => typed,
            // An empty line again; Ctrl-D or /bye leave.
            Err(ReadlineError::Interrupted) => {
                printer.line("Use Ctrl-D or /bye to leave.");
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(terminal(error)),
        };
        let mut text = typed;
        while let Line::Open(_) = meaning(&text) {
            match editor.readline("... ") {
                Ok(more) => {
                    text.push('\n');
                    text.push_str(&more);
                }
                Err(ReadlineError::Interrupted | ReadlineError::Eof) => text.clear(),
                Err(error) => return Err(terminal(error)),
            }
        }
        if !chat.obey(meaning(&text)) {
            break;
        }
    }
    if let Err(error) = editor.save_history(&history) {
        printer.note(format!("the history of this chat was not kept: {error}"));
    }
    Ok(ExitCode::SUCCESS)
}

struct Chat<'a> {
    opened: &'a OpenModel,
    tokenizer: &'a Tokenizer,
    is_verbose: bool,
    home: &'a Home,
    printer: &'a Printer,
    conversation: Conversation,
    /// What the model has read and said, so that the next turn reads only what is new.
    read: Option<ReadIds>,
}

impl Chat<'_> {
    /// Carries a line out; false leaves the chat.
    fn obey(&mut self, line: Line<'_>) -> bool {
        let done = match line {
            Line::Empty | Line::Open(_) => Ok(String::new()),
            Line::Bye => return false,
            Line::Help => Ok(HELP.to_owned()),
            Line::Clear => {
                self.conversation.messages.clear();
                Ok("The conversation is forgotten.".to_owned())
            }
            Line::SetParameter("", _) => Err("which parameter? /? lists them".to_owned()),
            Line::SetParameter(name, value) => self.conversation.sampling.set(name, value).map(|()| format!("{name} is {value}")),
            Line::SetSystem(text) => {
                text.clone_into(&mut self.conversation.system);
                Ok(if text.is_empty() { "No system message." } else { "System message set." }.to_owned())
            }
            Line::ShowInfo => Ok(self.info()),
            Line::ShowParameters => Ok(self.conversation.sampling.lines().join("\n")),
            Line::ShowSystem if self.conversation.system.is_empty() => Ok("No system message.".to_owned()),
            Line::ShowSystem => Ok(self.conversation.system.clone()),
            Line::Save(name) => self.save(name).map(|()| format!("Saved as {name}.")),
            Line::Load(name) => self.load(name).map(|()| format!("{} messages loaded.", self.conversation.messages.len())),
            Line::Unknown(word) => Err(format!("there is no command {word}; /? lists them")),
            Line::Say(text) => match self.say(text) {
                Ok(()) => Ok(String::new()),
                Err(failure) => Err(failure.message),
            },
        };
        match done {
            Ok(text) if text.is_empty() => {}
            Ok(text) => self.printer.line(text),
            Err(sentence) => self.printer.note(format!("error: {sentence}")),
        }
        true
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.conversation.messages.push(Message::text("user", text));
        let answered = self.answer();
        if answered.is_err() {
            // What was not answered is not part of the conversation.
            self.conversation.messages.pop();
        }
        answered
    }

    fn answer(&mut self) -> Result<(), Failure> {
        let (ids, left_out) = self.fitting()?;
        if left_out > 0 {
            self.printer.note(format!("the context is full: the model no longer reads the {left_out} oldest messages"));
        }
        let sampling = &self.conversation.sampling;
        let settings = sampling.settings(&self.tokenizer.stop_ids(), None, answer::fresh_seed());
        let found = answer::stream(self.opened, self.tokenizer, &ids, &settings, &sampling.stop, &mut self.read, self.printer)?;
        self.printer.line("");
        answer::explain(&found, self.opened, None, self.is_verbose, self.printer);
        self.conversation.messages.push(Message::text("assistant", found.text));
        Ok(())
    }

    /// The prompt with as many of the latest turns as leave room for an answer: a quarter of the
    /// context, or `num_predict` where that is less. The second value counts what was left out.
    fn fitting(&self) -> Result<(Vec<u32>, usize), Failure> {
        let context = self.opened.decoder.spec().context;
        let room = context - self.conversation.sampling.num_predict.min(context / 4);
        let messages = &self.conversation.messages;
        let mut start = 0;
        loop {
            let mut shown = Vec::new();
            if !self.conversation.system.is_empty() {
                shown.push(Message::text("system", self.conversation.system.as_str()));
            }
            shown.extend_from_slice(&messages[start..]);
            let ids = answer::prompt_ids(self.tokenizer, &shown)?;
            if ids.len() <= room {
                return Ok((ids, start));
            }
            // A question goes with its answer, so that the first turn is always a person's.
            if start + 2 >= messages.len() {
                let message = format!("this message takes {} tokens, the context of {context} leaves room for {room}", ids.len());
                return Err(Failure::new(message).hint("Say it shorter."));
            }
            start += 2;
        }
    }

    fn info(&self) -> String {
        let spec = self.opened.decoder.spec();
        let used = match self.conversation.messages.is_empty() {
            true => "0".to_owned(),
            false => match self.fitting() {
                Ok((ids, 0)) => ids.len().to_string(),
                Ok((ids, left_out)) => format!("{} (the {left_out} oldest messages left out)", ids.len()),
                // An answer filled it to the end: the next message begins with fewer turns.
                Err(_) => "all".to_owned(),
            },
        };
        let mut lines = vec![
            format!("model              {}", self.opened.resolved.folder.display()),
            format!("parameters         {}", super::view::count(spec.parameter_count() as u64)),
            format!("context            {used} of {} tokens used", spec.context),
            format!("system             {}", self.conversation.system),
        ];
        if let Some(adapter) = &self.opened.resolved.adapter {
            lines.push(format!("adapter            {}", adapter.display()));
        }
        lines.extend(self.conversation.sampling.lines());
        lines.join("\n")
    }

    fn file(&self, name: &str) -> Result<PathBuf, String> {
        let is_plain = name.chars().all(|c| c.is_alphanumeric() || "-_".contains(c));
        if name.is_empty() {
            return Err(format!("a name is missing{}", self.kept()));
        }
        match is_plain {
            true => Ok(self.home.root().join("chats").join(format!("{name}.json"))),
            false => Err(format!("a conversation's name has letters, digits, - and _ only, found {name:?}")),
        }
    }

    /// The conversations that can be loaded, as the end of a sentence.
    fn kept(&self) -> String {
        let entries = std::fs::read_dir(self.home.root().join("chats")).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned())).collect();
        names.sort();
        if names.is_empty() { "; none is kept yet".to_owned() } else { format!("; kept are {}", names.join(", ")) }
    }

    fn save(&self, name: &str) -> Result<(), String> {
        let path = self.file(name)?;
        let sentence = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = serde_json::to_string_pretty(&self.conversation).map_err(|error| sentence(&error))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| sentence(&error))?;
        }
        // A conversation that was saved before stays whole if writing fails.
        let unfinished = path.with_extension("json.tmp");
        std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, &path)).map_err(|error| sentence(&error))
    }

    fn load(&mut self, name: &str) -> Result<(), String> {
        let path = self.file(name)?;
        let sentence = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no conversation {name}{}", self.kept()),
            _ => sentence(&error),
        })?;
        self.conversation = serde_json::from_str(&text).map_err(|error| sentence(&error))?;
        Ok(())
    }
}

fn meaning(text: &str) -> Line<'_> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix("\"\"\"") {
        return match inner.strip_suffix("\"\"\"") {
            Some(inner) if inner.trim().is_empty() => Line::Empty,
            Some(inner) => Line::Say(inner.trim_matches('\n')),
            None => Line::Open(inner),
        };
    }
    if !text.starts_with('/') {
        return if text.is_empty() { Line::Empty } else { Line::Say(text) };
    }
    let (word, rest) = text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()));
    let (second, value) = rest.split_once(char::is_whitespace).map_or((rest, ""), |(second, value)| (second, value.trim()));
    match (word, second) {
        ("/bye" | "/exit", _) => Line::Bye,
        ("/?" | "/help", _) => Line::Help,
        ("/clear", _) => Line::Clear,
        ("/show", "" | "info") => Line::ShowInfo,
        ("/show", "parameters") => Line::ShowParameters,
        ("/show", "system") => Line::ShowSystem,
        ("/save", _) => Line::Save(rest),
        ("/load", _) => Line::Load(rest),
        ("/set", "system") => Line::SetSystem(value.trim_matches('"')),
        ("/set", "parameter") => {
            let (name, value) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
            Line::SetParameter(name, value.trim().trim_matches('"'))
        }
        ("/set", "") => Line::SetParameter("", ""),
        _ => Line::Unknown(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_lines_mean_what_they_say() {
        let check = |text, expected| assert_eq!(meaning(text), expected, "{text}");
        check("", Line::Empty);
        check(" hello ", Line::Say("hello"));
        check("/bye", Line::Bye);
        check("/?", Line::Help);
        check("/set parameter top_k 5", Line::SetParameter("top_k", "5"));
        check("/set parameter stop \"a b\"", Line::SetParameter("stop", "a b"));
        check("/set system You are kind.", Line::SetSystem("You are kind."));
        check("/set  system", Line::SetSystem(""));
        check("/show info", Line::ShowInfo);
        check("/show", Line::ShowInfo);
        check("/show parameters", Line::ShowParameters);
        check("/show system", Line::ShowSystem);
        check("/save one", Line::Save("one"));
        check("/dance", Line::Unknown("/dance"));
        check("\"\"\"one\ntwo\"\"\"", Line::Say("one\ntwo"));
        check("\"\"\"one", Line::Open("one"));
        check("\"\"\"", Line::Open(""));
        check("\"\"\"\"\"\"", Line::Empty);
    }
}
