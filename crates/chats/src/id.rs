//! Names of conversations and messages. A conversation's id is the name of its folder, so only what
//! was made here is taken for one.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{ChatsError, Time};

/// Digits of an id: no letters that are read as others.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many: 48 bits of time and 32 drawn ones, five a digit.
const LENGTH: usize = 16;

/// The name of a conversation: 16 letters and digits that sort by the time it was made. It is not a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(String);

impl ConversationId {
    /// A new id. Two made in the same millisecond differ by what the standard library draws for its
    /// hash maps.
    pub fn new(at: Time) -> ConversationId {
        let drawn = RandomState::new().hash_one(at.as_millis());
        let time = u128::from(at.as_millis().unsigned_abs()) & ((1 << 48) - 1);
        let bits = time << 32 | u128::from(drawn & 0xffff_ffff);
        let digit = |place: usize| {
            let value = bits >> (5 * (LENGTH - 1 - place)) & 31;
            char::from(DIGITS[usize::try_from(value).expect("five bits")])
        };
        ConversationId((0..LENGTH).map(digit).collect())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConversationId {
    type Err = ChatsError;

    fn from_str(text: &str) -> Result<ConversationId, ChatsError> {
        if text.len() == LENGTH && text.bytes().all(|byte| DIGITS.contains(&byte)) {
            return Ok(ConversationId(text.to_owned()));
        }
        Err(ChatsError::BadId { found: text.chars().take(80).collect() })
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for ConversationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ConversationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ConversationId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The number of a message in its conversation, counted from 1 in the order they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub u32);

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let mut before = ConversationId::new(Time::from_millis(0));
        for millis in [1, 2, 1_700_000_000_000, 1_800_000_000_000] {
            let id = ConversationId::new(Time::from_millis(millis));
            assert!(before < id, "{before} {id}");
            assert_eq!(id.as_str().parse::<ConversationId>().ok(), Some(id.clone()));
            before = id;
        }
        let same = Time::from_millis(7);
        assert_ne!(ConversationId::new(same), ConversationId::new(same));
    }

    #[test]
    fn no_path_is_an_id() {
        for text in ["", "..", "../../../etc/pas", "trash", "0123456789abcde", "0123456789abcdeF", "0123456789abcdel", "0123456789/bcdef"] {
            assert!(text.parse::<ConversationId>().is_err(), "{text:?}");
        }
    }
}
