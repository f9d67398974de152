//! The runs of the home, followed: a thread reads what is new of every log, tells the rooms, takes it
//! into the index, starts what waits, and starts workers again that are gone without a word.
//!
//! Answers come from the index; in memory is only what following needs, since a home may have ten
//! thousand runs.

mod list;
mod look;
mod watched;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use apertis_protocol::live::RunsMessage;
use apertis_runs::lock::lock_facts;
use apertis_runs::spawn::spawn_worker;
use apertis_runs::{Home, QueuePlace, RunCard, RunFolder, RunsError, facts};
use apertis_storage::index::{RunDetails, RunRow};
use apertis_storage::{Storage, StorageError};
use tokio::runtime::Handle;

use crate::describe;
use crate::live::{Hub, Room};
use crate::queue;
use crate::settings::Workers;
use crate::sweeps;
use watched::Watch;

/// Active runs are looked at this often.
const TICK: Duration = Duration::from_millis(100);
/// The folder of runs is looked at every so many ticks.
const LIST_TICKS: u64 = 4;

/// One run with what the index says of it.
#[derive(Debug, Clone)]
pub(crate) struct KnownRun {
    pub(crate) id: String,
    pub(crate) folder: RunFolder,
    pub(crate) row: RunRow,
    pub(crate) details: RunDetails,
}

/// What of each run is kept in memory.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) folder: RunFolder,
    /// Folders' names of the runs whose checkpoints it began from.
    pub(crate) runs_below: Vec<String>,
    pub(crate) queue: Option<QueuePlace>,
    pub(crate) is_trash: bool,
    pub(crate) is_active: bool,
}

/// Follows the runs of a home.
pub(crate) struct Mirror {
    home: Home,
    workers: Workers,
    hub: Arc<Hub>,
    storage: Arc<Storage>,
    runtime: Handle,
    known: RwLock<HashMap<String, Known>>,
    watch: Mutex<Watch>,
    /// Requests that want to look: the following thread lets them go first.
    askers: AtomicUsize,
    is_queue_paused: AtomicBool,
    is_closed: AtomicBool,
}

