//! What the list of conversations shows of one: a small file beside its log, made again from the log
//! whenever the two do not agree.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::durable::replace_file;
use crate::error::AtPath;
use crate::{ChatsError, Conversation, ConversationId, Time};

/// Name of the file.
pub(crate) const CARD_FILE: &str = "card.json";

/// Version of the file; another one is made again.
const CARD_VERSION: u32 = 1;

/// A conversation in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    v: u32,
    /// Its id.
    pub id: ConversationId,
    /// The title a person gave, else one from the first words; none before there are any.
    pub title: Option<String>,
    /// When it was made.
    pub created: Time,
    /// When its messages last changed.
    pub changed: Time,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// How many messages can be seen, on any path.
    pub messages: usize,
    /// The models that answered, sorted, as people read them.
    pub models: Vec<String>,
    /// Answers that have not ended.
    pub unfinished: usize,
    /// Since when it lies in the trash.
    pub trashed: Option<Time>,
    /// Length of the log that this was made from.
    log_bytes: u64,
}

impl Card {
    pub(crate) fn of(conversation: &Conversation, log_bytes: u64) -> Card {
        let visible: Vec<_> = conversation.visible().collect();
        let answers = visible.iter().filter_map(|message| message.answer.as_ref());
        let mut models: Vec<String> = answers.map(|answer| answer.model.label()).filter(|label| !label.is_empty()).collect();
        models.sort();
        models.dedup();
        Card {
            v: CARD_VERSION,
            id: conversation.id.clone(),
            title: conversation.title.clone(),
            created: conversation.created,
            changed: conversation.changed,
            tags: conversation.tags.clone(),
            messages: visible.len(),
            models,
            unfinished: conversation.unfinished().len(),
            trashed: conversation.trashed,
            log_bytes,
        }
    }

    /// Reads the card of a folder; none when it is missing, of another version, unreadable, or not
    /// made from the log as it is now.
    pub(crate) fn read(folder: &Path, id: &ConversationId, log_bytes: u64) -> Option<Card> {
        let card: Card = serde_json::from_slice(&std::fs::read(folder.join(CARD_FILE)).ok()?).ok()?;
        (card.v == CARD_VERSION && card.id == *id && card.log_bytes == log_bytes).then_some(card)
    }

    /// Writes it. A power cut may cost it, which the next start mends.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), ChatsError> {
        let path = folder.join(CARD_FILE);
        let bytes = serde_json::to_vec(self).expect("a card is texts and numbers");
        replace_file(&path, &bytes, false).at("write", &path)
    }
}
