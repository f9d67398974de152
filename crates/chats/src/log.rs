//! Append-only files of JSON lines: one writer that loses nothing, a reader that survives anything.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ChatsError;
use crate::error::AtPath;

/// What need not be durable at once is so after this time, while lines go on coming.
pub(crate) const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// When a line must be safe from a power cut. From a kill of the program it always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When the call returns.
    Now,
    /// With a line within a second.
    Soon,
}

/// The end of a log.
#[derive(Debug)]
pub(crate) struct LogFile {
    /// None while its folder is moved, which some systems refuse for open files.
    file: Option<File>,
    path: PathBuf,
    length: u64,
    synced: Instant,
    is_broken: bool,
}

impl LogFile {
    /// Opens a log for appending. A last line without newline is cut; says how many bytes that were.
    ///
    /// # Errors
    /// The file cannot be opened or cut.
    pub(crate) fn open(path: &Path) -> Result<(LogFile, u64), ChatsError> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).at("open", path)?;
        let length = file.metadata().at("open", path)?.len();
        let whole = whole_length(&mut file, length).at("read", path)?;
        if whole != length {
            file.set_len(whole).and_then(|()| file.sync_all()).at("mend", path)?;
        }
        let log = LogFile { file: Some(file), path: path.to_owned(), length: whole, synced: Instant::now(), is_broken: false };
        Ok((log, length - whole))
    }

    /// Length of the whole lines.
    ///
    /// # Units
    /// Bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Closes the file, to move its folder; it is opened again when it is written to.
    pub(crate) fn release(&mut self) {
        self.file = None;
    }

    /// Says where the file lies now.
    pub(crate) fn moved_to(&mut self, path: &Path) {
        self.path = path.to_owned();
    }

    /// Appends one value as a line, in one write.
    ///
    /// # Errors
    /// It could not be written. The log ends with a whole line as before.
    pub(crate) fn append<T: Serialize>(&mut self, value: &T, durability: Durability) -> Result<(), ChatsError> {
        if self.is_broken {
            let source = io::Error::other("an earlier write failed and could not be taken back");
            return Err(ChatsError::File { operation: "write", path: self.path.clone(), source });
        }
        let mut line = serde_json::to_vec(value).expect("records are texts, numbers and lists of them");
        line.push(b'\n');
        let must_sync = durability == Durability::Now || self.synced.elapsed() >= SYNC_INTERVAL;
        let mut file = match self.file.take() {
            Some(file) => file,
            None => OpenOptions::new().append(true).open(&self.path).at("open", &self.path)?,
        };
        let written = file.write_all(&line).and_then(|()| if must_sync { file.sync_data() } else { Ok(()) });
        if written.is_err() {
            self.is_broken = file.set_len(self.length).is_err();
        }
        self.file = Some(file);
        if let Err(source) = written {
            return Err(ChatsError::File { operation: "write", path: self.path.clone(), source });
        }
        if must_sync {
            self.synced = Instant::now();
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

/// Length up to and including the last newline, read backwards in blocks.
fn whole_length(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut block = [0; 8192];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let size = usize::try_from(end - start).expect("a block is small");
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block[..size])?;
        if let Some(newline) = block[..size].iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The values of a log's whole lines, oldest first, and how many lines were none. A missing log is
/// empty; a last line without newline is passed over, it may still be being written.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read_log<T: DeserializeOwned>(path: &Path) -> Result<(Vec<T>, u64), ChatsError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(source) => return Err(ChatsError::File { operation: "read", path: path.to_owned(), source }),
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let mut values = Vec::new();
    let mut damaged = 0;
    for line in bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(value) => values.push(value),
            Err(_) => damaged += 1,
        }
    }
    Ok((values, damaged))
}
