//! A store in a folder of its own, with a clock that goes on by a second at each look.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use apertis_chats::{
    AnswerEnd, AnswerState, ChatStore, Conversation, ConversationId, Draft, Measured, MessageId, ModelVersion, NextAnswer, Time,
};

/// 2026-01-01T00:00:00Z.
pub(crate) const START_MS: i64 = 1_767_225_600_000;

/// A clock for a store.
pub(crate) fn clock() -> impl Fn() -> Time + Send + Sync + 'static {
    let seconds = AtomicI64::new(0);
    move || Time::from_millis(START_MS + 1000 * seconds.fetch_add(1, Ordering::Relaxed))
}

/// Opens a store.
pub(crate) fn open(root: &Path) -> ChatStore {
    ChatStore::open_with_clock(root, clock()).unwrap()
}

/// A model by name.
pub(crate) fn model(name: &str) -> ModelVersion {
    ModelVersion { name: name.to_owned(), step: Some(600), content: String::new() }
}

/// What an answer of a model is asked with.
pub(crate) fn next(name: &str) -> NextAnswer {
    NextAnswer { model: Some(model(name)), ..NextAnswer::default() }
}

/// Asks and answers.
pub(crate) fn exchange(
    store: &ChatStore,
    id: &ConversationId,
    after: Option<MessageId>,
    question: &str,
    answer: &str,
) -> (MessageId, MessageId) {
    let asked = store.say(id, after, Draft::text(question)).unwrap();
    (asked, answered(store, id, asked, answer))
}

/// Answers a message.
pub(crate) fn answered(store: &ChatStore, id: &ConversationId, asked: MessageId, text: &str) -> MessageId {
    let answer = store.queue_answer(id, asked, next("starter")).unwrap();
    store.start_answer(id, answer).unwrap();
    store.grow_answer(id, answer, text).unwrap();
    store.end_answer(id, answer, done()).unwrap();
    answer
}

/// An end without anything measured.
pub(crate) fn done() -> AnswerEnd {
    AnswerEnd { state: AnswerState::Done, reason: None, measured: Measured::default(), scores: Vec::new() }
}

/// The chosen path as texts.
pub(crate) fn path(conversation: &Conversation) -> Vec<&str> {
    conversation.path().iter().map(|message| message.text.as_str()).collect()
}

/// The log of a conversation.
pub(crate) fn log(root: &Path, id: &ConversationId) -> PathBuf {
    root.join(id.as_str()).join("log.jsonl")
}

/// Copies a folder with all in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), &place).unwrap();
        }
    }
}
