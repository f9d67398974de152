//! A conversation as a tree: every edit and every new answer is a message beside the old one, and
//! one path through them is what a person reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::refused;
use crate::record::{Line, Record};
use crate::{Answer, AnswerState, ChatsError, ConversationId, Message, MessageId, NextAnswer, Role, Time, Turn, title_of};

/// From where a conversation was copied or imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Another conversation.
    Conversation(ConversationId),
    /// A file, by its format.
    File(String),
}

/// The place of a message among its siblings, for "2/3".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Siblings {
    /// Counted from 1.
    pub position: usize,
    /// All of them, oldest first.
    pub ids: Vec<MessageId>,
}

/// A conversation as its log tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// The title a person gave, else one from the first words; none before there are any.
    pub title: Option<String>,
    /// Whether a person gave the title.
    pub has_own_title: bool,
    /// When it was made.
    pub created: Time,
    /// When a message was last added to it, deleted or brought back, or an answer ended.
    pub changed: Time,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// With what the next answer is asked for.
    pub next: NextAnswer,
    /// Where it came from.
    pub origin: Option<Origin>,
    /// Since when it lies in the trash.
    pub trashed: Option<Time>,
    /// Every message, also the deleted ones, oldest first.
    pub messages: Vec<Message>,
    /// Lines of the log that say nothing that fits.
    pub damaged_lines: u64,
    /// Of the messages after one (none: at the beginning), the one that is on the path.
    chosen: BTreeMap<Option<MessageId>, MessageId>,
}

impl Conversation {
    pub(crate) fn new(id: ConversationId) -> Conversation {
        Conversation {
            id,
            title: None,
            has_own_title: false,
            created: Time::default(),
            changed: Time::default(),
            tags: Vec::new(),
            next: NextAnswer::default(),
            origin: None,
            trashed: None,
            messages: Vec::new(),
            damaged_lines: 0,
            chosen: BTreeMap::new(),
        }
    }

    /// A message that can be seen.
    pub fn message(&self, id: MessageId) -> Option<&Message> {
        self.find(id).filter(|message| self.is_visible(message))
    }

    /// The visible messages after one, or at the beginning, oldest first.
    pub fn children(&self, parent: Option<MessageId>) -> Vec<MessageId> {
        self.messages.iter().filter(|message| message.parent == parent && !message.is_deleted).map(|message| message.id).collect()
    }

    /// The place of a message among those that stand in the same place.
    pub fn siblings(&self, id: MessageId) -> Option<Siblings> {
        let ids = self.children(self.message(id)?.parent);
        let position = ids.iter().position(|sibling| *sibling == id)? + 1;
        Some(Siblings { position, ids })
    }

    /// The chosen path, from the beginning.
    pub fn path(&self) -> Vec<&Message> {
        // Of the messages of a place the newest stands at the end, and is the path's where none is chosen.
        let mut last_child: BTreeMap<Option<MessageId>, usize> = BTreeMap::new();
        for (at, message) in self.messages.iter().enumerate().filter(|(_, message)| !message.is_deleted) {
            let is_chosen = self.chosen.get(&message.parent) == Some(&message.id);
            let has_chosen = last_child.get(&message.parent).is_some_and(|at| {
                let other = &self.messages[*at];
                self.chosen.get(&other.parent) == Some(&other.id)
            });
            if is_chosen || !has_chosen {
                last_child.insert(message.parent, at);
            }
        }
        let mut path = Vec::new();
        let mut place = None;
        while let Some(at) = last_child.get(&place) {
            let message = &self.messages[*at];
            path.push(message);
            place = Some(message.id);
        }
        path
    }

    /// A message and all before it, from the beginning; empty for one that cannot be seen.
    pub fn path_to(&self, id: MessageId) -> Vec<&Message> {
        let mut path = Vec::new();
        let mut place = self.message(id);
        while let Some(message) = place {
            path.push(message);
            place = message.parent.and_then(|parent| self.find(parent));
        }
        path.reverse();
        path
    }

