//! One line of the log: the fields every event has, its kind, and whatever else was in it.

use std::borrow::Cow;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::EventKind;

/// Version of the line format that this program writes.
pub const EVENT_VERSION: u32 = 1;

/// One event of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Version of the line format.
    pub v: u32,
    /// Rises by 1 over the run's life; the order of events.
    pub seq: u64,
    /// Rises by 1 a worker start.
    pub attempt: u32,
    /// Optimizer steps done when it happened.
    pub step: u64,
    /// When, in UTC (RFC 3339). For people; order is `seq`.
    pub at: String,
    /// Working time of the run so far.
    pub elapsed_ms: u64,
    /// What happened.
    pub kind: EventKind,
    /// Fields that this version does not know, kept as they were.
    pub extra: Map<String, Value>,
}

impl Event {
    /// Reads one line of a log.
    ///
    /// # Errors
    /// The line is not a JSON object with the fields every event has.
    pub fn from_line(line: &str) -> Result<Event, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// The line of the log, without its newline.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("events hold only text keys and finite numbers")
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = Map::new();
        line.insert("v".into(), self.v.into());
        line.insert("seq".into(), self.seq.into());
        line.insert("attempt".into(), self.attempt.into());
        line.insert("step".into(), self.step.into());
        line.insert("at".into(), self.at.clone().into());
        line.insert("elapsed_ms".into(), self.elapsed_ms.into());
        line.extend(self.kind.to_fields());
        for (name, value) in &self.extra {
            line.entry(name.clone()).or_insert_with(|| value.clone());
        }
        line.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LineVisitor)
    }
}

/// Takes the fields every event has as they pass, and collects the others.
struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Event;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut line: A) -> Result<Event, A::Error> {
        let (mut v, mut seq, mut attempt, mut step, mut elapsed_ms) = (None, None, None, None, None);
        let (mut at, mut name) = (None, None);
        let mut others = Map::new();
        while let Some(field) = line.next_key::<Cow<'de, str>>()? {
            match field.as_ref() {
                "v" => v = Some(line.next_value::<u32>()?),
                "seq" => seq = Some(line.next_value::<u64>()?),
                "attempt" => attempt = Some(line.next_value::<u32>()?),
                "step" => step = Some(line.next_value::<u64>()?),
                "elapsed_ms" => elapsed_ms = Some(line.next_value::<u64>()?),
                "at" => at = Some(line.next_value::<String>()?),
                "kind" => name = Some(line.next_value::<String>()?),
                _ => {
                    others.insert(field.into_owned(), line.next_value::<Value>()?);
                }
            }
        }
        let missing = A::Error::missing_field;
        let (kind, extra) = EventKind::from_fields(name.ok_or_else(|| missing("kind"))?, others);
        Ok(Event {
            v: v.ok_or_else(|| missing("v"))?,
            seq: seq.ok_or_else(|| missing("seq"))?,
            attempt: attempt.ok_or_else(|| missing("attempt"))?,
            step: step.ok_or_else(|| missing("step"))?,
            at: at.ok_or_else(|| missing("at"))?,
            elapsed_ms: elapsed_ms.ok_or_else(|| missing("elapsed_ms"))?,
            kind,
            extra,
        })
    }
}
