//! Turns in all their spellings to messages with the roles that templates know.

use apertis_tokenizer::{Content, Message};
use serde_json::{Map, Value, json};

use super::convert::kind_of;
use crate::problem::{Problem, RowProblem};

/// A turn of plain text.
pub(super) fn text_message(role: &str, content: impl Into<String>) -> Message {
    Message { role: role.to_string(), content: Content::Text(content.into()), ..Message::default() }
}

/// What a spelling of a role means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Is(&'static str),
    /// An assistant turn whose content is a call.
    Call,
}

fn role_of(name: &str) -> Option<Role> {
    Some(match name.trim().to_ascii_lowercase().as_str() {
        "user" | "human" | "prompter" | "person" | "customer" | "question" | "instruction" => Role::Is("user"),
        "assistant" | "gpt" | "chatgpt" | "bot" | "model" | "ai" | "bing" | "bard" | "agent" | "answer" => Role::Is("assistant"),
        "system" | "developer" => Role::Is("system"),
        "tool" | "observation" | "function" | "function_response" | "tool_response" | "tool_result" | "ipython" => Role::Is("tool"),
        "function_call" | "tool_call" => Role::Call,
        _ => return None,
    })
}

/// Reads the turns of a conversation: a list of objects, or that list as JSON text.
pub(super) fn read_turns(field: &str, value: &Value) -> Result<Vec<Message>, Problem> {
    let parsed;
    let value = match value {
        Value::String(text) => {
            parsed = serde_json::from_str::<Value>(text)
                .map_err(|error| Problem::new(RowProblem::MissingField, format!("{field} is text that is no JSON list: {error}")))?;
            &parsed
        }
        other => other,
    };
    let Some(turns) = value.as_array() else {
        let detail = format!("{field} is {}, expected a list of turns", kind_of(value));
        return Err(Problem::new(RowProblem::MissingField, detail));
    };
    if turns.is_empty() {
        return Err(Problem::new(RowProblem::EmptyAnswer, format!("{field} has no turn")));
    }
    let mut messages = Vec::with_capacity(turns.len());
    for (at, turn) in turns.iter().enumerate() {
        let number = at + 1;
        let Some(fields) = turn.as_object() else {
            let detail = format!("turn {number} of {field} is {}, expected an object", kind_of(turn));
            return Err(Problem::new(RowProblem::MissingField, detail));
        };
        read_turn(fields, number, &mut messages)?;
    }
    Ok(messages)
}

fn read_turn(fields: &Map<String, Value>, number: usize, messages: &mut Vec<Message>) -> Result<(), Problem> {
    let first = |names: &[&str]| names.iter().find_map(|name| fields.get(*name).filter(|value| !value.is_null()));
    let Some(role_value) = first(&["role", "from", "speaker", "author"]) else {
        return read_pair(fields, number, messages);
    };
    let role_name = role_value.as_str().unwrap_or_default();
    let Some(role) = role_of(role_name) else {
        let detail = format!("turn {number} has the role {role_name:?}, expected system, user, assistant or tool");
        return Err(Problem::new(RowProblem::UnknownRole, detail));
    };
    let content = first(&["content", "value", "text", "message"]);
    let mut message = match role {
        Role::Is(role) => Message { role: role.to_string(), ..Message::default() },
        Role::Call => {
            let mut message = Message { role: "assistant".to_string(), ..Message::default() };
            match content.and_then(call_of) {
                Some(call) => add_call(&mut message, call),
                None => message.content = read_content(content, number, &mut Message::default())?,
            }
            messages.push(message);
            return Ok(());
        }
    };
    message.content = read_content(content, number, &mut message)?;
    if let Some(calls) = first(&["tool_calls"]).and_then(Value::as_array) {
        calls.iter().filter_map(call_of).for_each(|call| add_call(&mut message, call));
    }
    if let Some(call) = first(&["function_call"]).and_then(call_of) {
        add_call(&mut message, call);
    }
    message.tool_call_id = first(&["tool_call_id"]).and_then(Value::as_str).map(str::to_string);
    message.name = first(&["name"]).and_then(Value::as_str).map(str::to_string);
    for name in ["reasoning_content", "thinking", "reasoning"] {
        if let Some(text) = first(&[name]).and_then(Value::as_str) {
            message.extra.insert("reasoning_content".to_string(), Value::String(text.to_string()));
        }
    }
    messages.push(message);
    Ok(())
}