    /// What a model reads: the system text where there is one, then the path to a message, or the
    /// chosen path. Answers that have no text are left out.
    pub fn turns(&self, after: Option<MessageId>, system: &str) -> Vec<Turn> {
        let path = match after {
            Some(id) => self.path_to(id),
            None => self.path(),
        };
        let head = (!system.trim().is_empty()).then(|| Turn::new(Role::System, system));
        let rest = path.into_iter().filter(|message| message.answer.is_none() || !message.text.is_empty()).map(Turn::of);
        head.into_iter().chain(rest).collect()
    }

    /// Answers that have not ended.
    pub fn unfinished(&self) -> Vec<MessageId> {
        self.messages.iter().filter(|message| message.is_unfinished()).map(|message| message.id).collect()
    }

    /// The messages that can be seen, on any path.
    pub fn visible(&self) -> impl Iterator<Item = &Message> {
        let mut hidden: Vec<MessageId> = Vec::new();
        self.messages.iter().filter(move |message| {
            // A message is newer than the one before it, so its parent was looked at.
            let is_hidden = message.is_deleted || message.parent.is_some_and(|parent| hidden.binary_search(&parent).is_ok());
            if is_hidden {
                hidden.push(message.id);
            }
            !is_hidden
        })
    }

    /// The number of the next message.
    pub(crate) fn next_message(&self) -> MessageId {
        MessageId(self.messages.last().map_or(0, |message| message.id.0).saturating_add(1))
    }

    /// Refuses what cannot be seen.
    pub(crate) fn expect(&self, id: MessageId) -> Result<&Message, ChatsError> {
        self.message(id).ok_or(ChatsError::NoMessage { message: id })
    }

    /// Refuses a place after which nothing can be said: an unknown message, or an answer that is
    /// not whole yet.
    pub(crate) fn expect_whole(&self, operation: &'static str, id: MessageId) -> Result<&Message, ChatsError> {
        let message = self.expect(id)?;
        if message.is_unfinished() {
            return Err(refused(operation, format!("the answer {id} is still being written")));
        }
        Ok(message)
    }

    /// Adds text to an answer that has not ended.
    pub(crate) fn grow(&mut self, id: MessageId, more: &str) {
        self.with_answer(id, |text, _| text.push_str(more));
    }

    fn find(&self, id: MessageId) -> Option<&Message> {
        self.messages.binary_search_by_key(&id, |message| message.id).ok().map(|at| &self.messages[at])
    }

    fn find_mut(&mut self, id: MessageId) -> Option<&mut Message> {
        self.messages.binary_search_by_key(&id, |message| message.id).ok().map(|at| &mut self.messages[at])
    }

    fn is_visible(&self, message: &Message) -> bool {
        let mut place = Some(message);
        while let Some(message) = place {
            if message.is_deleted {
                return false;
            }
            place = message.parent.and_then(|parent| self.find(parent));
        }
        true
    }

    /// Makes the path go through a message.
    fn choose(&mut self, id: MessageId) -> bool {
        let mut place = self.find(id).map(|message| (message.parent, message.id));
        let is_known = place.is_some();
        while let Some((parent, id)) = place {
            self.chosen.insert(parent, id);
            place = parent.and_then(|parent| self.find(parent)).map(|message| (message.parent, message.id));
        }
        is_known
    }
}

impl Conversation {
    /// Takes one line of the log in. What does not fit, after damage, is counted.
    pub(crate) fn apply(&mut self, line: Line) {
        let at = line.at;
        if self.created == Time::default() {
            self.created = at;
            self.changed = at;
        }
        let changes_list = !matches!(
            line.record,
            Record::Renamed { .. }
                | Record::Tagged { .. }
                | Record::NextSet { .. }
                | Record::Chosen { .. }
                | Record::Trashed
                | Record::Restored
                | Record::Other
        );
        if self.take(at, line.record) {
            if changes_list {
                self.changed = self.changed.max(at);
            }
        } else {
            self.damaged_lines += 1;
        }
    }

