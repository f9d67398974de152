//! Talking: what a person says, edits and deletes, and answers from their place in the queue to
//! their end.

use super::folder::OpenConversation;
use super::{ChatStore, locked};
use crate::error::refused;
use crate::log::Durability;
use crate::record::Record;
use crate::{Analysis, AnswerState, Attachment, ChatsError, ConversationId, Measured, MessageId, NextAnswer, Role, Time, TokenScore};

/// What a person says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    /// The text.
    pub text: String,
    /// Files with it.
    pub attachments: Vec<Attachment>,
}

impl Draft {
    /// A text without files.
    pub fn text(text: impl Into<String>) -> Draft {
        Draft { text: text.into(), attachments: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.text.trim().is_empty() && self.attachments.is_empty()
    }
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerEnd {
    /// One of the states of an ended answer.
    pub state: AnswerState,
    /// Why, in a word (`length`) or a sentence (an error).
    pub reason: Option<String>,
    /// What was measured.
    pub measured: Measured,
    /// The tokens in order; empty where no scores were computed.
    pub scores: Vec<TokenScore>,
}

impl ChatStore {
    /// Says something after a message, or at the beginning. Returns the new message, which is on the
    /// path now.
    ///
    /// # Errors
    /// There is nothing in it, the place is unknown or its answer is still being written, or the
    /// disk refused.
    pub fn say(&self, id: &ConversationId, after: Option<MessageId>, draft: Draft) -> Result<MessageId, ChatsError> {
        self.change(id, |open, at| {
            if let Some(after) = after {
                open.conversation.expect_whole("say", after)?;
            }
            if draft.is_empty() {
                return Err(refused("say", "expected a text or a file, found nothing"));
            }
            add(open, at, after, Role::User, draft, None)
        })
    }

    /// Puts another version beside a message; the old one and what followed it stay as they were. The
    /// files of a person's message stay with it unless the draft has its own.
    ///
    /// # Errors
    /// The message is unknown or still being written, there is nothing in the draft, or the disk
    /// refused.
    pub fn edit(&self, id: &ConversationId, message: MessageId, mut draft: Draft) -> Result<MessageId, ChatsError> {
        self.change(id, |open, at| {
            let old = open.conversation.expect_whole("edit", message)?;
            if draft.attachments.is_empty() {
                draft.attachments = old.attachments.clone();
            }
            if draft.is_empty() {
                return Err(refused("edit", "expected a text, found nothing"));
            }
            let (parent, role) = (old.parent, old.role);
            add(open, at, parent, role, draft, Some(message))
        })
    }

    /// Puts an answer to a message into the queue. A second one to the same message stands beside
    /// the first.
    ///
    /// # Errors
    /// No model is named, the message is unknown or itself an answer, or the disk refused.
    pub fn queue_answer(&self, id: &ConversationId, to: MessageId, next: NextAnswer) -> Result<MessageId, ChatsError> {
        self.change(id, |open, at| {
            if open.conversation.expect_whole("answer", to)?.role == Role::Assistant {
                return Err(refused("answer", format!("message {to} is an answer, expected what a person said")));
            }
            queue(open, at, Some(to), next)
        })
    }

    /// Puts another answer beside one, with its model and settings or with others.
    ///
    /// # Errors
    /// The message is no answer or still being written, no model is named, or the disk refused.
    pub fn rerun(&self, id: &ConversationId, answer: MessageId, next: Option<NextAnswer>) -> Result<MessageId, ChatsError> {
        self.change(id, |open, at| {
            let old = open.conversation.expect_whole("rerun", answer)?;
            if old.role != Role::Assistant {
                return Err(refused("rerun", format!("message {answer} is no answer")));
            }
            let parent = old.parent;
            let same = old.answer.as_ref().map(|old| NextAnswer { model: Some(old.model.clone()), settings: old.settings.clone() });
            let next = next.or(same).unwrap_or_else(|| open.conversation.next.clone());
            queue(open, at, parent, next)
        })
    }

    /// Says that work on an answer began.
    ///
    /// # Errors
    /// It is unknown or has ended, or the disk refused.
    pub fn start_answer(&self, id: &ConversationId, answer: MessageId) -> Result<(), ChatsError> {
        self.change(id, |open, at| {
            expect_unfinished(open, answer)?;
            open.append(at, Record::AnswerStarted { message: answer }, Durability::Now)
        })
    }

    /// Adds text to an answer. It is safe from a kill of the program when this returns, and from a
    /// power cut about a second later.
    ///
    /// # Errors
    /// The answer is unknown or has ended, or the disk refused.
    pub fn grow_answer(&self, id: &ConversationId, answer: MessageId, text: &str) -> Result<(), ChatsError> {
        if text.is_empty() {
            return Ok(());
        }
        // Neither the card nor the index changes with each piece of text: both wait for the end.
        let open = self.opened(id)?;
        let mut open = locked(&open);
        expect_unfinished(&open, answer)?;
        let at = self.now();
        open.grow(at, answer, text)
    }

    /// Ends an answer: its scores and its analysis are kept with it.
    ///
    /// # Errors
    /// The answer is unknown or has ended, the state is none of an ended one, or the disk refused.
    pub fn end_answer(&self, id: &ConversationId, answer: MessageId, end: AnswerEnd) -> Result<(), ChatsError> {
        self.change(id, |open, at| {
            expect_unfinished(open, answer)?;
            if !end.state.is_ended() {
                return Err(refused("end answer", format!("expected a state that ends it, found {:?}", end.state)));
            }
            let text = open.conversation.expect(answer)?.text.clone();
            let analysis = Some(Analysis::of(&end.measured, &end.scores, &text));
            if !end.scores.is_empty() {
                open.write_scores(answer, &end.scores)?;
            }
            let has_scores = !end.scores.is_empty();
            let ended = Record::AnswerEnded { message: answer, text, state: end.state, reason: end.reason, analysis, has_scores };
            open.end(at, ended, answer)
        })
    }

    /// The scores of an answer's tokens; empty where none were kept.
    ///
    /// # Errors
    /// The message is unknown, or its file cannot be read.
    pub fn scores(&self, id: &ConversationId, answer: MessageId) -> Result<Vec<TokenScore>, ChatsError> {
        let open = self.opened(id)?;
        let open = locked(&open);
        let has_scores = open.conversation.expect(answer)?.answer.as_ref().is_some_and(|answer| answer.has_scores);
        if has_scores { open.read_scores(answer) } else { Ok(Vec::new()) }
    }

    /// Makes the path go through a message.
    ///
    /// # Errors
    /// The message is unknown, or the disk refused.
    pub fn choose(&self, id: &ConversationId, message: MessageId) -> Result<(), ChatsError> {
        self.change(id, |open, at| {
            open.conversation.expect(message)?;
            open.append(at, Record::Chosen { message }, Durability::Now)
        })
    }

    /// Takes a message and what follows it out of sight.
    ///
    /// # Errors
    /// The message is unknown, an answer after it has not ended, or the disk refused.
    pub fn delete_message(&self, id: &ConversationId, message: MessageId) -> Result<(), ChatsError> {
        self.change(id, |open, at| {
            open.conversation.expect(message)?;
            for unfinished in open.conversation.unfinished() {
                if open.conversation.path_to(unfinished).iter().any(|before| before.id == message) {
                    return Err(refused("delete message", format!("the answer {unfinished} is still being written")));
                }
            }
            open.append(at, Record::MessageDeleted { message }, Durability::Now)
        })
    }

    /// Brings a deleted message back, and what followed it.
    ///
    /// # Errors
    /// The message is unknown or was not deleted, one before it is deleted, or the disk refused.
    pub fn restore_message(&self, id: &ConversationId, message: MessageId) -> Result<(), ChatsError> {
        self.change(id, |open, at| {
            let all = &open.conversation.messages;
            let found = all.iter().find(|other| other.id == message).ok_or(ChatsError::NoMessage { message })?;
            if !found.is_deleted {
                return Err(refused("restore message", format!("message {message} was not deleted")));
            }
            if let Some(parent) = found.parent {
                open.conversation.expect(parent)?;
            }
            open.append(at, Record::MessageRestored { message }, Durability::Now)
        })
    }
}

fn add(
    open: &mut OpenConversation,
    at: Time,
    parent: Option<MessageId>,
    role: Role,
    draft: Draft,
    edited_from: Option<MessageId>,
) -> Result<MessageId, ChatsError> {
    let message = open.conversation.next_message();
    let Draft { text, attachments } = draft;
    open.append(at, Record::MessageAdded { message, parent, role, text, attachments, edited_from }, Durability::Now)?;
    Ok(message)
}

fn queue(open: &mut OpenConversation, at: Time, parent: Option<MessageId>, next: NextAnswer) -> Result<MessageId, ChatsError> {
    if next.model.as_ref().is_none_or(|model| model.name.is_empty()) {
        return Err(refused("answer", "expected the name of a model, found none"));
    }
    let message = open.conversation.next_message();
    open.queue(at, Record::AnswerQueued { message, parent, next }, message)?;
    Ok(message)
}

fn expect_unfinished(open: &OpenConversation, answer: MessageId) -> Result<(), ChatsError> {
    match open.conversation.expect(answer)?.is_unfinished() {
        true => Ok(()),
        false => Err(refused("write answer", format!("message {answer} is no answer that is being written"))),
    }
}
