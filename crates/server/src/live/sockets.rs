//! Sockets: a listener joins rooms, is given what it missed, and then hears what happens. Nothing
//! can be commanded here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use apertis_protocol::live::{Join, Joined, RunMessage};
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::layer::SocketIoLayer;
use socketioxide::{SendError, SocketError};

use super::Message;
use super::hub::{Replay, Room};
use super::outbox::Outbox;
use crate::describe::run_event;
use crate::request::blocking;
use crate::studio::Studio;

/// A listener that missed more of a log than this reads REST again.
const STRETCH_BYTES_MAX: u64 = 1 << 20;
/// How long to wait for a socket that takes nothing now.
const FULL_WAIT: Duration = Duration::from_millis(15);
/// Largest message that a page may send: it only ever joins and leaves.
const MESSAGE_BYTES_MAX: u64 = 16 << 10;

/// The layer that serves sockets under `/socket.io`.
pub(crate) fn attach(studio: &Arc<Studio>) -> SocketIoLayer {
    let (layer, io) = SocketIo::builder()
        .max_payload(MESSAGE_BYTES_MAX)
        .max_buffer_size(64)
        .ws_max_message_size(MESSAGE_BYTES_MAX as usize)
        .build_layer();
    let studio = studio.clone();
    // Before a page is told that it is connected: what it then joins at once would find no listener.
    let welcoming = move |socket: SocketRef| {
        let studio = studio.clone();
        async move {
            welcome(&studio, &socket);
            Ok::<(), Infallible>(())
        }
    };
    io.ns("/", (async || ()).with(welcoming));
    layer
}

fn welcome(studio: &Arc<Studio>, socket: &SocketRef) {
    let outbox = Arc::new(Outbox::default());
    let (joiner, joining) = (studio.clone(), outbox.clone());
    socket.on("join", move |TryData(join): TryData<Join>| {
        let (studio, outbox) = (joiner.clone(), joining.clone());
        async move {
            // What is no wish to join is no wish of ours to answer.
            if let Ok(join) = join {
                enter(&studio, &outbox, join).await;
            }
        }
    });
    let (leaver, leaving) = (studio.clone(), outbox.clone());
    socket.on("leave", move |TryData(room): TryData<String>| {
        let (studio, outbox) = (leaver.clone(), leaving.clone());
        async move {
            if let Ok(room) = room {
                studio.hub.exit(&room, &outbox);
            }
        }
    });
    let closing = outbox.clone();
    socket.on_disconnect(move || {
        let outbox = closing.clone();
        async move { outbox.close() }
    });
    tokio::spawn(send(socket.clone(), outbox));
}

/// Sends what waits, as quickly as the socket takes it.
async fn send(socket: SocketRef, outbox: Arc<Outbox>) {
    while let Some(message) = outbox.next().await {
        loop {
            match socket.emit(message.event, message.body.as_ref()) {
                Err(SendError::Socket(SocketError::InternalChannelFull)) => tokio::time::sleep(FULL_WAIT).await,
                Err(SendError::Socket(SocketError::Closed)) => {
                    outbox.close();
                    return;
                }
                Err(SendError::Serialize(_)) | Ok(()) => break,
            }
        }
    }
}

async fn enter(studio: &Arc<Studio>, outbox: &Arc<Outbox>, join: Join) {
    let name = join.room.clone();
    if let Some(room) = Room::of(&name) {
        studio.hub.enter(&name, outbox);
        let (missed, reload) = match studio.hub.replay(room, join.after, join.epoch.as_deref()) {
            Replay::Messages(messages) => (messages, false),
            Replay::TooFar => (Vec::new(), true),
        };
        let seq = studio.hub.seq(room);
        // A listener without a place hears what comes from now on.
        let after = if reload { Some(seq) } else { join.after.or(Some(seq)) };
        outbox.release(&name, joined(studio, &name, seq, reload, ""), missed, after);
        return;
    }
    let run = match name.strip_prefix("run:") {
        Some(id) => studio.run(id).await.ok(),
        None => None,
    };
    let Some(run) = run else {
        outbox.say(&name, joined(studio, &name, 0, false, "There is no such room."));
        return;
    };
    studio.hub.enter(&name, outbox);
    let (path, after) = (run.folder.events(), join.after);
    let read = blocking(move || {
        let missed = match after {
            Some(_) => apertis_runs::log::events_after(&path, after, STRETCH_BYTES_MAX)?,
            None => Some(Vec::new()),
        };
        let newest = apertis_runs::log::last_event(&path)?.map(|event| event.seq);
        Ok((missed, newest))
    });
    match read.await {
        Ok((missed, newest)) => {
            let reload = missed.is_none() || after > newest;
            let missed = missed.unwrap_or_default();
            let messages = missed.iter().map(|event| run_message(&name, event)).collect();
            let from = if reload || after.is_none() { newest } else { after };
            outbox.release(&name, joined(studio, &name, newest.unwrap_or(0), reload, ""), messages, from);
        }
        Err(_) => {
            studio.hub.exit(&name, outbox);
            outbox.say(&name, joined(studio, &name, 0, false, "The run's log cannot be read."));
        }
    }
}

/// A line of a run's log, as its room hears it.
pub(crate) fn run_message(room: &str, event: &apertis_domain::Event) -> Message {
    let body = RunMessage { room: room.to_owned(), event: run_event(event) };
    Message {
        seq: event.seq,
        event: "event",
        is_point: matches!(event.kind, apertis_domain::EventKind::StepFinished(_)),
        body: Arc::new(serde_json::to_value(body).unwrap_or(Value::Null)),
    }
}

fn joined(studio: &Studio, room: &str, seq: u64, reload: bool, problem: &str) -> Message {
    let body = Joined { room: room.to_owned(), seq, epoch: studio.hub.epoch().to_owned(), reload, problem: problem.to_owned() };
    Message { seq, event: "joined", is_point: false, body: Arc::new(serde_json::to_value(body).unwrap_or(Value::Null)) }
}
