//! The slot of a device: a lock that the worker at work on it holds, and the queue before it.
//!
//! A waiting worker holds a ticket, a locked file named by when it came; a ticket whose lock is
//! free belongs to nobody any more.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::AtPath;
use crate::{Home, RunsError};

/// A device slot, held until dropped.
#[derive(Debug)]
pub struct DeviceSlot {
    _lock: File,
}

/// A place in the queue before a device.
#[derive(Debug)]
pub struct Ticket {
    device: String,
    slot_path: PathBuf,
    queue: PathBuf,
    path: PathBuf,
    _lock: File,
}

impl Ticket {
    /// Takes a place at the end of the queue of a device, such as `cpu`.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn take(home: &Home, device: &str) -> Result<Ticket, RunsError> {
        let queue = home.locks().join(format!("{device}.queue"));
        fs::create_dir_all(&queue).at("create folder", &queue)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let path = queue.join(format!("{now:024}-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.at("create", &path)?;
        file.lock().at("lock", &path)?;
        Ok(Ticket { device: device.to_owned(), slot_path: home.locks().join(format!("{device}.lock")), queue, path, _lock: file })
    }

    /// The slot, if it is free and this ticket is the first; else how many stand before it, the
    /// one at work included.
    ///
    /// # Errors
    /// The files cannot be read or written.
    pub fn try_slot(&self) -> Result<Result<DeviceSlot, u64>, RunsError> {
        let before = self.living_before()?;
        if before > 0 {
            return Ok(Err(before + 1));
        }
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.slot_path).at("open", &self.slot_path)?;
        match file.try_lock() {
            Ok(()) => Ok(Ok(DeviceSlot { _lock: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(Err(1)),
            Err(fs::TryLockError::Error(source)) => Err(RunsError::File { operation: "lock", path: self.slot_path.clone(), source }),
        }
    }

    /// The device it waits for.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Counts tickets before this one whose holder lives, and removes the others.
    fn living_before(&self) -> Result<u64, RunsError> {
        let mut living = 0;
        for entry in fs::read_dir(&self.queue).at("list", &self.queue)? {
            let path = entry.at("list", &self.queue)?.path();
            if path.file_name() >= self.path.file_name() {
                continue;
            }
            if is_abandoned(&path) {
                // Somebody else may have removed it in the meantime.
                let _ = fs::remove_file(&path);
            } else {
                living += 1;
            }
        }
        Ok(living)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_abandoned(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => file.try_lock_shared().is_ok(),
        Err(_) => true,
    }
}