/// `{"human": …, "assistant": …}`: both sides in one object.
fn read_pair(fields: &Map<String, Value>, number: usize, messages: &mut Vec<Message>) -> Result<(), Problem> {
    let side = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)).and_then(Value::as_str);
    let person = side(&["human", "user", "question", "prompt", "instruction"]);
    let answer = side(&["assistant", "gpt", "bot", "answer", "response", "output"]);
    match (person, answer) {
        (Some(person), Some(answer)) => {
            messages.push(text_message("user", person));
            messages.push(text_message("assistant", answer));
            Ok(())
        }
        _ => Err(Problem::new(RowProblem::MissingField, format!("turn {number} has no role (role or from)"))),
    }
}

/// Content as one text; calls and reasoning among its parts move to where templates look.
fn read_content(content: Option<&Value>, number: usize, message: &mut Message) -> Result<Content, Problem> {
    let parts = match content {
        None => return Ok(Content::Null),
        Some(Value::String(text)) => return Ok(Content::Text(text.clone())),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => return Ok(Content::Text(value.to_string())),
        Some(Value::Array(parts)) => parts,
        Some(other) => return Ok(Content::Text(other.to_string())),
    };
    let mut texts = Vec::new();
    for part in parts {
        if let Value::String(text) = part {
            texts.push(text.as_str());
            continue;
        }
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
        let body = ["text", "value", "content", "thinking"].iter().find_map(|name| part.get(*name).filter(|value| !value.is_null()));
        match (kind, body) {
            ("text" | "input_text" | "output_text", Some(Value::String(text))) => texts.push(text),
            ("reasoning" | "thinking", Some(Value::String(text))) => {
                message.extra.insert("reasoning_content".to_string(), Value::String(text.clone()));
            }
            ("tool_call" | "tool_use" | "function_call", _) => match call_of(body.unwrap_or(part)) {
                Some(call) => add_call(message, call),
                None => return Err(Problem::new(RowProblem::MissingField, format!("turn {number} has a call without a name"))),
            },
            ("text", _) => return Err(Problem::new(RowProblem::MissingField, format!("turn {number} has a part without text"))),
            (kind, _) => {
                let detail = format!("turn {number} has a part of type {kind:?}, expected text");
                return Err(Problem::new(RowProblem::UnsupportedContent, detail));
            }
        }
    }
    Ok(if texts.is_empty() { Content::Null } else { Content::Text(texts.concat()) })
}

/// A call in the shape that templates read, its arguments as an object where they parse as one.
fn call_of(value: &Value) -> Option<Value> {
    let parsed;
    let value = match value {
        Value::String(text) => {
            parsed = serde_json::from_str::<Value>(text).ok()?;
            &parsed
        }
        other => other,
    };
    let function = value.get("function").unwrap_or(value);
    let name = function.get("name")?.as_str()?;
    let arguments = match ["arguments", "parameters", "input"].iter().find_map(|name| function.get(*name)) {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())),
        Some(other) => other.clone(),
        None => json!({}),
    };
    let mut call = json!({"type": "function", "function": {"name": name, "arguments": arguments}});
    if let Some(id) = value.get("id").filter(|id| !id.is_null()) {
        call["id"] = id.clone();
    }
    Some(call)
}

fn add_call(message: &mut Message, call: Value) {
    match &mut message.tool_calls {
        Some(Value::Array(calls)) => calls.push(call),
        other => *other = Some(Value::Array(vec![call])),
    }
}
