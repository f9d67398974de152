//! Reading a log, whole or as it grows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use apertis_domain::Event;

/// Reads what a log holds now; a missing one holds nothing.
///
/// # Errors
/// The file cannot be read.
pub fn read_log(path: &Path) -> io::Result<Vec<Event>> {
    LogFollower::new(path).read_new()
}

/// The newest whole event of a log, read from its end.
///
/// # Errors
/// The file cannot be read. A missing or empty one has no event.
pub fn last_event(path: &Path) -> io::Result<Option<Event>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let mut tail = 1 << 16;
    loop {
        let start = length.saturating_sub(tail);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.by_ref().read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let newest = bytes[..whole].rsplit(|byte| *byte == b'\n').find_map(|line| serde_json::from_slice(line).ok());
        if newest.is_some() || start == 0 {
            return Ok(newest);
        }
        tail *= 8;
    }
}

/// Follows a log by byte offset. Only whole lines are read; a line that is no event is counted
/// and passed over.
#[derive(Debug, Clone)]
pub struct LogFollower {
    path: PathBuf,
    offset: u64,
    bad_lines: u64,
}

impl LogFollower {
    /// Follows from the beginning.
    pub fn new(path: &Path) -> LogFollower {
        LogFollower::starting_at(path, 0)
    }

    /// Follows from a byte offset that an earlier follower gave.
    pub fn starting_at(path: &Path, offset: u64) -> LogFollower {
        LogFollower { path: path.to_owned(), offset, bad_lines: 0 }
    }

    /// How far it has read.
    ///
    /// # Units
    /// Bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Lines so far that were no events.
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// The events since the last call, oldest first.
    ///
    /// # Errors
    /// The file cannot be read. A missing one is empty.
    pub fn read_new(&mut self) -> io::Result<Vec<Event>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // A log only ever loses a line that was not whole, which is never read; a shorter one
        // is another file.
        if file.metadata()?.len() < self.offset {
            self.offset = 0;
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut events = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            if read == 0 || line.last() != Some(&b'\n') {
                return Ok(events);
            }
            self.offset += read as u64;
            match serde_json::from_slice(&line) {
                Ok(event) => events.push(event),
                Err(_) => self.bad_lines += 1,
            }
        }
    }
}
