//! One row to one sample, by the format of its file.

use std::borrow::Cow;

use apertis_tokenizer::{Content, Message};
use serde_json::{Map, Value, json};

use super::messages::{read_turns, text_message};
use super::validate::validate;
use super::{Format, FormatName, as_flag};
use crate::problem::{Problem, RowProblem};

/// A conversation and the tools that its template shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// The turns, in order, roles in the names that templates know.
    pub messages: Vec<Message>,
    /// A list of tool definitions.
    pub tools: Option<Value>,
}

/// What is trained on.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// Turns, of which the assistant's are learned.
    Conversation(Conversation),
    /// Text, all of which is learned.
    Document(String),
}

/// A sample and what its row held besides.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    /// The sample.
    pub sample: Sample,
    /// Rejected answers of a preference row, which are not trained on.
    pub rejected_answers: u64,
}

impl Format {
    /// Reads one row.
    ///
    /// # Errors
    /// The reason why the row cannot be trained on.
    pub fn convert(&self, row: &Value) -> Result<Converted, Problem> {
        if let (FormatName::OneColumn, Value::String(text)) = (self.name, row) {
            return document(text);
        }
        let Some(fields) = row.as_object() else {
            let detail = format!("the row is {}, expected an object with named fields", kind_of(row));
            return Err(Problem::new(RowProblem::MissingField, detail));
        };
        if let Some(name) = &self.text {
            return document(&text_field(fields, name)?);
        }
        if let Some(flag) = self.label.as_ref().and_then(|name| fields.get(name)).and_then(as_flag)
            && !flag
        {
            return Err(Problem::new(RowProblem::RejectedAnswer, "the answer is marked as not wanted"));
        }
        let mut messages = self.prompt_side(fields)?;
        if let Some(name) = &self.answer {
            self.add_answer(name, fields, &mut messages)?;
        }
        validate(&messages)?;
        let rejected = self.rejected.as_ref().and_then(|name| fields.get(name));
        Ok(Converted {
            sample: Sample::Conversation(Conversation { messages, tools: self.tools(fields)? }),
            rejected_answers: u64::from(rejected.is_some_and(|value| !value.is_null())),
        })
    }

    /// Everything before the answer; the whole conversation where the format has no answer field.
    fn prompt_side(&self, fields: &Map<String, Value>) -> Result<Vec<Message>, Problem> {
        let mut messages = Vec::new();
        if let Some(system) = self.system.as_ref().and_then(|name| fields.get(name)).and_then(Value::as_str)
            && !system.trim().is_empty()
        {
            messages.push(text_message("system", system));
        }
        if let Some(name) = &self.messages
            && let Some(value) = fields.get(name).filter(|value| !value.is_null())
        {
            let turns = read_turns(name, value)?;
            let has_own_system = turns.first().is_some_and(|turn| turn.role == "system");
            if has_own_system {
                messages.clear();
            }
            messages.extend(turns);
            return Ok(messages);
        }
        if let Some(history) = self.history.as_ref().and_then(|name| fields.get(name)) {
            add_history(history, &mut messages)?;
        }
        match &self.prompt {
            None if self.messages.is_some() && self.answer.is_none() => Err(missing(self.messages.as_deref().unwrap_or_default())),
            None => Ok(messages),
            Some(name) => {
                match fields.get(name) {
                    Some(turns @ Value::Array(_)) => messages.extend(read_turns(name, turns)?),
                    _ => {
                        let mut prompt = text_field(fields, name)?.into_owned();
                        if let Some(context) = self.context.as_ref().and_then(|name| fields.get(name)).and_then(Value::as_str)
                            && !context.is_empty()
                        {
                            if !prompt.is_empty() {
                                prompt.push('\n');
                            }
                            prompt.push_str(context);
                        }
                        messages.push(text_message("user", prompt));
                    }
                }
                Ok(messages)
            }
        }
    }

    fn add_answer(&self, name: &str, fields: &Map<String, Value>, messages: &mut Vec<Message>) -> Result<(), Problem> {
        match fields.get(name) {
            Some(turns @ Value::Array(_)) => {
                let turns = read_turns(name, turns)?;
                // A chosen conversation may repeat the prompt, or be the answer alone.
                if turns.first().is_some_and(|turn| turn.role != "assistant") {
                    let keeps_system = messages.first().is_some_and(|turn| turn.role == "system") && turns[0].role != "system";
                    messages.truncate(usize::from(keeps_system));
                }
                messages.extend(turns);
            }
            Some(turn @ Value::Object(_)) => messages.extend(read_turns(name, &json!([turn]))?),
            _ => {
                let answer = text_field(fields, name)?;
                match transcript(&answer) {
                    Some(turns) if messages.is_empty() || self.name == FormatName::Preference => *messages = turns,
                    _ => messages.push(text_message("assistant", answer.into_owned())),
                }
            }
        }
        Ok(())
    }

