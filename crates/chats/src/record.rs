//! The lines of a conversation's log. Kinds and fields of a later version are passed over, and stay.

use serde::{Deserialize, Serialize};

use crate::conversation::Origin;
use crate::{Analysis, AnswerState, Attachment, MessageId, NextAnswer, Role, Time};

/// Version of the lines.
pub(crate) const LINE_VERSION: u32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) v: u32,
    pub(crate) seq: u64,
    pub(crate) at: Time,
    #[serde(flatten)]
    pub(crate) record: Record,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Record {
    /// The first line.
    Created {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
        #[serde(default)]
        next: NextAnswer,
    },
    /// A person gave it a title.
    Renamed { title: String },
    /// A person replaced its tags.
    Tagged { tags: Vec<String> },
    /// With what the next answer is asked for.
    NextSet { next: NextAnswer },
    /// A message that is whole from the beginning.
    MessageAdded {
        message: MessageId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<MessageId>,
        role: Role,
        text: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        edited_from: Option<MessageId>,
    },
    /// An answer was asked for.
    AnswerQueued {
        message: MessageId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<MessageId>,
        next: NextAnswer,
    },
    /// Work on it began.
    AnswerStarted { message: MessageId },
    /// Nothing more will come. While it was written, its text lay in a file of its own.
    AnswerEnded {
        message: MessageId,
        text: String,
        state: AnswerState,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        analysis: Option<Analysis>,
        #[serde(default)]
        has_scores: bool,
    },
    /// An answer made elsewhere, whole: a copied or imported one.
    AnswerAdded {
        message: MessageId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<MessageId>,
        text: String,
        next: NextAnswer,
        state: AnswerState,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        analysis: Option<Analysis>,
    },
    /// The path goes through this message now.
    Chosen { message: MessageId },
    /// A message and what follows it went out of sight.
    MessageDeleted { message: MessageId },
    /// It came back.
    MessageRestored { message: MessageId },
    /// The conversation went to the trash.
    Trashed,
    /// It came back.
    Restored,
    /// Of a later version.
    #[serde(other)]
    Other,
}
