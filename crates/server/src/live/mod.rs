//! What happens, told to pages as it happens: rooms, what each listener still has to be sent, and
//! the sockets that it goes over.

mod hub;
mod outbox;
mod sockets;

pub(crate) use hub::{Hub, Room};
pub(crate) use sockets::{attach, run_message};

/// What happened, as it goes over a socket.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Number in the room.
    pub(crate) seq: u64,
    /// The socket event's name.
    pub(crate) event: &'static str,
    /// Whether it is one of many points, which can be read thinned later.
    pub(crate) is_point: bool,
    /// The socket event's argument.
    pub(crate) body: std::sync::Arc<serde_json::Value>,
}
