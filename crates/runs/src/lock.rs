//! Who is at work on a run: the operating system's lock on `worker.lock`.
//!
//! Process ids are reused and prove nothing; the lock goes with its process, however that ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use apertis_domain::LockFacts;
use serde::{Deserialize, Serialize};

use crate::error::AtPath;
use crate::{RunFolder, RunsError, machine};

/// How long a new worker tries: somebody who only looks holds the lock for microseconds.
const TAKE_TIME: Duration = Duration::from_millis(500);

/// What a worker writes about itself into its lock, for people and for its successor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerFacts {
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Which boot of which machine.
    pub boot: String,
    /// Processes killed for memory in its control group, when it started.
    pub oom_kills: u64,
    /// When it started, in UTC.
    pub started_at: String,
    /// Version of the program.
    pub version: String,
}

/// The lock of a run, held until dropped.
#[derive(Debug)]
pub struct WorkerLock {
    _file: File,
    pid_path: PathBuf,
}

impl WorkerLock {
    /// Takes the lock and returns what the worker before wrote into it.
    ///
    /// # Errors
    /// A worker holds it, here or on another machine, or the file cannot be written.
    pub fn take(folder: &RunFolder, version: &str) -> Result<(WorkerLock, Option<WorkerFacts>), RunsError> {
        let path = folder.worker_lock();
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).at("open", &path)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < TAKE_TIME => {
                    thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => return Err(running(folder)),
                Err(TryLockError::Error(source)) => {
                    return Err(RunsError::File { operation: "lock", path, source });
                }
            }
        }
        let before = read_facts(&mut file);
        let facts = lock_facts(folder);
        if facts.other_host.is_some() && facts.silent_ms <= apertis_domain::state::SILENCE_MAX_MS {
            return Err(running(folder));
        }
        let now = WorkerFacts {
            host: machine::host_name(),
            pid: std::process::id(),
            boot: machine::boot_id(),
            oom_kills: machine::oom_kills(),
            started_at: crate::clock::now_text(),
            version: version.to_owned(),
        };
        let text = toml::to_string(&now).expect("texts and numbers are TOML");
        write_facts(&mut file, &text).at("write", &path)?;
        let pid_path = folder.worker_pid();
        fs::write(&pid_path, format!("{}\n", now.pid)).at("write", &pid_path)?;
        Ok((WorkerLock { _file: file, pid_path }, before))
    }
}

impl Drop for WorkerLock {
    fn drop(&mut self) {
        // A file left behind does no harm: it is the lock that counts.
        let _ = fs::remove_file(&self.pid_path);
    }
}

/// What the lock of a run says, without disturbing its holder.
pub fn lock_facts(folder: &RunFolder) -> LockFacts {
    let Ok(mut file) = File::open(folder.worker_lock()) else {
        return LockFacts { silent_ms: silent_ms(folder), ..LockFacts::default() };
    };
    // A shared lock: those who only look do not see each other as workers.
    let is_held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    let other_host = read_facts(&mut file)
        // Containers of one machine share its kernel, and so its locks.
        .filter(|facts| facts.host != machine::host_name() && facts.boot != machine::boot_id())
        .map(|facts| facts.host);
    LockFacts { is_held, other_host, silent_ms: silent_ms(folder) }
}

/// What the last worker wrote about itself.
pub fn worker_facts(folder: &RunFolder) -> Option<WorkerFacts> {
    read_facts(&mut File::open(folder.worker_lock()).ok()?)
}

/// Gives a sign of life without an event.
pub(crate) fn beat(pid_path: &Path) {
    if let Ok(file) = OpenOptions::new().write(true).open(pid_path) {
        // Missing one beat is harmless.
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Time since the log grew or the worker gave a sign of life.
fn silent_ms(folder: &RunFolder) -> u64 {
    let age = |path: PathBuf| {
        let changed = fs::metadata(path).and_then(|data| data.modified()).ok()?;
        Some(SystemTime::now().duration_since(changed).unwrap_or_default())
    };
    let youngest = [age(folder.events()), age(folder.worker_pid())].into_iter().flatten().min();
    youngest.map_or(u64::MAX, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

fn running(folder: &RunFolder) -> RunsError {
    let holder = match worker_facts(folder) {
        Some(facts) => format!("process {} on {}", facts.pid, facts.host),
        None => "its lock does not say which".to_owned(),
    };
    RunsError::AlreadyRunning { path: folder.path().to_owned(), holder }
}

fn read_facts(file: &mut File) -> Option<WorkerFacts> {
    use io::Seek;
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    toml::from_str(&text).ok().filter(|facts: &WorkerFacts| facts.pid != 0)
}

fn write_facts(file: &mut File, text: &str) -> io::Result<()> {
    use io::Seek;
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}
