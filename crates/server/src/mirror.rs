//! The runs of the home as the server knows them: a thread that follows every log, keeps rows for
//! the list, tells rooms what is new, and starts workers again that are gone without a word.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use apertis_domain::{Recipe, RunState};
use apertis_protocol::live::RunsMessage;
use apertis_protocol::run::RunRow;
use apertis_runs::spawn::spawn_worker;
use apertis_runs::watch::{Kept, Watcher};
use apertis_runs::{Home, RunCard, RunFolder, RunRecord, RunsError};

use crate::describe;
use crate::live::{Hub, Room, run_message};
use crate::queue;
use crate::settings::Workers;
use crate::sweeps;

/// Active runs are looked at this often.
const TICK: Duration = Duration::from_millis(100);
/// The folder of runs is listed every so many ticks.
const LIST_TICKS: u64 = 4;
/// Runs at rest are looked at in turn: each once in so many ticks.
const REST_TICKS: u64 = 8;
/// A row that only counts on is told at most this often.
const ROW_INTERVAL: Duration = Duration::from_millis(500);
/// Whoever started a worker in a terminal gets this long to start it again.
const RESTART_AFTER: Duration = Duration::from_secs(3);
/// Records of ended runs that are kept in memory for their pages.
const RECORDS_KEPT: usize = 4;

/// One run as the server knows it.
#[derive(Debug, Clone)]
pub(crate) struct KnownRun {
    pub(crate) folder: RunFolder,
    pub(crate) card: RunCard,
    pub(crate) row: RunRow,
    pub(crate) state: RunState,
}

/// Follows the runs of a home.
pub(crate) struct Mirror {
    home: Home,
    workers: Workers,
    hub: Arc<Hub>,
    known: RwLock<BTreeMap<String, KnownRun>>,
    watch: Mutex<Watch>,
    records: Mutex<Vec<(String, (u64, u64), Arc<RunRecord>)>>,
    is_queue_paused: AtomicBool,
    is_closed: AtomicBool,
}

/// What the following thread remembers; others take it to look at once.
#[derive(Default)]
struct Watch {
    ticks: u64,
    watched: HashMap<String, Watched>,
    children: Vec<Child>,
}

struct Watched {
    id: String,
    card: RunCard,
    recipe: Recipe,
    state: Option<RunState>,
    /// Number of the newest event that was read.
    seq: Option<u64>,
    /// Whether the row changed since it was told.
    is_untold: bool,
    /// Kept while a run is active; a run at rest needs none of it in memory.
    watcher: Option<Watcher>,
    /// Size and change time of the log, recipe and words, as of the last look.
    print: [u64; 4],
    told_at: Option<Instant>,
    /// Whether it was seen at work by this life of the server.
    was_active: bool,
    interrupted_at: Option<Instant>,
}

