//! The messages of the OpenAI API: `{"messages": [{"role", "content"}, …]}`.
//!
//! # Source
//! The request body of "Create chat completion" in the OpenAI API reference.

use serde_json::{Map, Value, json};

use super::Imported;
use crate::{ChatsError, Conversation, MessageId, Role, Turn};

/// Roles of that format, and ours.
const ROLES: [(&str, Role); 6] = [
    ("system", Role::System),
    ("developer", Role::System),
    ("user", Role::User),
    ("assistant", Role::Assistant),
    ("tool", Role::Tool),
    ("function", Role::Tool),
];

/// The path to a message, or the chosen one, as an object with `messages`, its system text first and
/// files written out.
pub fn export_openai(conversation: &Conversation, up_to: Option<MessageId>) -> Value {
    let turns = conversation.turns(up_to, &conversation.next.settings.system);
    let mut object = Map::new();
    if let Some(title) = &conversation.title {
        object.insert("title".to_owned(), json!(title));
    }
    object.insert("created".to_owned(), json!(conversation.created));
    object.insert("messages".to_owned(), json!(turns));
    Value::Object(object)
}

/// Reads an object with `messages`, or the bare list of them.
///
/// # Errors
/// The text is no JSON, or has no messages. A part of a message that is no text is left out and told.
pub fn import_openai(text: &str) -> Result<Imported, ChatsError> {
    let bad = |message: String| Err(ChatsError::Import { message });
    let value: Value = match serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        Ok(value) => value,
        Err(error) => return bad(format!("expected JSON: {error}")),
    };
    let Some(messages) = value.get("messages").or(Some(&value)).and_then(Value::as_array) else {
        return bad("expected a list `messages`, found none".to_owned());
    };
    let title = value.get("title").and_then(Value::as_str).map(str::to_owned);
    let mut imported = Imported { title, system: String::new(), turns: Vec::new(), skipped: Vec::new(), format: "openai" };
    for (at, message) in messages.iter().enumerate() {
        let number = at + 1;
        let name = message.get("role").and_then(Value::as_str).unwrap_or_default();
        let Some((_, role)) = ROLES.iter().find(|(known, _)| *known == name) else {
            return bad(format!("message {number} has the role {name:?}, expected system, user, assistant or tool"));
        };
        let text = content(message, number, &mut imported.skipped);
        if message.get("tool_calls").is_some_and(|calls| !calls.is_null()) {
            imported.skipped.push(format!("message {number}: calls of tools"));
        }
        if *role == Role::System && imported.turns.is_empty() && imported.system.is_empty() {
            imported.system = text;
        } else if text.is_empty() {
            imported.skipped.push(format!("message {number}: it has no text"));
        } else {
            imported.turns.push(Turn::new(*role, text));
        }
    }
    match imported.turns.is_empty() && imported.system.is_empty() {
        true => bad("expected messages with text, found none".to_owned()),
        false => Ok(imported),
    }
}

/// The text of a message: one text, or the texts among its parts, a line each.
fn content(message: &Value, number: usize, skipped: &mut Vec<String>) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let mut texts = Vec::new();
            for part in parts {
                match part.get("text").and_then(Value::as_str).or(part.as_str()) {
                    Some(text) => texts.push(text),
                    None => {
                        let kind = part.get("type").and_then(Value::as_str).unwrap_or("unknown");
                        skipped.push(format!("message {number}: a part of type {kind:?}"));
                    }
                }
            }
            texts.join("\n")
        }
        _ => String::new(),
    }
}
