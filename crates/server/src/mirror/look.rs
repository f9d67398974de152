//! One look at one run: what is new of it is told, taken into the index, and acted upon.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use apertis_domain::RunState;
use apertis_runs::mirror::{Followed, RunMirror};
use apertis_runs::watch::{Kept, Watcher};
use apertis_runs::{RunFolder, RunsError, facts};
use apertis_storage::StorageError;

use super::watched::{Hold, Print, Watch, Watched, changed_at};
use super::{Known, Mirror};
use crate::live::run_message;

/// A row that only counts on is told at most this often.
const ROW_INTERVAL: Duration = Duration::from_millis(500);
/// Whoever started a worker in a terminal gets this long to start it again.
const RESTART_AFTER: Duration = Duration::from_secs(3);

impl Mirror {
    /// Reads what is new of one run, and tells it.
    pub(super) fn look_at(&self, watch: &mut Watch, path: &Path, must_tell: bool) {
        let Some(mut run) = watch.watched.remove(path) else { return };
        run.looked_at = watch.ticks;
        // Before the files: what changes meanwhile is seen by the next look.
        run.stamp = changed_at(path);
        // A run whose folder is gone is forgotten by the next listing.
        if let Ok(folder) = RunFolder::open(path)
            && let Err(error) = self.look_into(&mut run, &folder, must_tell)
        {
            self.complain(&mut run, &folder, &error);
        }
        watch.children.extend(self.keep_alive(&mut run, path));
        if run.is_at_rest() {
            // What it takes to follow it would fill the memory of a home with many runs.
            run.following = None;
            run.facts = None;
        }
        watch.watched.insert(path.to_owned(), run);
    }

    fn look_into(&self, run: &mut Watched, folder: &RunFolder, must_tell: bool) -> Result<(), RunsError> {
        let print = Print::of(folder);
        let before = std::mem::replace(&mut run.print, print);
        if before == print && run.following.is_none() && !must_tell {
            return Ok(());
        }
        if run.facts.is_none() || before.words != print.words {
            self.read_words(run, folder)?;
        }
        self.open(run, folder)?;
        let (Some(facts), Some(following)) = (run.facts.as_mut(), run.following.as_ref()) else { return Ok(()) };
        if facts.queue_place != run.queue_place {
            facts.queue_place = run.queue_place;
            run.are_facts_known = false;
        }
        let look = following.look(facts)?;
        let room = format!("run:{}", run.id);
        if run.status.is_some() && self.hub.is_heard(&room) {
            for event in look.events().filter(|event| run.seq.is_none_or(|told| event.seq > told)) {
                self.hub.say_in_run(&room, &run_message(&room, event));
            }
        }
        let hold = Hold::from(look.lock());
        let is_same_hold = match &run.lock {
            Some(before) => *before == hold,
            // What the index says of a run that nobody held stays true while nobody holds it.
            None => hold.is_free() && run.status.as_ref().is_some_and(|status| !status.is_active),
        };
        run.lock = Some(hold);
        if look.is_empty() && run.are_facts_known && is_same_hold && !run.is_untold && !must_tell {
            return Ok(());
        }
        let Some(following) = run.following.as_mut() else { return Ok(()) };
        let followed = self.runtime.block_on(following.take_in(&self.storage, look))?;
        run.has_more = followed.has_more;
        self.tell(run, &followed, must_tell);
        Ok(())
    }

    /// Reads what is not in the log.
    fn read_words(&self, run: &mut Watched, folder: &RunFolder) -> Result<(), RunsError> {
        let card = facts::card_of(&self.home, folder)?;
        if card.id != run.id {
            // An id that was changed by hand is another run.
            self.forget(&run.id);
            *run = Watched { id: card.id.clone(), print: run.print, stamp: run.stamp, looked_at: run.looked_at, ..Watched::default() };
        }
        let recipe = folder.recipe().unwrap_or_default();
        let facts = facts::facts_of(&self.home, folder, &card, &recipe, run.queue_place);
        let is_active = run.status.as_ref().is_some_and(|status| status.is_active);
        let runs_below = facts::runs_below(&self.home, &recipe);
        self.remember(&run.id, Known { runs_below, is_active, ..Known::new(folder, &card, facts.is_trash) });
        run.are_facts_known &= run.facts.as_deref() == Some(&facts);
        run.facts = Some(Box::new(facts));
        Ok(())
    }