impl Mirror {
    pub(crate) fn new(home: Home, workers: Workers, hub: Arc<Hub>, is_queue_paused: bool) -> Arc<Mirror> {
        Arc::new(Mirror {
            home,
            workers,
            hub,
            known: RwLock::default(),
            watch: Mutex::default(),
            records: Mutex::default(),
            is_queue_paused: AtomicBool::new(is_queue_paused),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Follows on a thread of its own until closed.
    pub(crate) fn follow(self: &Arc<Self>) -> std::io::Result<JoinHandle<()>> {
        let mirror = self.clone();
        thread::Builder::new().name("mirror".to_owned()).spawn(move || {
            while !mirror.is_closed.load(Ordering::Acquire) {
                mirror.tick(&mut mirror.lock_watch());
                thread::park_timeout(TICK);
            }
        })
    }

    /// Ends the following thread after its present look.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Looks at everything now: after a change that an answer has to show.
    pub(crate) fn look(&self) {
        let mut watch = self.lock_watch();
        self.list(&mut watch);
        let names: Vec<String> = watch.watched.keys().cloned().collect();
        for name in names {
            self.look_at(&mut watch, &name, true);
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

    /// Looks at every run without copying them.
    pub(crate) fn with_all<T>(&self, look: impl FnOnce(&BTreeMap<String, KnownRun>) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A run by id; a folder's name finds it too.
    pub(crate) fn find(&self, id: &str) -> Option<KnownRun> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(id).or_else(|| known.values().find(|run| run.folder.name() == id)).cloned()
    }

    /// What stands of a run. Reads its log unless it is in memory.
    pub(crate) fn record(&self, run: &KnownRun) -> Result<Arc<RunRecord>, RunsError> {
        let print = size_and_time(&run.folder.events());
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = records.iter().position(|(id, known, _)| *id == run.card.id && *known == print) {
            let found = records.remove(at);
            let record = found.2.clone();
            records.push(found);
            return Ok(record);
        }
        drop(records);
        let record = Arc::new(RunRecord::read(&run.folder.events())?);
        records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.retain(|(id, ..)| *id != run.card.id);
        records.push((run.card.id.clone(), print, record.clone()));
        if records.len() > RECORDS_KEPT {
            records.remove(0);
        }
        Ok(record)
    }

    /// Starts a worker on a run.
    pub(crate) fn start(&self, folder: &RunFolder, flags: &[&str]) -> Result<(), RunsError> {
        let child = self.workers.start(&self.home, folder, flags)?;
        self.lock_watch().children.push(child);
        Ok(())
    }

    fn lock_watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self, watch: &mut Watch) {
        watch.ticks += 1;
        let ticks = watch.ticks;
        // A worker that ended is waited for, so that the system forgets it.
        watch.children.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
        if ticks % LIST_TICKS == 1 {
            self.list(watch);
            sweeps::advance(&self.home, |id| self.find(id));
            self.advance(watch);
        }
        let names: Vec<String> = watch
            .watched
            .iter()
            .enumerate()
            .filter(|(at, (_, run))| run.watcher.is_some() || run.interrupted_at.is_some() || *at as u64 % REST_TICKS == ticks % REST_TICKS)
            .map(|(_, (name, _))| name.clone())
            .collect();
        for name in names {
            self.look_at(watch, &name, false);
        }
    }

    /// Starts the first of the queue where nothing is at work.
    fn advance(&self, watch: &mut Watch) {
        self.number_queue();
        // A worker that was just started may not hold its run yet.
        if self.is_queue_paused() || !watch.children.is_empty() {
            return;
        }
        let first = self.with_all(|runs| match queue::is_busy(runs.values()) {
            true => None,
            false => queue::waiting(runs.values()).first().map(|run| (*run).clone()),
        });
        let Some(run) = first else { return };
        // Out of the queue first: a run that cannot be started must not be tried for ever.
        let started = queue::leave(&self.home, &run.folder)
            .map_err(|failure| failure.message)
            .and_then(|_| self.workers.start(&self.home, &run.folder, &[]).map_err(|error| error.to_string()));
        match started {
            Ok(child) => watch.children.push(child),
            Err(error) => tracing::error!(run = run.card.title(), error, "not started from the queue"),
        }
        self.look_at(watch, &run.folder.name(), true);
    }

    /// Writes places of the queue into the rows.
    fn number_queue(&self) {
        let places: HashMap<String, u64> =
            self.with_all(|runs| queue::waiting(runs.values()).iter().map(|run| run.card.id.clone()).zip(1..).collect());
        let mut moved = Vec::new();
        for (id, run) in self.known.write().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            let place = places.get(id).copied();
            if run.row.queue_place != place {
                run.row.queue_place = place;
                moved.push(run.row.clone());
            }
        }
        for row in moved {
            self.tell_row(&row.id.clone(), Some(row));
        }
    }

    /// Finds runs that came, went, or were renamed or copied.
    fn list(&self, watch: &mut Watch) {
        // A home that cannot be listed for a moment has not lost its runs.
        let Ok(folders) = RunFolder::all(&self.home) else { return };
        let names: HashSet<String> = folders.iter().map(RunFolder::name).collect();
        let gone: Vec<String> = watch.watched.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for name in gone {
            if let Some(run) = watch.watched.remove(&name) {
                self.forget(&run.id, &name);
            }
        }
        let mut ids: HashSet<String> = watch.watched.values().map(|run| run.id.clone()).collect();
        for folder in folders {
            if watch.watched.contains_key(&folder.name()) {
                continue;
            }
            // A run whose card cannot be written has no id to be known by; it is looked for again.
            let Ok(card) = RunCard::open(&self.home, &folder) else { continue };
            if ids.contains(&card.id) {
                continue;
            }
            ids.insert(card.id.clone());
            let recipe = folder.recipe().unwrap_or_default();
            let name = folder.name();
            let run = Watched {
                id: card.id.clone(),
                card,
                recipe,
                state: None,
                seq: None,
                is_untold: false,
                watcher: Some(Watcher::new(&folder)),
                print: [0; 4],
                told_at: None,
                was_active: false,
                interrupted_at: None,
            };
            watch.watched.insert(name.clone(), run);
            self.look_at(watch, &name, true);
        }
    }

    fn forget(&self, id: &str, folder: &str) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.get(id).is_some_and(|run| run.folder.name() == folder) {
            known.remove(id);
            drop(known);
            self.tell_row(id, None);
        }
    }

    /// Reads what is new of one run, and tells it.
    fn look_at(&self, watch: &mut Watch, name: &str, must_tell: bool) {
        let Some(run) = watch.watched.get_mut(name) else { return };
        let Ok(folder) = RunFolder::open(&self.home.runs().join(name)) else { return };
        let print = print_of(&folder);
        if print == run.print && run.watcher.is_none() {
            return;
        }
        let is_first = run.print == [0; 4];
        if print[2..] != run.print[2..] {
            run.recipe = folder.recipe().unwrap_or_default();
            if let Ok(card) = RunCard::open(&self.home, &folder) {
                run.card = card;
            }
        }
        let is_same = std::mem::replace(&mut run.print, print) == print;
        let watcher = run.watcher.get_or_insert_with(|| Watcher::new(&folder));
        let Ok((events, state)) = watcher.look() else { return };
        let room = format!("run:{}", run.card.id);
        if !is_first && self.hub.is_heard(&room) {
            // A run that was at rest is read from its beginning again.
            for event in events.iter().filter(|event| run.seq.is_none_or(|told| event.seq > told)) {
                self.hub.say_in_run(&room, &run_message(&room, event));
            }
        }
        run.seq = watcher.record().seq;
        run.was_active |= state.is_active() && state != RunState::Queued;
        if let Some(child) = self.keep_alive(run, &state) {
            watch.children.push(child);
        }
        let Some(run) = watch.watched.get_mut(name) else { return };
        if is_same && events.is_empty() && run.state.as_ref() == Some(&state) && !run.is_untold && !must_tell {
            return;
        }
        run.state = Some(state.clone());
        let row = run.watcher.as_ref().map(|watcher| describe::row(&run.card, &run.recipe, watcher.record(), &state));
        let is_at_rest = !state.is_active() && run.interrupted_at.is_none() || state == RunState::Queued && run.seq.is_none();
        if is_at_rest {
            // Its record would fill the memory of a home with many runs.
            run.watcher = None;
        }
        if let Some(row) = row {
            self.put(run, KnownRun { folder, card: run.card.clone(), row, state }, must_tell);
        }
    }

    /// Starts a worker again whose end this server saw, unless whoever started it does so.
    fn keep_alive(&self, run: &mut Watched, state: &RunState) -> Option<Child> {
        if *state != RunState::Interrupted || !run.was_active {
            run.interrupted_at = None;
            return None;
        }
        let since = run.interrupted_at.get_or_insert_with(Instant::now);
        if since.elapsed() < RESTART_AFTER {
            return None;
        }
        run.interrupted_at = None;
        run.was_active = false;
        let name = run.card.title();
        let start = |folder: &RunFolder| self.workers.start(&self.home, folder, &["--automatic"]);
        match run.watcher.as_mut()?.keep_alive(state, self.workers.version, start) {
            Ok(Kept::Restarted(cause, child)) => {
                tracing::warn!(run = name, cause = cause.name(), "worker started again");
                return Some(child);
            }
            Ok(Kept::GivenUp(code)) => tracing::warn!(run = name, code = code.code(), "run given up"),
            Ok(Kept::Nothing) => {}
            Err(error) => tracing::error!(run = name, error = error.to_string(), "worker not started again"),
        }
        None
    }

    fn put(&self, run: &mut Watched, mut new: KnownRun, must_tell: bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // An id that was changed by hand is another run.
        let old = match std::mem::replace(&mut run.id, new.card.id.clone()) {
            id if id == new.card.id => known.remove(&id),
            id => {
                known.remove(&id);
                None
            }
        };
        let is_told = match &old {
            None => true,
            Some(old) => {
                new.row.queue_place = old.row.queue_place;
                let is_new_state = old.row.state != new.row.state || old.card != new.card;
                let is_due = run.told_at.is_none_or(|at| at.elapsed() >= ROW_INTERVAL);
                let is_changed = old.row != new.row || run.is_untold;
                is_changed && (is_new_state || is_due || must_tell)
            }
        };
        run.is_untold = !is_told && (run.is_untold || old.is_none_or(|old| old.row != new.row));
        let row = new.row.clone();
        known.insert(run.id.clone(), new);
        drop(known);
        if is_told {
            run.told_at = Some(Instant::now());
            self.tell_row(&row.id.clone(), Some(row));
        }
    }

    fn tell_row(&self, id: &str, run: Option<RunRow>) {
        self.hub.say(Room::Runs, |seq, epoch| {
            let message = RunsMessage { seq, epoch: epoch.to_owned(), id: id.to_owned(), run };
            serde_json::to_value(message).unwrap_or_default()
        });
    }
}

impl Workers {
    fn start(&self, home: &Home, folder: &RunFolder, flags: &[&str]) -> Result<Child, RunsError> {
        let mut words = vec!["--home".to_owned(), home.root().display().to_string(), "worker".to_owned()];
        words.extend(flags.iter().map(|flag| (*flag).to_owned()));
        spawn_worker(&self.program, &words, folder)
    }
}

fn print_of(folder: &RunFolder) -> [u64; 4] {
    let (size, time) = size_and_time(&folder.events());
    let (_, recipe) = size_and_time(&folder.recipe_file());
    let (_, card) = size_and_time(&folder.path().join("card.toml"));
    // The lock's file changes when a worker begins.
    let (_, lock) = size_and_time(&folder.worker_lock());
    [size ^ lock, time, recipe, card]
}

fn size_and_time(path: &std::path::Path) -> (u64, u64) {
    fs::metadata(path).map_or((0, 0), |data| {
        let changed = data.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        (data.len() + 1, changed.map_or(0, |time| time.as_nanos() as u64))
    })
}
