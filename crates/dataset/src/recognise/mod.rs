//! Which shape the rows of a file have, found by looking at the first of them, and the mapping
//! of a row to a conversation or a document.

mod convert;
mod messages;
mod validate;

pub use convert::{Conversation, Converted, Sample};

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::settings::Columns;

/// Rows looked at before the shape is decided.
pub(crate) const ROWS_LOOKED_AT: usize = 64;

const CHAT_FIELDS: [&str; 9] =
    ["messages", "conversations", "conversation", "dialog", "dialogue", "chat", "turns", "message_list", "history_messages"];
const PROMPT_FIELDS: [&str; 9] = ["prompt", "instruction", "question", "query", "problem", "user", "human", "input", "source"];
const ANSWER_FIELDS: [&str; 11] =
    ["completion", "response", "output", "solution", "answer", "assistant", "gpt", "reply", "target", "summary", "label_text"];
const CONTEXT_FIELDS: [&str; 2] = ["input", "context"];
const SYSTEM_FIELDS: [&str; 3] = ["system", "system_prompt", "system_message"];
const TEXT_FIELDS: [&str; 6] = ["text", "content", "document", "story", "body", "raw_content"];
const CHOSEN_FIELDS: [&str; 2] = ["chosen", "chosen_messages"];
const REJECTED_FIELDS: [&str; 3] = ["rejected", "rejected_messages", "rejected_response"];
const TOOL_FIELDS: [&str; 3] = ["tools", "functions", "function"];

/// The names under which formats are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatName {
    /// `instruction input output`.
    Alpaca,
    /// `conversations` of `from` and `value`, or of pairs.
    ShareGpt,
    /// `messages` of `role` and `content`.
    Messages,
    /// A prompt field and an answer field.
    PromptAnswer,
    /// `chosen` and `rejected`, or a `label`.
    Preference,
    /// A text field.
    Text,
    /// Rows of one column of text, or bare strings.
    OneColumn,
    /// The caller named the columns.
    Mapped,
    /// A text file, whole.
    PlainText,
}

impl FormatName {
    /// In words, for reports.
    pub fn words(self) -> &'static str {
        match self {
            Self::Alpaca => "Alpaca (instruction, input, output)",
            Self::ShareGpt => "ShareGPT (conversations)",
            Self::Messages => "OpenAI messages",
            Self::PromptAnswer => "prompt and answer",
            Self::Preference => "preference rows (the chosen answer)",
            Self::Text => "text rows",
            Self::OneColumn => "one column of text",
            Self::Mapped => "named columns",
            Self::PlainText => "plain text",
        }
    }
}

/// Where the parts of a sample stand in a row. A part that no row has is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// What the shape is called.
    pub name: FormatName,
    pub(crate) messages: Option<String>,
    pub(crate) prompt: Option<String>,
    pub(crate) context: Option<String>,
    pub(crate) answer: Option<String>,
    pub(crate) system: Option<String>,
    pub(crate) history: Option<String>,
    pub(crate) tools: Option<String>,
    pub(crate) rejected: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) text: Option<String>,
    /// Fields that no part of a sample is taken from.
    pub unused: Vec<String>,
}

impl Format {
    fn empty(name: FormatName) -> Self {
        Self {
            name,
            messages: None,
            prompt: None,
            context: None,
            answer: None,
            system: None,
            history: None,
            tools: None,
            rejected: None,
            label: None,
            text: None,
            unused: Vec::new(),
        }
    }

    /// The format of a text file.
    pub fn plain_text() -> Self {
        Self::empty(FormatName::PlainText)
    }

    /// Whether rows are documents to continue, not conversations.
    pub fn is_text(&self) -> bool {
        self.text.is_some() || matches!(self.name, FormatName::PlainText | FormatName::OneColumn)
    }

    fn used(&self) -> BTreeSet<&str> {
        [
            &self.messages,
            &self.prompt,
            &self.context,
            &self.answer,
            &self.system,
            &self.history,
            &self.tools,
            &self.rejected,
            &self.label,
            &self.text,
        ]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect()
    }
}

