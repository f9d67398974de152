//! What one listener still has to be sent. A slow one's points become a gap; what changes a state
//! always stays.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apertis_protocol::live::Gap;
use serde_json::json;
use tokio::sync::Notify;

use super::Message;

/// Messages that may wait for one listener before points are left out.
pub(super) const WAITING_MAX: usize = 256;

/// Messages waiting for one socket.
#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    rooms: HashMap<String, Listening>,
    is_closed: bool,
}

#[derive(Debug)]
struct Waiting {
    room: String,
    message: Message,
    /// First and last number, where this stands for points left out.
    gap: Option<[u64; 2]>,
}

/// How far a room was heard.
#[derive(Default)]
struct Listening {
    /// Newest number that was put into the outbox.
    last: Option<u64>,
    /// What came while the stretch before it is still being read.
    held: Option<Vec<Message>>,
}

impl Outbox {
    /// Begins to hear a room: what comes is held until the stretch before it is known.
    pub(super) fn hold(&self, room: &str) {
        self.state().rooms.insert(room.to_owned(), Listening { last: None, held: Some(Vec::new()) });
    }

    /// Puts in first what the listener missed, then what came meanwhile; then the room is live.
    pub(super) fn release(&self, room: &str, joined: Message, missed: Vec<Message>, after: Option<u64>) {
        let mut state = self.state();
        let Some(listening) = state.rooms.get_mut(room) else { return };
        let held = listening.held.take().unwrap_or_default();
        listening.last = after;
        state.waiting.push_back(Waiting { room: room.to_owned(), message: joined, gap: None });
        for message in missed.into_iter().chain(held) {
            state.put(room, message);
        }
        drop(state);
        self.news.notify_one();
    }

    /// Puts in a message that belongs to no room's order.
    pub(super) fn say(&self, room: &str, message: Message) {
        self.state().waiting.push_back(Waiting { room: room.to_owned(), message, gap: None });
        self.news.notify_one();
    }

    /// Stops to hear a room, and forgets what waits of it.
    pub(super) fn leave(&self, room: &str) {
        let mut state = self.state();
        state.rooms.remove(room);
        state.waiting.retain(|waiting| waiting.room != room);
    }

    /// Puts in what happened in a room; whether the listener still hears it.
    pub(super) fn offer(&self, room: &str, message: &Message) -> bool {
        let mut state = self.state();
        if state.is_closed {
            return false;
        }
        let Some(listening) = state.rooms.get_mut(room) else { return false };
        match &mut listening.held {
            Some(held) => held.push(message.clone()),
            None => {
                state.put(room, message.clone());
                drop(state);
                self.news.notify_one();
            }
        }
        true
    }

    /// The next message to send; `None` once it is closed.
    pub(super) async fn next(&self) -> Option<Message> {
        loop {
            {
                let mut state = self.state();
                if state.is_closed {
                    return None;
                }
                if let Some(waiting) = state.waiting.pop_front() {
                    return Some(waiting.message);
                }
            }
            self.news.notified().await;
        }
    }

    /// Ends it.
    pub(super) fn close(&self) {
        let mut state = self.state();
        *state = State { is_closed: true, ..State::default() };
        drop(state);
        self.news.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Appends a message that is new; one too many makes a gap of the room's points.
    fn put(&mut self, room: &str, message: Message) {
        let Some(listening) = self.rooms.get_mut(room) else { return };
        if listening.last.is_some_and(|last| message.seq <= last) {
            return;
        }
        listening.last = Some(message.seq);
        if !message.is_point || self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(Waiting { room: room.to_owned(), message, gap: None });
            return;
        }
        let mut gap = [message.seq, message.seq];
        self.waiting.retain(|waiting| {
            let goes = waiting.room == room && (waiting.message.is_point || waiting.gap.is_some());
            if goes {
                let [first, last] = waiting.gap.unwrap_or([waiting.message.seq; 2]);
                gap = [gap[0].min(first), gap[1].max(last)];
            }
            !goes
        });
        let body = serde_json::to_value(Gap { room: room.to_owned(), gap }).unwrap_or_else(|_| json!({}));
        let message = Message { seq: gap[1], event: "gap", is_point: false, body: Arc::new(body) };
        self.waiting.push_back(Waiting { room: room.to_owned(), message, gap: Some(gap) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, is_point: bool) -> Message {
        Message { seq, event: "event", is_point, body: Arc::new(json!({ "seq": seq })) }
    }

    async fn drain(outbox: &Outbox) -> Vec<(u64, &'static str)> {
        let mut got = Vec::new();
        while !outbox.state().waiting.is_empty() {
            let message = outbox.next().await.expect("it is open");
            got.push((message.seq, message.event));
        }
        got
    }

    #[tokio::test]
    async fn what_was_missed_comes_first_and_nothing_comes_twice() {
        let outbox = Outbox::default();
        outbox.hold("run:a");
        assert!(outbox.offer("run:a", &message(7, true)));
        assert!(outbox.offer("run:a", &message(8, true)));
        outbox.release("run:a", Message { event: "joined", ..message(7, false) }, vec![message(6, true), message(7, true)], Some(5));
        assert!(outbox.offer("run:a", &message(9, false)));
        assert_eq!(drain(&outbox).await, [(7, "joined"), (6, "event"), (7, "event"), (8, "event"), (9, "event")]);
        outbox.leave("run:a");
        assert!(!outbox.offer("run:a", &message(10, true)));
    }

    #[tokio::test]
    async fn a_slow_listener_gets_a_gap_and_every_state() {
        let outbox = Outbox::default();
        outbox.hold("run:a");
        outbox.release("run:a", Message { event: "joined", ..message(0, false) }, Vec::new(), Some(0));
        for seq in 1..=1000 {
            outbox.offer("run:a", &message(seq, seq % 100 != 0));
        }
        let got = drain(&outbox).await;
        assert!(got.len() <= WAITING_MAX + 1, "{}", got.len());
        let states: Vec<u64> = got.iter().filter(|(seq, event)| *event == "event" && seq % 100 == 0).map(|(seq, _)| *seq).collect();
        assert_eq!(states, (1..=10).map(|number| number * 100).collect::<Vec<u64>>());
        assert_eq!(got.iter().filter(|(_, event)| *event == "gap").count(), 1);
        // After the gap it is live again.
        outbox.offer("run:a", &message(1001, true));
        assert_eq!(drain(&outbox).await, [(1001, "event")]);
    }
}
