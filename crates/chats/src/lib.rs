//! Conversations as trees on disk, their search, arena votes and ratings; no HTTP, no SQL, no engine.
//!
//! A conversation is a folder with an append-only log, which is the truth about it; everything else
//! in the folder but the token scores can be made again from the log. One process writes at a time.

mod analysis;
pub mod arena;
mod attachment;
mod card;
mod context;
mod conversation;
mod durable;
mod error;
mod id;
mod index;
mod lock;
mod log;
mod message;
pub mod random;
mod record;
pub mod repeat;
mod store;
mod time;
mod title;
pub mod transfer;
mod turn;

pub use analysis::{Alternative, Analysis, Measured, TokenScore};
pub use attachment::{ATTACHMENT_BYTES_MAX, Attachment};
pub use card::Card;
pub use context::{ContextFit, ContextUse};
pub use conversation::{Conversation, Origin, Siblings};
pub use error::ChatsError;
pub use id::{ConversationId, MessageId};
pub use index::Excerpt;
pub use message::{Answer, AnswerSettings, AnswerState, Message, ModelVersion, NextAnswer, Role};
pub use store::{AnswerEnd, ChatStore, Draft, Hit, ListQuery, Page, Recovery, SearchQuery, TRASH_KEPT_MS};
pub use time::Time;
pub use title::{TITLE_LENGTH_MAX, check_title, title_of};
pub use turn::Turn;
