//! What a model reads of a conversation: roles and texts, files written out.

use serde::{Deserialize, Serialize};

use crate::{Message, Role};

/// One turn of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said, with the files before it.
    #[serde(rename = "content")]
    pub text: String,
}

impl Turn {
    /// A turn of plain text.
    pub fn new(role: Role, text: impl Into<String>) -> Turn {
        Turn { role, text: text.into() }
    }

    /// A message with its files.
    pub fn of(message: &Message) -> Turn {
        let mut text: String = message.attachments.iter().map(|file| file.as_prompt()).collect();
        text.push_str(&message.text);
        Turn { role: message.role, text }
    }
}