/// Whether a lower-case name is one that a format knows.
pub(crate) fn is_known_field(name: &str) -> bool {
    [&CHAT_FIELDS[..], &PROMPT_FIELDS, &ANSWER_FIELDS, &TEXT_FIELDS, &CHOSEN_FIELDS].iter().any(|names| names.contains(&name))
}

/// Decides the format from the first rows.
///
/// # Errors
/// One sentence: which fields there are and what is missing.
pub fn recognise(rows: &[Value], columns: &Columns) -> Result<Format, String> {
    let fields = Fields::of(rows);
    let mut format = if columns.is_empty() { by_fields(rows, &fields)? } else { by_columns(columns, &fields)? };
    let used = format.used();
    format.unused = fields.names.iter().filter(|name| !used.contains(name.as_str())).cloned().collect();
    Ok(format)
}

/// The fields of the first rows, in order of appearance.
struct Fields {
    names: Vec<String>,
}

impl Fields {
    fn of(rows: &[Value]) -> Self {
        let mut names: Vec<String> = Vec::new();
        for row in rows.iter().filter_map(Value::as_object) {
            for name in row.keys() {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        Self { names }
    }

    /// The first of the known names that the rows have, whatever its case.
    fn find(&self, known: &[&str]) -> Option<String> {
        known.iter().find_map(|known| self.names.iter().find(|name| name.trim().eq_ignore_ascii_case(known))).cloned()
    }

    fn list(&self) -> String {
        let shown: Vec<&str> = self.names.iter().take(8).map(String::as_str).collect();
        let more = self.names.len().saturating_sub(shown.len());
        if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
    }
}

fn by_columns(columns: &Columns, fields: &Fields) -> Result<Format, String> {
    let find = |key: &str, wanted: &Option<String>| match wanted {
        None => Ok(None),
        Some(name) => match fields.find(&[name.as_str()]) {
            Some(found) => Ok(Some(found)),
            None => Err(format!("columns.{key}={name}, but the rows have {}", fields.list())),
        },
    };
    let format = Format {
        messages: find("messages", &columns.messages)?,
        prompt: find("prompt", &columns.prompt)?,
        answer: find("response", &columns.response)?,
        system: find("system", &columns.system)?,
        text: find("text", &columns.text)?,
        tools: fields.find(&TOOL_FIELDS).filter(|_| columns.messages.is_some()),
        ..Format::empty(FormatName::Mapped)
    };
    match (&format.messages, &format.prompt, &format.answer, &format.text) {
        (Some(_), None, None, None) | (None, Some(_), Some(_), None) | (None, None, None, Some(_)) => Ok(format),
        (None, Some(_), None, None) => Err("columns.prompt is named but columns.response is missing".to_string()),
        (None, None, Some(_), None) => Err("columns.response is named but columns.prompt is missing".to_string()),
        _ => Err("columns: expected prompt with response, or messages, or text alone".to_string()),
    }
}

fn by_fields(rows: &[Value], fields: &Fields) -> Result<Format, String> {
    let objects: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
    if objects.is_empty() {
        return by_bare_values(rows);
    }
    let tools = fields.find(&TOOL_FIELDS);
    let system = fields.find(&SYSTEM_FIELDS);
    let history = fields.find(&["history"]);
    let chat = fields.find(&CHAT_FIELDS).filter(|name| objects.iter().any(|row| row.get(name).is_some_and(is_turn_list)));
    let prompt = fields.find(&PROMPT_FIELDS);
    let rejected = fields.find(&REJECTED_FIELDS);
    let label = fields
        .find(&["label", "kto_tag"])
        .filter(|name| objects.iter().all(|row| row.get(name).is_none_or(|value| as_flag(value).is_some())));
    let context = CONTEXT_FIELDS.iter().find_map(|name| {
        let may_have_context = prompt.as_deref().is_some_and(|prompt| prompt.eq_ignore_ascii_case("instruction"));
        fields.find(&[name]).filter(|found| may_have_context && prompt.as_ref() != Some(found))
    });
    if let Some(chosen) = fields.find(&CHOSEN_FIELDS) {
        return Ok(Format {
            messages: chat,
            prompt,
            context,
            answer: Some(chosen),
            system,
            history,
            tools,
            rejected,
            ..Format::empty(FormatName::Preference)
        });
    }
    if let Some(messages) = chat {
        let is_share = objects.iter().any(|row| row.get(&messages).is_some_and(|turns| !has_roles(turns)));
        let name = match (rejected.is_some() || label.is_some(), is_share) {
            (true, _) => FormatName::Preference,
            (false, true) => FormatName::ShareGpt,
            (false, false) => FormatName::Messages,
        };
        return Ok(Format { messages: Some(messages), system, tools, rejected, label, ..Format::empty(name) });
    }
    let answer = ANSWER_FIELDS.iter().find_map(|name| fields.find(&[name]).filter(|found| prompt.as_ref() != Some(found)));
    if let (Some(_), Some(answer_name)) = (&prompt, &answer) {
        let is_alpaca = prompt.as_deref() == Some("instruction") && answer_name == "output";
        let name = match (rejected.is_some() || label.is_some(), is_alpaca) {
            (true, _) => FormatName::Preference,
            (false, true) => FormatName::Alpaca,
            (false, false) => FormatName::PromptAnswer,
        };
        return Ok(Format { prompt, context, answer, system, history, tools, rejected, label, ..Format::empty(name) });
    }
    if let Some(text) = fields.find(&TEXT_FIELDS).filter(|name| holds_text(&objects, name)) {
        return Ok(Format { text: Some(text), ..Format::empty(FormatName::Text) });
    }
    if let [only] = fields.names.as_slice()
        && holds_text(&objects, only)
    {
        return Ok(Format { text: Some(only.clone()), ..Format::empty(FormatName::OneColumn) });
    }
    Err(missing_sentence(fields, prompt.as_deref(), answer.as_deref()))
}

fn holds_text(rows: &[&Map<String, Value>], name: &str) -> bool {
    rows.iter().any(|row| row.get(name).is_some_and(Value::is_string))
}

/// Rows that are strings are one column of text.
fn by_bare_values(rows: &[Value]) -> Result<Format, String> {
    match rows.iter().find(|row| !row.is_string()) {
        None if !rows.is_empty() => Ok(Format::empty(FormatName::OneColumn)),
        None => Err("no row could be read".to_string()),
        Some(Value::Array(_)) => Err("the rows are lists, expected objects with named fields".to_string()),
        Some(_) => Err("the rows are bare values, expected objects with named fields, or strings".to_string()),
    }
}

fn missing_sentence(fields: &Fields, prompt: Option<&str>, answer: Option<&str>) -> String {
    let list = fields.list();
    if fields.find(&["input_ids"]).is_some() {
        return format!("the rows hold tokens ({list}) but no text; expected the text that they were made from");
    }
    match (prompt, answer) {
        (Some(prompt), None) => format!(
            "the rows have {list}: {prompt} is a prompt, but an answer is missing (completion, response, output or \
             answer; or name it with columns.response=…)"
        ),
        (None, Some(answer)) => format!(
            "the rows have {list}: {answer} is an answer, but a prompt is missing (prompt, instruction, question or \
             query; or name it with columns.prompt=…)"
        ),
        _ => format!(
            "the rows have {list}; expected messages, conversations, a prompt with its answer, or text, or name the \
             fields with columns.prompt=… columns.response=…"
        ),
    }
}

/// Whether a value can be the turns of a conversation; tables hold them as JSON in a cell.
fn is_turn_list(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(Value::is_object),
        Value::String(text) => {
            text.trim_start().starts_with('[')
                && serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_array() && is_turn_list(&value))
        }
        _ => false,
    }
}

fn has_roles(turns: &Value) -> bool {
    match turns {
        Value::Array(items) => items.iter().all(|turn| turn.get("role").is_some()),
        Value::String(text) => serde_json::from_str::<Value>(text).is_ok_and(|value| has_roles(&value)),
        _ => true,
    }
}

/// A truth value in the ways files write one.
pub(crate) fn as_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
