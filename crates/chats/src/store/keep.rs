//! Keeping conversations: making, naming, tagging, copying, importing, deleting.

use super::folder::OpenConversation;
use super::{ChatStore, TRASH_KEPT_MS, locked};
use crate::conversation::Origin;
use crate::error::refused;
use crate::log::Durability;
use crate::record::Record;
use crate::transfer::Imported;
use crate::{AnswerSettings, ChatsError, ConversationId, MessageId, NextAnswer, Time, check_title};

/// Longest tag, in characters, and most tags of a conversation.
const TAG_LENGTH_MAX: usize = 40;
const TAGS_MAX: usize = 32;

impl ChatStore {
    /// Makes an empty conversation.
    ///
    /// # Errors
    /// The disk refused.
    pub fn create(&self, next: NextAnswer) -> Result<ConversationId, ChatsError> {
        self.create_with(vec![Record::Created { origin: None, next }])
    }

    /// Makes a conversation of what was read from a file.
    ///
    /// # Errors
    /// The disk refused.
    pub fn import(&self, imported: Imported) -> Result<ConversationId, ChatsError> {
        let settings = AnswerSettings { system: imported.system, ..AnswerSettings::default() };
        let next = NextAnswer { model: None, settings };
        let mut records = vec![Record::Created { origin: Some(Origin::File(imported.format.to_owned())), next }];
        if let Some(title) = imported.title.and_then(|title| check_title(&title).ok()) {
            records.push(Record::Renamed { title });
        }
        for (at, turn) in imported.turns.into_iter().enumerate() {
            let message = number(at);
            let (role, text) = (turn.role, turn.text);
            let (attachments, edited_from) = (Vec::new(), None);
            records.push(Record::MessageAdded { message, parent: before(message), role, text, attachments, edited_from });
        }
        self.create_with(records)
    }

    /// Copies the path to a message, or the chosen one, into a conversation of its own. An answer
    /// that is still being written is not part of it; scores of tokens stay with the original.
    ///
    /// # Errors
    /// The message is unknown, or the disk refused.
    pub fn copy(&self, id: &ConversationId, up_to: Option<MessageId>) -> Result<ConversationId, ChatsError> {
        let conversation = self.get(id)?;
        let path = match up_to {
            Some(message) => {
                conversation.expect(message)?;
                conversation.path_to(message)
            }
            None => conversation.path(),
        };
        let mut records = vec![Record::Created { origin: Some(Origin::Conversation(id.clone())), next: conversation.next.clone() }];
        if let Some(title) = conversation.title.clone().filter(|_| conversation.has_own_title) {
            records.push(Record::Renamed { title });
        }
        for (at, old) in path.into_iter().take_while(|message| !message.is_unfinished()).enumerate() {
            let message = number(at);
            let parent = before(message);
            let text = old.text.clone();
            records.push(match &old.answer {
                Some(answer) => Record::AnswerAdded {
                    message,
                    parent,
                    text,
                    next: NextAnswer { model: Some(answer.model.clone()), settings: answer.settings.clone() },
                    state: answer.state,
                    reason: answer.reason.clone(),
                    analysis: answer.analysis,
                },
                None => {
                    let attachments = old.attachments.clone();
                    Record::MessageAdded { message, parent, role: old.role, text, attachments, edited_from: None }
                }
            });
        }
        if !conversation.tags.is_empty() {
            records.push(Record::Tagged { tags: conversation.tags.clone() });
        }
        self.create_with(records)
    }

    fn create_with(&self, records: Vec<Record>) -> Result<ConversationId, ChatsError> {
        let at = self.now();
        let mut id = ConversationId::new(at);
        while locked(&self.shelf).cards.contains_key(&id) {
            id = ConversationId::new(at);
        }
        let open = OpenConversation::create(&self.living_folder(&id), id.clone(), at, records)?;
        self.update_card(&open)?;
        Ok(id)
    }

    /// Names a conversation.
    ///
    /// # Errors
    /// The title is none, the conversation is unknown, or the disk refused.
    pub fn rename(&self, id: &ConversationId, title: &str) -> Result<(), ChatsError> {
        let title = check_title(title)?;
        self.change(id, |open, at| open.append(at, Record::Renamed { title }, Durability::Now))
    }

