//! `card.toml`: what belongs to a run but not to its training: id, title, tags, notes, its place in
//! the queue and in a sweep. It lies in the run's folder, so that moving the folder moves it too.

use std::fs;
use std::path::PathBuf;

use apertis_domain::name::RunTitle;
use serde::{Deserialize, Serialize};

use crate::clock::now_text;
use crate::durable::replace_file;
use crate::error::AtPath;
use crate::{Home, RunFolder, RunsError};

/// Letters of an id: without those that are mistaken for one another.
const ID_LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Length of an id: 60 bits.
const ID_LENGTH: usize = 12;

/// What a person and the queue say about a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunCard {
    /// Never changes while the folder lives; part of addresses.
    pub id: String,
    /// The folder's name when the id was given: a copied folder shows by it.
    pub folder: String,
    /// What a person calls the run; empty where it is the folder's name.
    pub title: String,
    /// Words given by a person.
    pub tags: Vec<String>,
    /// What a person wrote about it.
    pub notes: String,
    /// When it was made, in UTC.
    pub created_at: String,
    /// Set while the run waits for a server to start it.
    pub queue: Option<QueuePlace>,
    /// The sweep it belongs to.
    pub sweep: Option<SweepPlace>,
}

/// A place in the queue. Higher priority first, then lower order, then older.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct QueuePlace {
    /// 0 is usual.
    pub priority: i32,
    /// Set where a person moved it.
    pub order: i64,
    /// When it was queued, in UTC.
    pub since: String,
}

/// A place in a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SweepPlace {
    /// The sweep's id.
    pub id: String,
    /// Which of its tries, from 0.
    pub index: u32,
}

impl RunCard {
    /// The card of a run; one is written where there is none, where it cannot be read, or where the
    /// folder is a copy of another run that still stands.
    ///
    /// # Errors
    /// The card cannot be written.
    pub fn open(home: &Home, run: &RunFolder) -> Result<RunCard, RunsError> {
        let found = RunCard::look(run);
        match found {
            Some(card) if card.folder == run.name() => Ok(card),
            Some(card) => {
                let original = RunFolder::open(&home.runs().join(&card.folder)).ok().and_then(|folder| RunCard::look(&folder));
                let is_copy = original.is_some_and(|original| original.id == card.id);
                let id = if is_copy { new_id() } else { card.id.clone() };
                // The place in queue and sweep is the original's.
                let (queue, sweep) = if is_copy { (None, None) } else { (card.queue.clone(), card.sweep.clone()) };
                let card = RunCard { id, folder: run.name(), queue, sweep, ..card };
                card.write(run)?;
                Ok(card)
            }
            None => {
                let card = RunCard { id: new_id(), folder: run.name(), created_at: now_text(), ..RunCard::default() };
                card.write(run)?;
                Ok(card)
            }
        }
    }

    /// The card as it lies there, if one does.
    pub fn look(run: &RunFolder) -> Option<RunCard> {
        let text = fs::read_to_string(path(run)).ok()?;
        toml::from_str(&text).ok().filter(|card: &RunCard| !card.id.is_empty())
    }

    /// Replaces the card.
    ///
    /// # Errors
    /// It cannot be written; the old one stays.
    pub fn write(&self, run: &RunFolder) -> Result<(), RunsError> {
        let text = toml::to_string(self).expect("texts and numbers are TOML");
        let path = path(run);
        replace_file(&path, text.as_bytes()).at("write", &path)
    }

    /// What a person calls the run.
    pub fn title(&self) -> &str {
        if self.title.is_empty() { &self.folder } else { &self.title }
    }

    /// Gives the run another title. Its folder keeps its name.
    ///
    /// # Errors
    /// Not a title.
    pub fn rename(&mut self, title: &str) -> Result<(), RunsError> {
        let title: RunTitle = title.parse()?;
        self.title = if title.as_str() == self.folder { String::new() } else { title.as_str().to_owned() };
        Ok(())
    }
}

impl QueuePlace {
    /// What the queue sorts by.
    pub fn key(&self) -> (std::cmp::Reverse<i32>, i64, &str) {
        (std::cmp::Reverse(self.priority), self.order, &self.since)
    }
}

fn path(run: &RunFolder) -> PathBuf {
    run.path().join("card.toml")
}

/// A new id: nothing but the operating system's randomness, by way of the standard hasher's keys.
fn new_id() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // Two states: their keys come from the operating system once a thread, so time and process
    // tell apart what one thread makes.
    let mut hash = blake3::Hasher::new();
    for part in 0..2_u64 {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(part);
        hash.update(&hasher.finish().to_le_bytes());
    }
    hash.update(&std::process::id().to_le_bytes());
    hash.update(now_text().as_bytes());
    let bits = u64::from_le_bytes(hash.finalize().as_bytes()[..8].try_into().expect("a hash has 32 bytes"));
    (0..ID_LENGTH).map(|place| char::from(ID_LETTERS[(bits >> (5 * place)) as usize % ID_LETTERS.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ() {
        let ids: std::collections::BTreeSet<String> = (0..1000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == ID_LENGTH));
    }

    #[test]
    fn the_queue_goes_by_priority_then_order_then_age() {
        let place = |priority, order, since: &str| QueuePlace { priority, order, since: since.to_owned() };
        let mut places = [place(0, 1, "a"), place(0, 0, "c"), place(0, 0, "b"), place(1, 9, "z")];
        places.sort_by(|a, b| a.key().cmp(&b.key()));
        assert_eq!(places.map(|place| place.since), ["z", "b", "c", "a"]);
    }
}
