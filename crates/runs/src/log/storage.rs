//! What the log writer needs of a file, apart so that tests can stand in for a full disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Space set aside so that a full disk can be spoken about.
///
/// # Units
/// Bytes.
const RESERVE_BYTES: usize = 1 << 20;

/// The file that holds it.
pub(crate) const RESERVE_NAME: &str = "reserve";

/// Points are made durable at least this often.
const SYNC_INTERVAL: Duration = Duration::from_millis(900);

/// The end of a log file.
pub trait LogStorage: Send {
    /// Writes at the end, in one write where the system allows.
    ///
    /// # Errors
    /// Some or all of it could not be written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to a length.
    ///
    /// # Errors
    /// The file system refused.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Makes everything written durable now.
    ///
    /// # Errors
    /// The file system refused.
    fn sync(&mut self) -> io::Result<()>;

    /// Makes everything written durable within a second.
    fn sync_soon(&mut self);

    /// Sets space aside.
    ///
    /// # Errors
    /// There is none.
    fn take_reserve(&mut self) -> io::Result<()>;

    /// Gives that space up.
    fn give_up_reserve(&mut self);
}

/// A log file with a reserve file beside it and a thread that makes points durable.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    reserve: PathBuf,
    is_dirty: Arc<AtomicBool>,
    is_closed: Arc<AtomicBool>,
    syncer: Option<JoinHandle<()>>,
}

impl FileStorage {
    /// Opens a log for appending. A last line without newline is cut.
    ///
    /// Returns the storage, the length of the whole lines, and how many bytes were cut.
    ///
    /// # Errors
    /// The file cannot be opened or cut.
    pub fn open(path: &Path) -> io::Result<(FileStorage, u64, u64)> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        let whole = whole_length(&mut file, length)?;
        if whole != length {
            file.set_len(whole)?;
            file.sync_all()?;
        }
        let is_dirty = Arc::new(AtomicBool::new(false));
        let is_closed = Arc::new(AtomicBool::new(false));
        let syncer = spawn_syncer(file.try_clone()?, is_dirty.clone(), is_closed.clone())?;
        let storage = FileStorage { file, reserve: path.with_file_name(RESERVE_NAME), is_dirty, is_closed, syncer: Some(syncer) };
        Ok((storage, whole, length - whole))
    }
}

fn spawn_syncer(file: File, is_dirty: Arc<AtomicBool>, is_closed: Arc<AtomicBool>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("log-sync".to_owned()).spawn(move || {
        while !is_closed.load(Ordering::Acquire) {
            thread::park_timeout(SYNC_INTERVAL);
            if is_dirty.swap(false, Ordering::AcqRel) {
                // A failing disk shows at the next write, which somebody waits for.
                let _ = file.sync_data();
            }
        }
    })
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

impl LogStorage for FileStorage {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.is_dirty.store(false, Ordering::Release);
        self.file.sync_data()
    }

    fn sync_soon(&mut self) {
        self.is_dirty.store(true, Ordering::Release);
    }

    fn take_reserve(&mut self) -> io::Result<()> {
        let taken = (|| {
            let mut file = File::create(&self.reserve)?;
            file.write_all(&vec![b'.'; RESERVE_BYTES])?;
            file.sync_all()
        })();
        if taken.is_err() {
            self.give_up_reserve();
        }
        taken
    }

    fn give_up_reserve(&mut self) {
        // Missing is as good as removed.
        let _ = fs::remove_file(&self.reserve);
    }
}

impl Drop for FileStorage {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Release);
        if let Some(syncer) = self.syncer.take() {
            syncer.thread().unpark();
            // It can only have panicked, which the log survives.
            let _ = syncer.join();
        }
        self.give_up_reserve();
    }
}
