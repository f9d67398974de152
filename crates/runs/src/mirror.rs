//! Following the files of a run and taking what is new into the index.
//!
//! Reading files is apart from writing the index, so that a thread can do the first and a runtime
//! the second, and so that whoever follows has the events for its listeners too.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use apertis_domain::{Event, LockFacts};
use apertis_storage::index::{LogLine, LogPart, LogPlace, Mirrored, RunFacts, RunParts, Sample, SamplePart};
use apertis_storage::{Storage, StorageError};
use serde_json::Value;

use crate::error::AtPath;
use crate::lock::lock_facts;
use crate::{Home, RunFolder, RunsError, facts};

/// Most that is read at once.
///
/// # Units
/// Bytes.
const PART_BYTES_MAX: u64 = 8 << 20;

/// Follows one run.
#[derive(Debug, Clone)]
pub struct RunMirror {
    folder: RunFolder,
    log: LogPlace,
    samples: LogPlace,
}

/// What a look found.
#[derive(Debug, Clone)]
pub struct Look {
    parts: RunParts,
    has_more: bool,
}

/// What of it is in the index now.
#[derive(Debug, Clone)]
pub struct Followed {
    /// The new events, oldest first.
    pub events: Vec<Event>,
    /// Whether they begin again at the first: the log is another one.
    pub is_again: bool,
    /// The run's row, and whether it changed.
    pub mirrored: Mirrored,
    /// Whether the log had more than is read at once.
    pub has_more: bool,
}

impl Look {
    /// The new events, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.parts.log.iter().flat_map(|log| &log.lines).map(|line| &line.event)
    }

    /// Whether neither log nor samples had anything new.
    pub fn is_empty(&self) -> bool {
        self.parts.log.is_none() && self.parts.samples.is_none()
    }

    /// Who holds the run.
    pub fn lock(&self) -> &LockFacts {
        &self.parts.lock
    }
}

impl RunMirror {
    /// Follows a run from where the index of that id ends.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn open(storage: &Storage, folder: &RunFolder, id: &str) -> Result<RunMirror, RunsError> {
        let (log, samples) = storage.places(id).await?;
        Ok(RunMirror { folder: folder.clone(), log, samples })
    }

    /// Reads what is new in the files of the run, at most 8 MB, and who holds its lock. Writes
    /// nothing.
    ///
    /// # Errors
    /// A file cannot be read. A missing one is empty.
    pub fn look(&self, facts: &RunFacts) -> Result<Look, RunsError> {
        // The lock first: a worker that ends between the two has written its end.
        let lock = lock_facts(&self.folder);
        let log = read_part(&self.folder.events(), &self.log).at("read", &self.folder.events())?;
        let samples = read_part(&self.folder.system(), &self.samples).at("read", &self.folder.system())?;
        let has_more = log.as_ref().is_some_and(|part| part.has_more) || samples.as_ref().is_some_and(|part| part.has_more);
        let parts = RunParts { facts: facts.clone(), lock, log: log.map(Part::into_log), samples: samples.map(Part::into_samples) };
        Ok(Look { parts, has_more })
    }

    /// Takes what a look found into the index.
    ///
    /// # Errors
    /// The database refuses; or somebody else has taken it in meanwhile
    /// ([`StorageError::PlaceMoved`]): open the mirror anew.
    pub async fn take_in(&mut self, storage: &Storage, look: Look) -> Result<Followed, RunsError> {
        let mirrored = storage.mirror(&look.parts).await?;
        let mut events = Vec::new();
        let mut is_again = false;
        if let Some(log) = look.parts.log {
            is_again = log.from != self.log;
            self.log = log.to;
            events = log.lines.into_iter().map(|line| line.event).collect();
        }
        if let Some(samples) = look.parts.samples {
            self.samples = samples.to;
        }
        Ok(Followed { events, is_again, mirrored, has_more: look.has_more })
    }

    /// Looks, and takes in what was found.
    ///
    /// # Errors
    /// As of [`RunMirror::look`] and [`RunMirror::take_in`].
    pub async fn follow(&mut self, storage: &Storage, facts: &RunFacts) -> Result<Followed, RunsError> {
        let look = self.look(facts)?;
        self.take_in(storage, look).await
    }

    /// Follows until there is nothing new, and returns the last of it.
    ///
    /// # Errors
    /// As of [`RunMirror::follow`].
    pub async fn catch_up(&mut self, storage: &Storage, facts: &RunFacts) -> Result<Followed, RunsError> {
        loop {
            let followed = self.follow(storage, facts).await?;
            if !followed.has_more {
                return Ok(followed);
            }
        }
    }
}

