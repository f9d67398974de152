//! Messages over sockets. They carry what happened, never what to do.
//!
//! The client emits `join` with [`Join`] and `leave` with a room's name. The server answers `joined`
//! with [`Joined`], then emits, each with its room:
//! `event` ([`RunMessage`]) in `run:<id>`, `run` ([`RunsMessage`]) in `runs`,
//! `sample` ([`SystemMessage`]) in `system`, `job` ([`JobMessage`]) in `jobs`,
//! and `gap` ([`Gap`]) where points were left out for a slow client.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::job::Job;
use crate::run::{RunEvent, RunRow};
use crate::system::SystemSample;

/// A wish to hear a room from a place on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Join {
    /// `run:<id>`, `runs`, `system` or `jobs`.
    pub room: String,
    /// The `seq` of the answer that the client has; what came after is sent first.
    pub after: Option<u64>,
    /// The life of the server that `after` belongs to; not needed for `run:<id>`.
    pub epoch: Option<String>,
}

/// The room is heard from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Joined {
    /// Which.
    pub room: String,
    /// Newest number of the room.
    pub seq: u64,
    /// This life of the server.
    pub epoch: String,
    /// Whether the client must read REST again: another life, or too far behind.
    pub reload: bool,
    /// Why the room cannot be heard; empty where it can.
    pub problem: String,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunMessage {
    /// `run:<id>`.
    pub room: String,
    /// The line.
    pub event: RunEvent,
}

/// A run came, changed or went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunsMessage {
    /// Number in the room.
    pub seq: u64,
    /// The server's life.
    pub epoch: String,
    /// Its id.
    pub id: String,
    /// How it stands; `None` where it is gone.
    pub run: Option<RunRow>,
}

/// A sample of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SystemMessage {
    /// Number in the room.
    pub seq: u64,
    /// The server's life.
    pub epoch: String,
    /// The sample.
    pub sample: SystemSample,
}

/// A job came or changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobMessage {
    /// Number in the room.
    pub seq: u64,
    /// The server's life.
    pub epoch: String,
    /// How it stands.
    pub job: Job,
}

/// Points that were left out; the client reads them from REST, thinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gap {
    /// The room.
    pub room: String,
    /// First and last number that was left out.
    pub gap: [u64; 2],
}
