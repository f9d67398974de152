//! One message of a conversation and, where a model wrote it, how.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Analysis, Attachment, MessageId, Time};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions in the middle of a conversation; those at its head are settings.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a tool gave back.
    Tool,
}

impl Role {
    /// The name that chat formats use.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

/// The state of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerState {
    /// Waiting for its turn or its model.
    Queued,
    /// Text is coming.
    Writing,
    /// The model ended it, or its greatest length was reached.
    Done,
    /// A person ended it.
    Stopped,
    /// It could not go on.
    Failed,
    /// The program ended meanwhile, which was found at its next start.
    Interrupted,
}

impl AnswerState {
    /// Whether nothing will be added to it.
    pub fn is_ended(self) -> bool {
        !matches!(self, AnswerState::Queued | AnswerState::Writing)
    }
}

/// Which model, and exactly which state of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelVersion {
    /// The name that a person chose, such as `tone-of-voice-3`.
    pub name: String,
    /// The step of the run, for a checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// The hash of its content, where it is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub content: String,
}

impl ModelVersion {
    /// For people: `tone-of-voice-3, step 600`.
    pub fn label(&self) -> String {
        match self.step {
            Some(step) => format!("{}, step {step}", self.name),
            None => self.name.clone(),
        }
    }
}

/// How an answer is asked for. What is not set is the program's default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AnswerSettings {
    /// Instructions before the first message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// Divides the logits; 0 takes the likeliest token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Keep the likeliest tokens that together have this probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Keep this many of the likeliest tokens; 0 keeps all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Keep tokens with at least this share of the likeliest one's probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Divides the logits of tokens that stood before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// Taken off the logits of tokens that the answer already has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Taken off those logits for each time that the answer has the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Longest answer, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Texts that end the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Start of the random choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// A JSON schema that the answer keeps to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Settings of a later version, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// With what the next answer of a conversation is asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NextAnswer {
    /// The model; none before one is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelVersion>,
    /// The settings.
    pub settings: AnswerSettings,
}

/// What is known of an answer beside its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Where it stands.
    pub state: AnswerState,
    /// Who wrote it.
    pub model: ModelVersion,
    /// With which settings.
    pub settings: AnswerSettings,
    /// Why it ended, in the words of who ended it: `length`, an error, and so on.
    pub reason: Option<String>,
    /// What was measured.
    pub analysis: Option<Analysis>,
    /// Whether the scores of its tokens are kept.
    pub has_scores: bool,
    /// When the first work on it began.
    pub started: Option<Time>,
    /// When it ended.
    pub ended: Option<Time>,
}

/// One message. Its text is never changed once it is whole: an edit is a message beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its number.
    pub id: MessageId,
    /// The message before it; none at the beginning.
    pub parent: Option<MessageId>,
    /// When it was made.
    pub at: Time,
    /// Who speaks.
    pub role: Role,
    /// What was said; of an answer, what there is of it so far.
    pub text: String,
    /// Files added to it.
    pub attachments: Vec<Attachment>,
    /// The message of which this is an edited version.
    pub edited_from: Option<MessageId>,
    /// How a model wrote it; none for what a person wrote or imported.
    pub answer: Option<Answer>,
    /// Whether it was deleted; what follows it is then out of sight too.
    pub is_deleted: bool,
}

impl Message {
    /// Whether text may still be added.
    pub fn is_unfinished(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.state.is_ended())
    }
}
