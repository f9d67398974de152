//! What following remembers of each run, and which runs are worth a look now.
//!
//! A run at rest costs one question to the file system: whatever a worker or we do in its folder
//! changes the folder's time. What somebody writes into its files by hand is noticed a little later.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use apertis_domain::LockFacts;
use apertis_domain::state::SILENCE_MAX_MS;
use apertis_runs::RunFolder;
use apertis_runs::mirror::RunMirror;
use apertis_storage::index::{RunFacts, RunStatus};

/// Runs at rest are looked at in turn: each once in so many ticks.
const REST_TICKS: u64 = 8;
/// Files of a run at rest are looked at once in so many ticks, whatever its folder's time.
const FILES_TICKS: u64 = 100;
/// Times of files are coarse: what changed within this may have changed again.
const COARSE: Duration = Duration::from_secs(2);

/// What the following thread remembers; requests take it to look at once.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) ticks: u64,
    pub(super) watched: HashMap<PathBuf, Watched>,
    /// Those that were not looked at since the server began.
    pub(super) fresh: VecDeque<PathBuf>,
    pub(super) children: Vec<Child>,
    pub(super) listed: Option<Listed>,
    slots: u64,
}

/// When and how the folders of runs and trash were listed.
pub(super) struct Listed {
    pub(super) stamps: [Option<SystemTime>; 2],
    pub(super) tick: u64,
}

/// One run.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) id: String,
    /// Its turn among those at rest.
    pub(super) slot: u64,
    pub(super) queue_place: Option<u64>,
    /// Kept while it is active; a run at rest needs none of it in memory.
    pub(super) following: Option<RunMirror>,
    pub(super) facts: Option<Box<RunFacts>>,
    /// Whether the index has these facts.
    pub(super) are_facts_known: bool,
    /// As of the index; `None` before the first look.
    pub(super) status: Option<RunStatus>,
    /// Number of the newest event in the index.
    pub(super) seq: Option<u64>,
    pub(super) lock: Option<Hold>,
    pub(super) print: Print,
    pub(super) stamp: Option<SystemTime>,
    pub(super) looked_at: u64,
    pub(super) told_at: Option<Instant>,
    /// Whether its row changed since it was told.
    pub(super) is_untold: bool,
    /// Whether its files had more than is read at once.
    pub(super) has_more: bool,
    /// Whether it was seen at work by this life of the server.
    pub(super) was_active: bool,
    pub(super) interrupted_at: Option<Instant>,
}

/// Times and sizes of the files of a run that matter here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Print {
    log: (u64, u64),
    samples: u64,
    lock: u64,
    /// Recipe and card.
    pub(super) words: [u64; 2],
}

/// What decides about a state of what a lock says; the time since the last sign alone does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) is_held: bool,
    pub(super) other_host: Option<String>,
    is_silent: bool,
}

impl Watch {
    /// Adds a run.
    pub(super) fn add(&mut self, path: &Path, mut run: Watched) {
        self.slots += 1;
        run.slot = self.slots;
        self.watched.insert(path.to_owned(), run);
    }

    /// The runs to look at in this tick.
    pub(super) fn due(&mut self) -> Vec<PathBuf> {
        let ticks = self.ticks;
        let mut due = Vec::new();
        for (path, run) in &mut self.watched {
            if run.status.is_none() && !self.fresh.is_empty() {
                continue;
            }
            let is_live = run.following.is_some() || run.interrupted_at.is_some() || run.is_untold;
            if is_live || run.slot % REST_TICKS == ticks % REST_TICKS && run.may_have_changed(path, ticks) {
                due.push(path.clone());
            }
        }
        due
    }

    /// Notes places in the queue; the runs whose place is another than before.
    pub(super) fn number(&mut self, places: &HashMap<String, u64>) -> Vec<PathBuf> {
        let mut moved = Vec::new();
        for (path, run) in &mut self.watched {
            let place = places.get(&run.id).copied();
            if run.queue_place != place {
                run.queue_place = place;
                moved.push(path.clone());
            }
        }
        moved
    }
}

impl Watched {
    fn may_have_changed(&self, path: &Path, ticks: u64) -> bool {
        let stamp = changed_at(path);
        stamp != self.stamp || !is_settled(stamp) || ticks >= self.looked_at + FILES_TICKS
    }
}

impl Print {
    pub(super) fn of(folder: &RunFolder) -> Print {
        let log = size_and_time(&folder.events());
        let samples = size_and_time(&folder.system());
        Print {
            log,
            samples: samples.0 ^ samples.1,
            // The lock's file changes when a worker begins.
            lock: size_and_time(&folder.worker_lock()).1,
            words: [size_and_time(&folder.recipe_file()).1, size_and_time(&folder.path().join("card.toml")).1],
        }
    }
}

impl From<&LockFacts> for Hold {
    fn from(lock: &LockFacts) -> Hold {
        Hold { is_held: lock.is_held, other_host: lock.other_host.clone(), is_silent: lock.silent_ms > SILENCE_MAX_MS }
    }
}

impl Hold {
    /// Whether nobody is at work, here or elsewhere.
    pub(super) fn is_free(&self) -> bool {
        !self.is_held && self.other_host.is_none()
    }
}

/// When a file or folder was last changed.
pub(super) fn changed_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// Whether a change in the same instant would be seen by another time.
pub(super) fn is_settled(stamp: Option<SystemTime>) -> bool {
    stamp.is_none_or(|stamp| stamp.elapsed().is_ok_and(|age| age > COARSE))
}

fn size_and_time(path: &Path) -> (u64, u64) {
    fs::metadata(path).map_or((0, 0), |data| {
        let changed = data.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        (data.len() + 1, changed.map_or(0, |time| time.as_nanos() as u64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use apertis_domain::Recipe;
    use apertis_runs::Home;

    #[test]
    fn a_run_at_rest_is_due_when_its_folder_changed() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let home = Home::open(folder.path()).expect("a new home");
        let run = RunFolder::create(&home, &Recipe::default()).expect("a run");
        let old = SystemTime::now() - Duration::from_secs(60);
        let age = |time| fs::File::open(run.path()).and_then(|file| file.set_modified(time)).expect("the folder's time can be set");
        age(old);
        let mut watch = Watch::default();
        watch.add(run.path(), Watched { status: Some(RunStatus::default()), stamp: Some(old), ..Watched::default() });
        let is_due = |watch: &mut Watch| {
            let due = (0..REST_TICKS).map(|_| {
                watch.ticks += 1;
                watch.due().len()
            });
            due.sum::<usize>()
        };
        assert_eq!(is_due(&mut watch), 0);
        age(old + Duration::from_secs(1));
        assert_eq!(is_due(&mut watch), 1);
        // What changed just now may change once more without another time.
        let now = SystemTime::now();
        age(now);
        watch.watched.values_mut().for_each(|run| run.stamp = Some(now));
        assert_eq!(is_due(&mut watch), 1);
        age(old);
        watch.watched.values_mut().for_each(|run| run.stamp = Some(old));
        watch.ticks += FILES_TICKS;
        assert_eq!(is_due(&mut watch), 1);
        // A run that is followed is always due.
        watch.watched.values_mut().for_each(|run| (run.looked_at, run.is_untold) = (watch.ticks, true));
        assert_eq!(is_due(&mut watch), REST_TICKS as usize);
    }
}