    fn tools(&self, fields: &Map<String, Value>) -> Result<Option<Value>, Problem> {
        let Some(value) = self.tools.as_ref().and_then(|name| fields.get(name)) else {
            return Ok(None);
        };
        let parsed = match value {
            Value::String(text) if text.trim().is_empty() => return Ok(None),
            Value::String(text) => {
                serde_json::from_str(text).map_err(|error| Problem::new(RowProblem::MissingField, format!("tools are no JSON: {error}")))?
            }
            other => other.clone(),
        };
        let list = match parsed {
            Value::Null => return Ok(None),
            Value::Array(list) => list,
            tool @ Value::Object(_) => vec![tool],
            other => {
                let detail = format!("tools are {}, expected a list", kind_of(&other));
                return Err(Problem::new(RowProblem::MissingField, detail));
            }
        };
        let wrapped: Vec<Value> = list
            .into_iter()
            .map(|tool| if tool.get("function").is_some() { tool } else { json!({"type": "function", "function": tool}) })
            .collect();
        Ok((!wrapped.is_empty()).then_some(Value::Array(wrapped)))
    }
}

fn document(text: &str) -> Result<Converted, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new(RowProblem::EmptyAnswer, "the text is empty"));
    }
    Ok(Converted { sample: Sample::Document(text.to_string()), rejected_answers: 0 })
}

pub(super) fn missing(name: &str) -> Problem {
    Problem::new(RowProblem::MissingField, format!("{name} is missing"))
}

/// A field as text; numbers and truth values, as tables hold them, are written out.
fn text_field<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Cow<'a, str>, Problem> {
    match fields.get(name) {
        None | Some(Value::Null) => Err(missing(name)),
        Some(Value::String(text)) => Ok(Cow::Borrowed(text)),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Cow::Owned(value.to_string())),
        Some(other) => {
            let detail = format!("{name} is {}, expected text", kind_of(other));
            Err(Problem::new(RowProblem::MissingField, detail))
        }
    }
}

/// `[[question, answer], …]` before the prompt.
fn add_history(history: &Value, messages: &mut Vec<Message>) -> Result<(), Problem> {
    let parsed;
    let history = match history {
        Value::String(text) if text.trim().is_empty() => return Ok(()),
        Value::String(text) => {
            parsed = serde_json::from_str(text).unwrap_or(Value::Null);
            &parsed
        }
        other => other,
    };
    let turns = match history {
        Value::Null => return Ok(()),
        Value::Array(turns) => turns,
        other => {
            let detail = format!("history is {}, expected a list of pairs", kind_of(other));
            return Err(Problem::new(RowProblem::MissingField, detail));
        }
    };
    for turn in turns {
        match turn.as_array().map(Vec::as_slice) {
            Some([Value::String(question), Value::String(answer)]) => {
                messages.push(text_message("user", question.as_str()));
                messages.push(text_message("assistant", answer.as_str()));
            }
            _ => return Err(Problem::new(RowProblem::MissingField, "history holds no pairs of question and answer")),
        }
    }
    Ok(())
}

/// `Human: … Assistant: …` in one string, as older preference data has it.
fn transcript(text: &str) -> Option<Vec<Message>> {
    let mut messages: Vec<Message> = Vec::new();
    let padded = text.trim_start();
    let body = padded.strip_prefix("Human:").map(|rest| ("user", rest))?;
    let (mut role, mut rest) = body;
    loop {
        let human = rest.find("\n\nHuman:").map(|at| (at, "user", "\n\nHuman:".len()));
        let assistant = rest.find("\n\nAssistant:").map(|at| (at, "assistant", "\n\nAssistant:".len()));
        let next = [human, assistant].into_iter().flatten().min();
        let content = next.map_or(rest, |(at, ..)| &rest[..at]).trim();
        messages.push(Message { role: role.to_string(), content: Content::Text(content.to_string()), ..Message::default() });
        match next {
            Some((at, next_role, length)) => {
                role = next_role;
                rest = &rest[at + length..];
            }
            None => break,
        }
    }
    (messages.len() > 1).then_some(messages)
}

/// A JSON kind in words.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
