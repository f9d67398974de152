//! One line of the log: the fields every event has, its kind, and whatever else was in it.

use serde::de::Error as _;
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
        let mut line = Map::deserialize(deserializer)?;
        let mut number = |name: &'static str| {
            let value = line.shift_remove(name).ok_or_else(|| D::Error::missing_field(name))?;
            value.as_u64().ok_or_else(|| D::Error::custom(format!("event: `{name}` expects a whole number")))
        };
        let v = number("v")?;
        let seq = number("seq")?;
        let attempt = number("attempt")?;
        let step = number("step")?;
        let elapsed_ms = number("elapsed_ms")?;
        let mut text = |name: &'static str| match line.shift_remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(D::Error::custom(format!("event: `{name}` expects text"))),
        };
        let at = text("at")?;
        let name = text("kind")?;
        let (kind, extra) = EventKind::from_fields(name, line);
        Ok(Event {
            v: u32::try_from(v).unwrap_or(u32::MAX),
            seq,
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
            step,
            at,
            elapsed_ms,
            kind,
            extra,
        })
    }
}