    fn take(&mut self, at: Time, record: Record) -> bool {
        match record {
            Record::Created { origin, next } => {
                (self.origin, self.next) = (origin, next);
                true
            }
            Record::Renamed { title } => {
                (self.title, self.has_own_title) = (Some(title), true);
                true
            }
            Record::Tagged { tags } => {
                self.tags = tags;
                true
            }
            Record::NextSet { next } => {
                self.next = next;
                true
            }
            Record::MessageAdded { message: id, parent, role, text, attachments, edited_from } => {
                if role == Role::User && self.title.is_none() {
                    self.title = title_of(&text).or_else(|| attachments.first().and_then(|file| title_of(&file.name)));
                }
                let message = Message { id, parent, at, role, text, attachments, edited_from, answer: None, is_deleted: false };
                self.add(message)
            }
            Record::AnswerQueued { message, parent, next } => self.add(answer(message, parent, at, String::new(), queued(next))),
            Record::AnswerAdded { message, parent, text, next, state, reason, analysis } => {
                let details = Answer { state, reason, analysis, ..queued(next) };
                self.add(answer(message, parent, at, text, details))
            }
            Record::AnswerStarted { message } => self.with_answer(message, |_, answer| {
                answer.state = AnswerState::Writing;
                answer.started.get_or_insert(at);
            }),
            Record::AnswerEnded { message, text: whole, state, reason, analysis, has_scores } => {
                self.with_answer(message, |text, answer| {
                    *text = whole;
                    answer.state = if state.is_ended() { state } else { AnswerState::Interrupted };
                    answer.ended = Some(at);
                    (answer.reason, answer.analysis, answer.has_scores) = (reason, analysis, has_scores);
                })
            }
            Record::Chosen { message } => self.choose(message),
            Record::MessageDeleted { message } => self.find_mut(message).map(|message| message.is_deleted = true).is_some(),
            Record::MessageRestored { message: id } => {
                let is_known = self.find_mut(id).map(|message| message.is_deleted = false).is_some();
                is_known && self.choose(id)
            }
            Record::Trashed => {
                self.trashed = Some(at);
                true
            }
            Record::Restored => {
                self.trashed = None;
                true
            }
            Record::Other => true,
        }
    }

    /// Adds a message and puts it on the path. One whose parent was lost stands at the beginning.
    fn add(&mut self, mut message: Message) -> bool {
        if self.messages.last().is_some_and(|last| last.id >= message.id) {
            return false;
        }
        if message.parent.is_some_and(|parent| self.find(parent).is_none()) {
            message.parent = None;
            self.damaged_lines += 1;
        }
        let id = message.id;
        self.messages.push(message);
        self.choose(id)
    }

    /// Changes an answer that has not ended.
    fn with_answer(&mut self, id: MessageId, change: impl FnOnce(&mut String, &mut Answer)) -> bool {
        let Some(message) = self.find_mut(id) else { return false };
        match &mut message.answer {
            Some(answer) if !answer.state.is_ended() => {
                change(&mut message.text, answer);
                true
            }
            _ => false,
        }
    }
}

fn queued(next: NextAnswer) -> Answer {
    Answer {
        state: AnswerState::Queued,
        model: next.model.unwrap_or_default(),
        settings: next.settings,
        reason: None,
        analysis: None,
        has_scores: false,
        started: None,
        ended: None,
    }
}

fn answer(id: MessageId, parent: Option<MessageId>, at: Time, text: String, details: Answer) -> Message {
    Message {
        id,
        parent,
        at,
        role: Role::Assistant,
        text,
        attachments: Vec::new(),
        edited_from: None,
        answer: Some(details),
        is_deleted: false,
    }
}
