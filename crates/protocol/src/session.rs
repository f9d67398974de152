//! Who is asking, and whether they may.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the page needs to know before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Whether a key is needed here.
    pub needs_key: bool,
    /// Whether this browser may go on.
    pub is_open: bool,
    /// Version of the program.
    pub version: String,
    /// Name of the machine.
    pub host: String,
    /// Whether other computers can reach the server.
    pub is_public: bool,
    /// Whether it is reached without TLS from elsewhere: a standing notice says so.
    pub is_plain: bool,
    /// The folder that holds everything.
    pub home: String,
    /// Name of this life of the server.
    pub epoch: String,
}

/// A way for another device to log in, once and soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhoneCode {
    /// Taken by the login page in place of a key.
    pub code: String,
    /// Addresses of the login page with the code in them, after `#`, for a QR code; empty where
    /// other devices cannot reach this server.
    pub urls: Vec<String>,
    /// Seconds for which it holds.
    pub seconds: u64,
}

/// A key traded for a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Login {
    /// The key as `apertis keys create` printed it, or the one-time code of "open on your phone".
    pub key: String,
}
