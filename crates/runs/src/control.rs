//! Requests to a living run: files in `control/`, renamed into place by whoever asks and polled
//! by the worker. No sockets: paths can be long, and file events fail on container mounts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apertis_domain::event::CommandAnswered;
use apertis_domain::{Action, Command, Control};

use crate::error::AtPath;
use crate::log::last_event;
use crate::worker::SharedLog;
use crate::{RunFolder, RunsError, lock};

/// The folder is looked at no more often than this.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A sign of life is given this often.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Asks something of a run's current worker and returns the id of the request. The answer is a
/// `command_answered` event with that id.
///
/// # Errors
/// The log cannot be read or the request not written.
pub fn ask(folder: &RunFolder, action: &Action) -> Result<String, RunsError> {
    let attempt = last_event(&folder.events()).at("read", &folder.events())?.map_or(1, |event| event.attempt);
    let control = folder.control();
    fs::create_dir_all(&control).at("create folder", &control)?;
    let text = serde_json::to_string(action).expect("requests are JSON");
    let temporary = control.join(format!(".{}.tmp", std::process::id()));
    fs::write(&temporary, text).at("write", &temporary)?;
    let asked = place(&control, attempt, &temporary);
    // A link leaves the temporary file; a rename does not.
    let _ = fs::remove_file(&temporary);
    asked
}

/// Gives the request the first free number, without ever replacing another's.
fn place(control: &Path, attempt: u32, temporary: &Path) -> Result<String, RunsError> {
    for number in 1_u32.. {
        let id = format!("{attempt}-{number}");
        let path = control.join(format!("{id}.json"));
        if path.exists() {
            continue;
        }
        match fs::hard_link(temporary, &path) {
            Ok(()) => return Ok(id),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // No hard links on this file system; two who ask in the same instant may collide.
            Err(_) => return fs::rename(temporary, &path).at("write", &path).map(|()| id),
        }
    }
    unreachable!("a folder never holds four billion requests")
}

/// Whether somebody asked this attempt of a run to stop.
pub(crate) fn is_stop_asked(folder: &RunFolder, attempt: u32) -> bool {
    files(folder).into_iter().any(|(to, _, path)| {
        let action = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        to == attempt && matches!(action, Some(Action::Stop { .. }))
    })
}

/// Files of the control folder that are requests, in order of attempt and number.
fn files(folder: &RunFolder) -> Vec<(u32, u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder.control()) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let (attempt, number) = name.to_str()?.strip_suffix(".json")?.split_once('-')?;
            Some((attempt.parse().ok()?, number.parse().ok()?, entry.path()))
        })
        .collect();
    files.sort();
    files
}

/// The requests to one attempt of a run.
pub struct RunControl {
    folder: RunFolder,
    attempt: u32,
    handled: u32,
    looked_at: Option<Instant>,
    beaten_at: Option<Instant>,
    is_terminated: Arc<AtomicBool>,
    was_terminated: bool,
    log: SharedLog,
}

impl RunControl {
    pub(crate) fn new(folder: RunFolder, attempt: u32, is_terminated: Arc<AtomicBool>, log: SharedLog) -> RunControl {
        RunControl { folder, attempt, handled: 0, looked_at: None, beaten_at: None, is_terminated, was_terminated: false, log }
    }

    /// Refuses requests to earlier attempts and removes them.
    pub(crate) fn refuse_earlier(&mut self) -> Result<(), RunsError> {
        for (attempt, number, path) in files(&self.folder) {
            if attempt < self.attempt {
                let action = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Action>(&text).ok());
                if !self.log.is_answered(&format!("{attempt}-{number}")) {
                    self.log.emit_last_step(CommandAnswered {
                        id: format!("{attempt}-{number}"),
                        command: action.map_or("", |action| action.name()).to_owned(),
                        accepted: false,
                        message: "its worker ended before it could be carried out".to_owned(),
                    })?;
                }
                fs::remove_file(&path).at("remove", &path)?;
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        for (attempt, number, path) in files(&self.folder) {
            if attempt != self.attempt || number <= self.handled {
                continue;
            }
            let id = format!("{attempt}-{number}");
            let Ok(text) = fs::read_to_string(&path) else {
                // Not readable yet; it stays for the next look.
                break;
            };
            self.handled = number;
            match serde_json::from_str::<Action>(&text) {
                Ok(action) => commands.push(Command { id, action }),
                Err(error) => {
                    // A request that cannot be refused in the log is lost with the log itself.
                    let _ = self.log.emit_last_step(CommandAnswered {
                        id,
                        command: String::new(),
                        accepted: false,
                        message: format!("not a request: {error}"),
                    });
                }
            }
        }
        commands
    }
}

impl Control for RunControl {
    fn poll(&mut self, _step: u64) -> Vec<Command> {
        if self.beaten_at.is_none_or(|at| at.elapsed() >= BEAT_INTERVAL) {
            self.beaten_at = Some(Instant::now());
            lock::beat(&self.folder.worker_pid());
        }
        let mut commands = Vec::new();
        if self.is_terminated.load(Ordering::Acquire) && !self.was_terminated {
            self.was_terminated = true;
            commands.push(Command { id: "terminated".to_owned(), action: Action::Stop { now: false } });
        }
        if self.looked_at.is_none_or(|at| at.elapsed() >= POLL_INTERVAL) {
            self.looked_at = Some(Instant::now());
            commands.extend(self.read());
        }
        commands
    }
}