impl Mirror {
    pub(crate) fn new(home: Home, workers: Workers, hub: Arc<Hub>, storage: Arc<Storage>, runtime: Handle) -> Mirror {
        Mirror {
            home,
            workers,
            hub,
            storage,
            runtime,
            known: RwLock::default(),
            watch: Mutex::default(),
            askers: AtomicUsize::new(0),
            is_queue_paused: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Follows on a thread of its own until closed.
    pub(crate) fn follow(self: &Arc<Self>) -> std::io::Result<JoinHandle<()>> {
        let mirror = self.clone();
        thread::Builder::new().name("mirror".to_owned()).spawn(move || {
            while !mirror.is_closed.load(Ordering::Acquire) {
                if mirror.turn() {
                    thread::park_timeout(TICK);
                }
            }
        })
    }

    /// Ends the following thread after its present look.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Looks for new and gone runs, and at these, now: after a change that an answer has to show.
    /// Waits, so it is not for threads that answer.
    pub(crate) fn look(&self, folders: &[&RunFolder]) {
        self.askers.fetch_add(1, Ordering::AcqRel);
        let mut watch = self.lock();
        self.askers.fetch_sub(1, Ordering::AcqRel);
        self.list(&mut watch, true);
        for folder in folders {
            self.look_at(&mut watch, folder.path(), true);
        }
        self.advance(&mut watch);
    }

    /// Whether nothing new begins.
    pub(crate) fn is_queue_paused(&self) -> bool {
        self.is_queue_paused.load(Ordering::Acquire)
    }

    /// Holds the queue, or lets it move.
    pub(crate) fn pause_queue(&self, is_paused: bool) {
        self.is_queue_paused.store(is_paused, Ordering::Release);
    }

    /// Looks at what is known of every run.
    pub(crate) fn with_known<T>(&self, look: impl FnOnce(&HashMap<String, Known>) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A run that is not in the trash, by id; a folder's name finds it too.
    pub(crate) async fn find(&self, id: &str) -> Result<Option<KnownRun>, StorageError> {
        let mut found = self.storage.run(id).await?;
        if found.is_none() {
            let has_name = |known: &&Known| !known.is_trash && known.folder.path().file_name() == Some(OsStr::new(id));
            let by_name = self.with_known(|known| known.iter().find(|(_, run)| has_name(run)).map(|(id, _)| id.clone()));
            if let Some(id) = by_name {
                found = self.storage.run(&id).await?;
            }
        }
        let Some(run) = found.filter(|run| !run.row.facts.is_trash) else { return Ok(None) };
        // One whose folder just went is forgotten in a moment.
        let folder = RunFolder::open(&self.home.root().join(&run.row.facts.folder)).ok();
        Ok(folder.map(|folder| KnownRun { id: run.row.facts.id.clone(), folder, row: run.row, details: run.details }))
    }

    /// The same, for threads that may wait.
    pub(crate) fn find_now(&self, id: &str) -> Result<Option<KnownRun>, StorageError> {
        self.runtime.block_on(self.find(id))
    }

    /// Ids of the runs that began from checkpoints of a run.
    pub(crate) fn made_of(&self, id: &str, folder: &RunFolder) -> Vec<String> {
        let name = folder.name();
        let stands_on = |run: &Known| !run.is_trash && run.runs_below.contains(&name);
        self.with_known(|known| known.iter().filter(|(other, run)| *other != id && stands_on(run)).map(|(id, _)| id.clone()).collect())
    }

    /// Waiting runs in the order in which they begin.
    pub(crate) fn waiting(&self) -> Vec<(String, Known)> {
        self.with_known(|known| {
            let places = queue_places(known);
            let mut waiting: Vec<(u64, &String, &Known)> = known.iter().filter_map(|(id, run)| Some((*places.get(id)?, id, run))).collect();
            waiting.sort_by_key(|(place, ..)| *place);
            waiting.into_iter().map(|(_, id, run)| (id.clone(), run.clone())).collect()
        })
    }

    /// Starts a worker on a run.
    pub(crate) fn start(&self, folder: &RunFolder, flags: &[&str]) -> Result<(), RunsError> {
        let child = self.workers.start(&self.home, folder, flags)?;
        self.lock().children.push(child);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same after those who wait for an answer.
    fn lock_politely(&self) -> MutexGuard<'_, Watch> {
        while self.askers.load(Ordering::Acquire) > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        self.lock()
    }

    /// Looks at what is due; whether there is time to rest.
    fn turn(&self) -> bool {
        let mut watch = self.lock_politely();
        watch.ticks += 1;
        // A worker that ended is waited for, so that the system forgets it.
        watch.children.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
        let is_listing = watch.ticks % LIST_TICKS == 1;
        if is_listing {
            self.list(&mut watch, false);
        }
        let due = watch.due();
        drop(watch);
        if is_listing {
            sweeps::advance(&self.home, |id| self.find_now(id).ok().flatten());
            self.advance(&mut self.lock_politely());
        }
        for path in due {
            self.look_at(&mut self.lock_politely(), &path, false);
        }
        // Runs that this life of the server has not looked at yet, for as long as a turn lasts.
        let until = Instant::now() + TICK;
        while Instant::now() < until && !self.is_closed.load(Ordering::Acquire) {
            let mut watch = self.lock_politely();
            let Some(path) = watch.fresh.pop_front() else { return true };
            self.look_at(&mut watch, &path, false);
        }
        false
    }

    /// Starts the first of the queue where nothing is at work.
    fn advance(&self, watch: &mut Watch) {
        self.number_queue(watch);
        // A worker that was just started may not hold its run yet.
        if self.is_queue_paused() || !watch.children.is_empty() || self.is_busy() {
            return;
        }
        let Some((_, run)) = self.waiting().into_iter().next() else { return };
        // Out of the queue first: a run that cannot be started must not be tried for ever.
        let started = queue::leave(&self.home, &run.folder)
            .map_err(|failure| failure.message)
            .and_then(|_| self.workers.start(&self.home, &run.folder, &[]).map_err(|error| error.to_string()));
        match started {
            Ok(child) => watch.children.push(child),
            Err(error) => tracing::error!(run = run.folder.name(), error, "not started from the queue"),
        }
        self.look_at(watch, run.folder.path(), true);
        self.number_queue(watch);
    }

    /// Whether the device has work: a worker that holds its run, at work or waiting in line itself.
    pub(crate) fn is_busy(&self) -> bool {
        let active: Vec<RunFolder> =
            self.with_known(|known| known.values().filter(|run| run.is_active).map(|run| run.folder.clone()).collect());
        active.iter().any(|folder| lock_facts(folder).is_held)
    }

    /// Writes places of the queue into the rows.
    fn number_queue(&self, watch: &mut Watch) {
        let places = self.with_known(queue_places);
        for path in watch.number(&places) {
            self.look_at(watch, &path, true);
        }
    }

    fn remember(&self, id: &str, run: Known) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), run);
    }

    fn remember_active(&self, id: &str, is_active: bool) {
        if let Some(run) = self.known.write().unwrap_or_else(PoisonError::into_inner).get_mut(id) {
            run.is_active = is_active;
        }
    }

    /// Takes a run whose folder is gone out of everything.
    fn forget(&self, id: &str) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Err(error) = self.runtime.block_on(self.storage.forget(id)) {
            tracing::warn!(error = error.to_string(), "a run that is gone is still in the index");
        }
        self.tell_row(id, None);
    }

    fn tell_row(&self, id: &str, run: Option<&RunRow>) {
        let run = run.map(describe::row);
        self.hub.say(Room::Runs, |seq, epoch| {
            let message = RunsMessage { seq, epoch: epoch.to_owned(), id: id.to_owned(), run };
            serde_json::to_value(message).unwrap_or_default()
        });
    }
}

fn queue_places(known: &HashMap<String, Known>) -> HashMap<String, u64> {
    let waiting = known.iter().filter(|(_, run)| !run.is_trash).filter_map(|(id, run)| Some((id.as_str(), run.queue.as_ref()?)));
    facts::queue_places(waiting)
}

impl Known {
    fn new(folder: &RunFolder, card: &RunCard, is_trash: bool) -> Known {
        Known { folder: folder.clone(), runs_below: Vec::new(), queue: card.queue.clone(), is_trash, is_active: false }
    }
}

impl Workers {
    fn start(&self, home: &Home, folder: &RunFolder, flags: &[&str]) -> Result<Child, RunsError> {
        let mut words = vec!["--home".to_owned(), home.root().display().to_string(), "worker".to_owned()];
        words.extend(flags.iter().map(|flag| (*flag).to_owned()));
        spawn_worker(&self.program, &words, folder)
    }
}