    /// Begins to follow where the index ends.
    fn open(&self, run: &mut Watched, folder: &RunFolder) -> Result<(), RunsError> {
        if run.following.is_some() {
            return Ok(());
        }
        if run.status.is_none() {
            let ids = std::slice::from_ref(&run.id);
            if let Some(row) = self.runtime.block_on(self.storage.rows(ids))?.pop() {
                run.queue_place = row.facts.queue_place;
                run.are_facts_known = run.facts.as_deref() == Some(&row.facts);
                (run.status, run.seq) = (Some(row.status), row.seq);
            }
        }
        run.following = Some(self.runtime.block_on(RunMirror::open(&self.storage, folder, &run.id))?);
        Ok(())
    }

    fn tell(&self, run: &mut Watched, followed: &Followed, must_tell: bool) {
        let row = &followed.mirrored.row;
        run.are_facts_known = true;
        run.seq = row.seq;
        let is_new_state = run.status.as_ref() != Some(&row.status);
        if is_new_state {
            self.remember_active(&run.id, row.status.is_active);
            run.status = Some(row.status.clone());
        }
        run.was_active |= row.status.is_active && row.status.name != "queued";
        let is_due = run.told_at.is_none_or(|at| at.elapsed() >= ROW_INTERVAL);
        let is_changed = followed.mirrored.is_changed || run.is_untold;
        if is_changed && (is_new_state || is_due || must_tell) {
            run.told_at = Some(Instant::now());
            run.is_untold = false;
            self.tell_row(&run.id, Some(row).filter(|row| !row.facts.is_trash));
        } else {
            run.is_untold = is_changed;
        }
    }

    /// Says once that the index does not take a run in, and reads it anew from where the index ends.
    fn complain(&self, run: &mut Watched, folder: &RunFolder, error: &RunsError) {
        if !matches!(error, RunsError::Storage(StorageError::PlaceMoved { .. }))
            && run.told_at.is_none_or(|at| at.elapsed() >= ROW_INTERVAL)
        {
            run.told_at = Some(Instant::now());
            tracing::warn!(run = folder.name(), error = error.to_string(), "not taken into the index");
        }
        run.following = None;
        // The next look sees a change, and tries again.
        run.print = Print::default();
        run.stamp = None;
    }

    /// Starts a worker again whose end this server saw, unless whoever started it does so.
    fn keep_alive(&self, run: &mut Watched, path: &Path) -> Option<Child> {
        let is_interrupted = run.status.as_ref().is_some_and(|status| status.name == RunState::Interrupted.name());
        if !is_interrupted || !run.was_active {
            run.interrupted_at = None;
            return None;
        }
        let since = run.interrupted_at.get_or_insert_with(Instant::now);
        if since.elapsed() < RESTART_AFTER {
            return None;
        }
        run.interrupted_at = None;
        run.was_active = false;
        let folder = RunFolder::open(path).ok()?;
        let mut watcher = Watcher::new(&folder);
        let (_, state) = watcher.look().ok()?;
        let start = |folder: &RunFolder| self.workers.start(&self.home, folder, &["--automatic"]);
        let name = folder.name();
        match watcher.keep_alive(&state, self.workers.version, start) {
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
}

impl Watched {
    fn is_at_rest(&self) -> bool {
        let is_expected = self.status.as_ref().is_some_and(|status| status.is_active && !(status.name == "queued" && self.seq.is_none()));
        let is_held = self.lock.as_ref().is_some_and(|lock| !lock.is_free());
        !is_expected && !is_held && self.interrupted_at.is_none() && !self.is_untold && !self.has_more
    }
}
