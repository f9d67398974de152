//! Models and data that can be chosen.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::run::Reason;

/// A model on a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelCard {
    /// What a recipe's `model` takes.
    pub reference: String,
    /// What a person calls it.
    pub name: String,
    /// starter, checkpoint or folder.
    pub kind: String,
    /// llama, qwen3, …
    pub family: String,
    /// Parameters.
    pub parameters: u64,
    /// Size on disk.
    pub bytes: u64,
    /// Longest text it sees.
    pub context: u64,
    /// How it was made: "lora on Starter with support-chats"; empty where unknown.
    pub made_by: String,
    /// Best held-out loss of the run that made it.
    pub best_loss: Option<f64>,
    /// When it was made.
    pub created_at: Option<String>,
    /// Why it cannot be used; empty where it can.
    pub problem: String,
}

/// A data set on a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DataCard {
    /// What a recipe's `data` takes.
    pub reference: String,
    /// What a person calls it.
    pub name: String,
    /// sample, upload or path.
    pub kind: String,
    /// Version, from 1; 0 for a path.
    pub version: u32,
    /// Recognised format.
    pub format: String,
    /// Rows; `None` until counted.
    pub rows: Option<u64>,
    /// Rows that cannot be used.
    pub bad_rows: Option<u64>,
    /// Size on disk.
    pub bytes: u64,
    /// When it was added.
    pub created_at: Option<String>,
    /// Why it cannot be used; empty where it can.
    pub problem: String,
}

/// Which rows of a data set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct RowQuery {
    /// The `reference` of a card, or a path on the server's computer; the address's own where absent.
    pub data: Option<String>,
    /// First row, from 0.
    pub from: Option<u64>,
    /// How many, 1–100; 20 where absent.
    pub limit: Option<u32>,
}

/// What an upload is called. Its body is the file itself, as `application/octet-stream`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct UploadQuery {
    /// Name of the file; the data set is called as it is without its ending.
    pub name: String,
    /// Another name for the data set.
    pub title: Option<String>,
}

/// Rows as chat, and what is wrong with others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DataPreview {
    /// Recognised format, in words.
    pub format: String,
    /// Rows of the whole set; `None` until they are counted.
    pub rows: Option<u64>,
    /// The rows asked for.
    pub items: Vec<DataRow>,
    /// What is wrong, by reason, over the whole set; empty until it is counted.
    pub reasons: Vec<Reason>,
}

/// A row as chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataRow {
    /// Number from 0.
    pub row: u64,
    /// Its messages; one of role `text` for plain text.
    pub messages: Vec<DataMessage>,
    /// Why it cannot be used; empty where it can.
    pub problem: String,
}

/// One message of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataMessage {
    /// system, user, assistant, tool or text.
    pub role: String,
    /// What it says.
    pub text: String,
}