    /// Replaces the tags of a conversation.
    ///
    /// # Errors
    /// A tag is empty, too long or has several lines, there are more than 32, the conversation is
    /// unknown, or the disk refused.
    pub fn set_tags(&self, id: &ConversationId, tags: &[String]) -> Result<(), ChatsError> {
        let mut tags: Vec<String> = tags.iter().map(|tag| tag.trim().to_owned()).collect();
        tags.sort();
        tags.dedup();
        let is_tag = |tag: &String| !tag.is_empty() && tag.chars().count() <= TAG_LENGTH_MAX && !tag.chars().any(char::is_control);
        if let Some(bad) = tags.iter().find(|tag| !is_tag(tag)) {
            return Err(refused("tag conversation", format!("expected 1 to {TAG_LENGTH_MAX} characters on one line, found {bad:?}")));
        }
        if tags.len() > TAGS_MAX {
            return Err(refused("tag conversation", format!("{} tags, expected at most {TAGS_MAX}", tags.len())));
        }
        self.change(id, |open, at| open.append(at, Record::Tagged { tags }, Durability::Now))
    }

    /// Sets with what the next answer is asked for.
    ///
    /// # Errors
    /// The conversation is unknown, or the disk refused.
    pub fn set_next(&self, id: &ConversationId, next: NextAnswer) -> Result<(), ChatsError> {
        self.change(id, |open, at| match open.conversation.next == next {
            true => Ok(()),
            false => open.append(at, Record::NextSet { next }, Durability::Now),
        })
    }

    /// Moves a conversation to the trash.
    ///
    /// # Errors
    /// An answer has not ended, the conversation is unknown or lies there, or the disk refused.
    pub fn trash(&self, id: &ConversationId) -> Result<(), ChatsError> {
        self.change(id, |open, at| {
            if let Some(answer) = open.conversation.unfinished().first() {
                return Err(refused("delete conversation", format!("the answer {answer} is still being written")));
            }
            // The log decides where the folder belongs; a kill in between is settled at the next start.
            open.append(at, Record::Trashed, Durability::Now)?;
            self.relocate(open)
        })
    }

    /// Brings a conversation back from the trash.
    ///
    /// # Errors
    /// It does not lie there, or the disk refused.
    pub fn restore(&self, id: &ConversationId) -> Result<(), ChatsError> {
        let open = self.opened(id)?;
        let mut open = locked(&open);
        if open.conversation.trashed.is_none() {
            return Err(refused("restore conversation", "it does not lie in the trash"));
        }
        open.append(self.now(), Record::Restored, Durability::Now)?;
        let moved = self.relocate(&mut open);
        let carded = self.update_card(&open);
        moved.and(carded)
    }

    /// Moves a folder to where its log says that it belongs.
    fn relocate(&self, open: &mut OpenConversation) -> Result<(), ChatsError> {
        let id = &open.conversation.id;
        let place = match open.conversation.trashed {
            Some(_) => self.trash_folder(id),
            None => self.living_folder(id),
        };
        open.move_to(&place)
    }

    /// Removes for good a conversation that lies in the trash.
    ///
    /// # Errors
    /// It does not lie there, or the disk refused.
    pub fn remove(&self, id: &ConversationId) -> Result<(), ChatsError> {
        let open = self.opened(id)?;
        let mut open = locked(&open);
        if open.conversation.trashed.is_none() {
            return Err(refused("remove conversation", "it does not lie in the trash"));
        }
        open.remove()?;
        locked(&self.shelf).take(id);
        locked(&self.unindexed).insert(id.clone());
        locked(&self.open).remove(id);
        Ok(())
    }

    /// Removes for good what has lain in the trash for [`TRASH_KEPT_MS`], and says how much that was.
    ///
    /// # Errors
    /// The disk refused.
    pub fn sweep(&self, now: Time) -> Result<usize, ChatsError> {
        let is_old = |since: Time| now.as_millis() - since.as_millis() >= TRASH_KEPT_MS;
        let old: Vec<ConversationId> = {
            let shelf = locked(&self.shelf);
            shelf.cards.values().filter(|card| card.trashed.is_some_and(is_old)).map(|card| card.id.clone()).collect()
        };
        for id in &old {
            self.remove(id)?;
        }
        Ok(old.len())
    }
}

/// The number of the message at a place of a path.
fn number(at: usize) -> MessageId {
    MessageId(u32::try_from(at + 1).expect("a path is shorter than four thousand million messages"))
}

/// The message before it.
fn before(message: MessageId) -> Option<MessageId> {
    (message.0 > 1).then(|| MessageId(message.0 - 1))
}
