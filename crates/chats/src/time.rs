//! Moments, in UTC, as they stand in logs and cards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The last moment that has a text, in the year 9999.
const MILLIS_MAX: i64 = 253_402_207_200_000;

/// A moment, as precise as a millisecond; its text is ISO 8601 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

impl Time {
    /// The moment of the call.
    pub fn now() -> Time {
        Time::from_millis(jiff::Timestamp::now().as_millisecond())
    }

    /// A moment by its distance from 1970; one outside of 1970 to 9999 becomes the nearer end.
    ///
    /// # Units
    /// Milliseconds.
    pub fn from_millis(millis: i64) -> Time {
        Time(millis.clamp(0, MILLIS_MAX))
    }

    /// The distance from 1970.
    ///
    /// # Units
    /// Milliseconds.
    pub fn as_millis(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_millisecond(self.0).expect("the range is clamped where a time is made");
        write!(formatter, "{moment:.3}")
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Time, String> {
        match text.parse::<jiff::Timestamp>() {
            Ok(moment) => Ok(Time::from_millis(moment.as_millisecond())),
            Err(_) => Err(format!("read time: expected one like 2026-11-23T08:15:30.250Z, found {text:?}")),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_and_its_text_are_one() {
        let check = |millis: i64, expected: &str| {
            let time = Time::from_millis(millis);
            assert_eq!(time.to_string(), expected);
            assert_eq!(expected.parse::<Time>(), Ok(time));
        };
        check(0, "1970-01-01T00:00:00.000Z");
        check(1_795_422_245_007, "2026-11-23T08:24:05.007Z");
        check(MILLIS_MAX, "9999-12-30T22:00:00.000Z");
        assert_eq!(Time::from_millis(-5), Time::from_millis(0));
        assert_eq!(Time::from_millis(i64::MAX), Time::from_millis(MILLIS_MAX));
        assert!("yesterday".parse::<Time>().is_err());
    }
}
