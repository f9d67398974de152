//! The rooms: who hears them, and the last of what was said in those that no log keeps.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::Value;

use super::Message;
use super::outbox::Outbox;

/// Messages of a room that a listener who was away can still be given.
const KEPT: usize = 512;

/// A room that no log keeps, with numbers of this life of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Runs that come, change and go.
    Runs,
    /// Samples of the machine.
    System,
    /// Jobs.
    Jobs,
}

impl Room {
    const ALL: [Room; 3] = [Room::Runs, Room::System, Room::Jobs];

    /// Its name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Room::Runs => "runs",
            Room::System => "system",
            Room::Jobs => "jobs",
        }
    }

    /// The room of that name.
    pub(super) fn of(name: &str) -> Option<Room> {
        Room::ALL.into_iter().find(|room| room.name() == name)
    }

    fn event(self) -> &'static str {
        match self {
            Room::Runs => "run",
            Room::System => "sample",
            Room::Jobs => "job",
        }
    }
}

/// All rooms of a server's life.
pub(crate) struct Hub {
    epoch: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listeners: HashMap<String, Vec<Weak<Outbox>>>,
    seq: [u64; 3],
    kept: [VecDeque<Message>; 3],
}

/// What a room can give to somebody who was away.
pub(super) enum Replay {
    /// What was missed.
    Messages(Vec<Message>),
    /// It is too long ago, or was another life of the server.
    TooFar,
}

impl Hub {
    /// Empty rooms of a new life.
    pub(crate) fn new(epoch: String) -> Hub {
        Hub { epoch, state: Mutex::default() }
    }

    /// Name of this life of the server.
    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The newest number of a room.
    pub(crate) fn seq(&self, room: Room) -> u64 {
        self.state().seq[room as usize]
    }

    /// Whether anybody hears a room.
    pub(crate) fn is_heard(&self, room: &str) -> bool {
        self.state().listeners.get(room).is_some_and(|listeners| listeners.iter().any(|listener| listener.strong_count() > 0))
    }

    /// Says something in a room that no log keeps. The body is made with its number.
    pub(crate) fn say(&self, room: Room, body: impl FnOnce(u64, &str) -> Value) {
        let mut state = self.state();
        state.seq[room as usize] += 1;
        let seq = state.seq[room as usize];
        let body = Arc::new(body(seq, &self.epoch));
        let message = Message { seq, event: room.event(), is_point: room == Room::System, body };
        let kept = &mut state.kept[room as usize];
        kept.push_back(message.clone());
        if kept.len() > KEPT {
            kept.pop_front();
        }
        state.tell(room.name(), &message);
    }

    /// Says what a run's log says.
    pub(crate) fn say_in_run(&self, room: &str, message: &Message) {
        self.state().tell(room, message);
    }

    /// Adds a listener to a room; what it hears is held until it is released.
    pub(super) fn enter(&self, room: &str, outbox: &Arc<Outbox>) {
        let mut state = self.state();
        outbox.hold(room);
        let listeners = state.listeners.entry(room.to_owned()).or_default();
        listeners.retain(|listener| listener.strong_count() > 0 && !std::ptr::eq(listener.as_ptr(), Arc::as_ptr(outbox)));
        listeners.push(Arc::downgrade(outbox));
    }

    /// Takes a listener out of a room.
    pub(super) fn exit(&self, room: &str, outbox: &Arc<Outbox>) {
        let mut state = self.state();
        outbox.leave(room);
        if let Some(listeners) = state.listeners.get_mut(room) {
            listeners.retain(|listener| !std::ptr::eq(listener.as_ptr(), Arc::as_ptr(outbox)));
            if listeners.is_empty() {
                state.listeners.remove(room);
            }
        }
    }

    /// What was said in a room after a number of a life; without a number nothing is missed.
    pub(super) fn replay(&self, room: Room, after: Option<u64>, epoch: Option<&str>) -> Replay {
        let state = self.state();
        let Some(after) = after else { return Replay::Messages(Vec::new()) };
        let (seq, kept) = (state.seq[room as usize], &state.kept[room as usize]);
        let oldest = kept.front().map_or(seq + 1, |message| message.seq);
        if epoch != Some(self.epoch.as_str()) || after > seq || after + 1 < oldest {
            return Replay::TooFar;
        }
        Replay::Messages(kept.iter().filter(|message| message.seq > after).cloned().collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, room: &str, message: &Message) {
        let Some(listeners) = self.listeners.get_mut(room) else { return };
        listeners.retain(|listener| listener.upgrade().is_some_and(|outbox| outbox.offer(room, message)));
        if listeners.is_empty() {
            self.listeners.remove(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_room_gives_what_was_missed_of_its_own_life() {
        let hub = Hub::new("now".to_owned());
        for number in 0..600 {
            hub.say(Room::Runs, |seq, epoch| json!({ "seq": seq, "epoch": epoch, "number": number }));
        }
        let check = |after: Option<u64>, epoch: Option<&str>, expected: Option<usize>| {
            let found = match hub.replay(Room::Runs, after, epoch) {
                Replay::Messages(messages) => Some(messages.len()),
                Replay::TooFar => None,
            };
            assert_eq!(found, expected, "{after:?} {epoch:?}");
        };
        check(None, None, Some(0));
        check(Some(600), Some("now"), Some(0));
        check(Some(590), Some("now"), Some(10));
        check(Some(88), Some("now"), Some(512));
        check(Some(87), Some("now"), None);
        check(Some(601), Some("now"), None);
        check(Some(590), Some("before"), None);
        check(Some(590), None, None);
        assert!(matches!(hub.replay(Room::Jobs, Some(0), Some("now")), Replay::Messages(_)));
    }
}