/// Fills the index of runs again from their folders, those in the trash too: drops it, then reads
/// every log from its beginning. Records stay. A run that cannot be read is left out and named.
/// `progress` hears how many of how many are done.
///
/// # Errors
/// The home cannot be listed, or the database refuses.
pub async fn reindex(
    storage: &Storage,
    home: &Home,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<(String, RunsError)>, RunsError> {
    storage.clear_index().await?;
    let mut failures = Vec::new();
    let mut runs = Vec::new();
    let mut ids = HashSet::new();
    for folder in facts::folders(home)? {
        match facts::card_of(home, &folder) {
            // A run that was copied out of the trash by hand is there twice.
            Ok(card) if !ids.insert(card.id.clone()) => {}
            Ok(card) => runs.push((folder, card)),
            Err(error) => failures.push((folder.name(), error)),
        }
    }
    let places = facts::queue_places(runs.iter().filter_map(|(_, card)| Some((card.id.as_str(), card.queue.as_ref()?))));
    for (index, (folder, card)) in runs.iter().enumerate() {
        let recipe = folder.recipe().unwrap_or_default();
        let facts = facts::facts_of(home, folder, card, &recipe, places.get(&card.id).copied());
        let mut mirror = RunMirror { folder: folder.clone(), log: LogPlace::default(), samples: LogPlace::default() };
        match mirror.catch_up(storage, &facts).await {
            Ok(_) => {}
            // Without its database there is nothing to go on with.
            Err(error @ RunsError::Storage(StorageError::Database { .. })) => return Err(error),
            Err(error) => failures.push((folder.name(), error)),
        }
        progress(index + 1, runs.len());
    }
    Ok(failures)
}

/// Takes the runs out of the index whose folders are gone: those whose ids are not given.
///
/// # Errors
/// The database refuses.
pub async fn forget_others(storage: &Storage, ids: &HashSet<String>) -> Result<Vec<String>, RunsError> {
    let mut gone = storage.run_ids().await?;
    gone.retain(|id| !ids.contains(id));
    for id in &gone {
        storage.forget(id).await?;
    }
    Ok(gone)
}

/// New whole lines of a file.
struct Part {
    from: LogPlace,
    to: LogPlace,
    lines: Vec<(u64, Vec<u8>)>,
    has_more: bool,
}

/// Reads the whole lines after a place, or from the beginning where the file is shorter than that
/// or begins with another line. `None` where there is nothing new.
fn read_part(path: &Path, place: &LogPlace) -> io::Result<Option<Part>> {
    let file = match File::open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let length = file.as_ref().map_or(Ok(0), |file| file.metadata().map(|data| data.len()))?;
    let mut first_line = match &file {
        Some(file) if length > 0 => hash_of_first_line(file)?,
        _ => String::new(),
    };
    let is_again = length < place.offset || (place.offset > 0 && first_line != place.first_line);
    let from = if is_again { LogPlace::default() } else { place.clone() };
    let mut to = from.clone();
    let mut lines = Vec::new();
    let mut has_more = false;
    if let Some(mut file) = file.filter(|_| length > from.offset) {
        file.seek(SeekFrom::Start(from.offset))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        loop {
            let mut line = Vec::new();
            let read = reader.read_until(b'\n', &mut line)? as u64;
            if read == 0 || line.last() != Some(&b'\n') {
                break;
            }
            lines.push((to.offset, line));
            to.offset += read;
            if to.offset - from.offset >= PART_BYTES_MAX {
                has_more = true;
                break;
            }
        }
    }
    if to.offset > 0 {
        to.first_line = std::mem::take(&mut first_line);
    }
    Ok((is_again || to != from).then_some(Part { from, to, lines, has_more }))
}

/// Empty while the first line is not whole.
fn hash_of_first_line(mut file: &File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    BufReader::with_capacity(1 << 10, file).read_until(b'\n', &mut line)?;
    Ok(if line.last() == Some(&b'\n') { blake3::hash(&line).to_hex().to_string() } else { String::new() })
}

impl Part {
    fn into_log(self) -> LogPart {
        let mut log = LogPart { from: self.from, to: self.to, ..LogPart::default() };
        for (offset, line) in self.lines {
            match serde_json::from_slice(&line) {
                Ok(event) => log.lines.push(LogLine { offset, event }),
                Err(_) => log.bad_lines += 1,
            }
        }
        log
    }

    fn into_samples(self) -> SamplePart {
        let samples = self.lines.iter().filter_map(|(_, line)| sample(serde_json::from_slice(line).ok()?)).collect();
        SamplePart { from: self.from, to: self.to, samples }
    }
}

/// A sample of whatever numbers a line has; those in lists get their number into their name.
fn sample(line: Value) -> Option<Sample> {
    let Value::Object(fields) = line else {
        return None;
    };
    let whole = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut sample = Sample {
        step: whole("step"),
        tokens: whole("tokens"),
        elapsed_ms: whole("elapsed_ms"),
        epoch: fields.get("epoch").and_then(Value::as_f64).unwrap_or(0.0) as f32,
        values: Vec::new(),
    };
    for (name, value) in &fields {
        if !matches!(name.as_str(), "step" | "tokens" | "elapsed_ms" | "epoch") {
            collect(name, value, &mut sample.values);
        }
    }
    Some(sample)
}

fn collect(name: &str, value: &Value, values: &mut Vec<(String, f32)>) {
    match value {
        Value::Number(number) => values.extend(number.as_f64().map(|number| (name.to_owned(), number as f32))),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(&format!("{name}_{index}"), item, values);
            }
        }
        Value::Object(fields) => {
            for (field, value) in fields {
                collect(&format!("{name}_{field}"), value, values);
            }
        }
        _ => {}
    }
}
