//! Finding runs that came, went, or were renamed, copied, deleted or brought back.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use apertis_runs::facts;
use apertis_runs::mirror::forget_others;

use super::watched::{Listed, Watch, Watched, changed_at, is_settled};
use super::{Known, Mirror};

/// The folders are listed once in so many ticks, whatever their time.
const LISTED_TICKS: u64 = 50;

impl Mirror {
    /// Lists the folders of runs where they changed, or where an answer has to know.
    pub(super) fn list(&self, watch: &mut Watch, must: bool) {
        let stamps = [changed_at(&self.home.runs()), changed_at(&self.home.trash())];
        let is_known = watch.listed.as_ref().is_some_and(|listed| {
            listed.stamps == stamps && stamps.iter().all(|stamp| is_settled(*stamp)) && watch.ticks < listed.tick + LISTED_TICKS
        });
        if is_known && !must {
            return;
        }
        // A home that cannot be listed for a moment has not lost its runs.
        let Ok(folders) = facts::folders(&self.home) else { return };
        let is_first = watch.listed.is_none();
        watch.listed = Some(Listed { stamps, tick: watch.ticks });
        let present: HashSet<&Path> = folders.iter().map(apertis_runs::RunFolder::path).collect();
        let gone: Vec<PathBuf> = watch.watched.keys().filter(|path| !present.contains(path.as_path())).cloned().collect();
        let mut gone: HashMap<String, Watched> =
            gone.into_iter().filter_map(|path| watch.watched.remove(&path)).map(|run| (run.id.clone(), run)).collect();
        let mut ids: HashSet<String> = watch.watched.values().map(|run| run.id.clone()).collect();
        let mut found = Vec::new();
        for folder in &folders {
            if watch.watched.contains_key(folder.path()) {
                continue;
            }
            // A run whose card cannot be written has no id to be known by; it is looked for again.
            let Ok(card) = facts::card_of(&self.home, folder) else { continue };
            if !ids.insert(card.id.clone()) {
                continue;
            }
            let is_trash = folder.path().starts_with(self.home.trash());
            self.remember(&card.id, Known::new(folder, &card, is_trash));
            // One that moved is still the same run, its log was read.
            let before = gone.remove(&card.id).unwrap_or_default();
            let (status, seq) = (before.status, before.seq);
            watch.add(folder.path(), Watched { id: card.id, status, seq, ..Watched::default() });
            found.push(folder.path().to_owned());
        }
        for id in gone.keys() {
            self.forget(id);
        }
        if !is_first {
            found.iter().for_each(|path| self.look_at(watch, path, true));
            return;
        }
        if let Err(error) = self.runtime.block_on(forget_others(&self.storage, &ids)) {
            tracing::warn!(error = error.to_string(), "runs that are gone are still in the index");
        }
        // Those that a worker is at first.
        found.sort_by_key(|path| !path.join("worker.pid").exists());
        watch.fresh = found.into();
    }
}
