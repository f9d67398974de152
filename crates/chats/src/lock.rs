//! Who writes here: the operating system's lock on one file, which goes with its process.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::ChatsError;
use crate::error::AtPath;

/// How long a second writer tries: the first may just be going.
const TAKE_TIME: Duration = Duration::from_millis(200);

/// The right to write, held until dropped.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the lock of a folder.
    ///
    /// # Errors
    /// Somebody holds it, or the file cannot be made.
    pub(crate) fn take(folder: &Path) -> Result<WriterLock, ChatsError> {
        let path = folder.join("writer.lock");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).at("open", &path)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(WriterLock { _file: file }),
                Err(TryLockError::WouldBlock) if began.elapsed() < TAKE_TIME => thread::sleep(Duration::from_millis(10)),
                Err(TryLockError::WouldBlock) => return Err(ChatsError::Locked { path: folder.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(ChatsError::File { operation: "lock", path, source }),
            }
        }
    }
}
