//! Checkpoints on disk: whole or absent, whatever happens while they are written.
//!
//! A folder is written as `.tmp`, made durable and renamed once; then `index.json`, the only
//! thing that says which checkpoints exist, is replaced; then what it no longer names goes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use apertis_domain::event::CheckpointSaved;
use apertis_domain::{CheckpointMark, CheckpointRef, CheckpointStore, SinkError};
use serde::{Deserialize, Serialize};

use crate::durable::{replace_file, sync_folder};
use crate::error::{AtPath, sink_error};
use crate::links::point_link;
use crate::{RunFolder, RunsError};

/// Version of `index.json` that this program writes.
const INDEX_VERSION: u32 = 1;

/// The checkpoints of a run, as `checkpoints/index.json` names them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckpointIndex {
    /// Version of the format.
    pub v: u32,
    /// Step of the best one.
    pub best: Option<u64>,
    /// Step of the one to resume from.
    pub last: Option<u64>,
    /// All of them, by step.
    pub checkpoints: Vec<CheckpointEntry>,
}

/// One checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckpointEntry {
    /// The step after which it was saved.
    pub step: u64,
    /// Name of its folder.
    pub folder: String,
    /// Size of its files.
    pub bytes: u64,
    /// BLAKE3 of each file, by path inside the folder.
    pub files: BTreeMap<String, String>,
}

impl CheckpointIndex {
    /// Reads the index of a run; a missing one is empty.
    ///
    /// # Errors
    /// It cannot be read, or is not an index.
    pub fn read(folder: &RunFolder) -> Result<CheckpointIndex, RunsError> {
        let path = folder.checkpoints().join("index.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(CheckpointIndex::default());
            }
            Err(source) => return Err(RunsError::File { operation: "read", path, source }),
        };
        serde_json::from_slice(&text).map_err(|error| RunsError::Damaged { path, message: error.to_string() })
    }

    fn entry(&self, step: u64) -> Option<&CheckpointEntry> {
        self.checkpoints.iter().find(|entry| entry.step == step)
    }
}

/// The checkpoints of a run, for its worker.
#[derive(Debug)]
pub struct FolderStore {
    root: PathBuf,
    index: CheckpointIndex,
    keep: usize,
    begun: Option<(u64, PathBuf, Instant)>,
}

impl FolderStore {
    /// Opens the checkpoints of a run: what an interrupted worker left is removed, damaged
    /// checkpoints are put aside, and the links are made anew.
    ///
    /// `keep` counts checkpoints; the best and the last are always kept. Returns what was put
    /// aside, one sentence each.
    ///
    /// # Errors
    /// The folder cannot be read or written, or the index is damaged.
    pub fn open(folder: &RunFolder, keep: usize) -> Result<(FolderStore, Vec<String>), RunsError> {
        let root = folder.checkpoints();
        fs::create_dir_all(&root).at("create folder", &root)?;
        let index = CheckpointIndex::read(folder)?;
        let mut store = FolderStore { root, index, keep, begun: None };
        let damaged = store.put_damaged_aside()?;
        store.remove_unnamed()?;
        store.point_links().at("link", &store.root)?;
        Ok((store, damaged))
    }

    /// Checks the last checkpoint against its checksums; where it is damaged, the newest good
    /// one before it takes its place.
    fn put_damaged_aside(&mut self) -> Result<Vec<String>, RunsError> {
        let mut damaged = Vec::new();
        while let Some(entry) = self.index.last.and_then(|step| self.index.entry(step)) {
            let Err(message) = verify(&self.root.join(&entry.folder), entry) else {
                break;
            };
            let (step, name) = (entry.step, entry.folder.clone());
            damaged.push(format!("{name}: {message}"));
            let (from, to) = (self.root.join(&name), self.root.join(format!("{name}.damaged")));
            if from.exists() {
                fs::rename(&from, &to).at("rename", &from)?;
            }
            self.index.checkpoints.retain(|entry| entry.step != step);
            self.index.last = self.index.checkpoints.iter().map(|entry| entry.step).max();
            if self.index.best == Some(step) {
                self.index.best = None;
            }
            self.write_index().at("write", &self.root.join("index.json"))?;
        }
        Ok(damaged)
    }

    /// Removes folders that the index does not name: unfinished or no longer kept.
    fn remove_unnamed(&self) -> Result<(), RunsError> {
        for entry in fs::read_dir(&self.root).at("list", &self.root)? {
            let entry = entry.at("list", &self.root)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_named = self.index.checkpoints.iter().any(|entry| entry.folder == name);
            let is_ours = name.starts_with("step-") && !name.ends_with(".damaged");
            let path = entry.path();
            if is_ours && !is_named {
                fs::remove_dir_all(&path).at("remove", &path)?;
            } else if !path.is_dir() && name.ends_with(".tmp") {
                fs::remove_file(&path).at("remove", &path)?;
            }
        }
        Ok(())
    }

    fn point_links(&self) -> io::Result<()> {
        for (name, step) in [("best", self.index.best), ("last", self.index.last)] {
            let target = step.and_then(|step| self.index.entry(step));
            point_link(&self.root, name, target.map(|entry| entry.folder.as_str()))?;
        }
        Ok(())
    }

    fn write_index(&self) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(&self.index).expect("the index is JSON");
        text.push(b'\n');
        replace_file(&self.root.join("index.json"), &text)
    }

    /// Takes entries out of the index that are no longer kept.
    fn prune(&mut self) {
        let (best, last) = (self.index.best, self.index.last);
        let is_marked = |step| Some(step) == best || Some(step) == last;
        let entries = &self.index.checkpoints;
        let marked = entries.iter().filter(|entry| is_marked(entry.step)).count();
        let mut others: Vec<u64> = entries.iter().map(|entry| entry.step).filter(|step| !is_marked(*step)).collect();
        others.sort_unstable();
        let surplus = others.len().saturating_sub(self.keep.saturating_sub(marked));
        let gone = &others[..surplus];
        self.index.checkpoints.retain(|entry| !gone.contains(&entry.step));
    }

    /// The first folder name for a step that is free: a checkpoint is never changed.
    fn folder_name(&self, step: u64) -> String {
        let name = format!("step-{step:06}");
        let others = (2..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.clone()).chain(others).find(|name| !self.root.join(name).exists()).expect("numbers do not run out")
    }

    /// The folder and when it was begun, if one was begun for that step.
    fn take_begun(&mut self, step: u64) -> Result<(PathBuf, Instant), RunsError> {
        match self.begun.take() {
            Some((begun, path, at)) if begun == step => Ok((path, at)),
            _ => Err(RunsError::Damaged { path: self.root.clone(), message: format!("commit of step {step} without its begin") }),
        }
    }

    fn commit_folder(&mut self, step: u64, mark: CheckpointMark) -> Result<CheckpointSaved, RunsError> {
        let (temporary, began) = self.take_begun(step)?;
        let mut entry = CheckpointEntry { step, folder: self.folder_name(step), ..CheckpointEntry::default() };
        describe(&temporary, "", &mut entry).at("save checkpoint", &temporary)?;
        let path = self.root.join(&entry.folder);
        fs::rename(&temporary, &path).at("rename", &temporary)?;
        sync_folder(&self.root).at("sync", &self.root)?;

        let before = self.index.clone();
        let (folder, bytes) = (entry.folder.clone(), entry.bytes);
        self.index.v = INDEX_VERSION;
        self.index.checkpoints.retain(|entry| entry.step != step);
        self.index.checkpoints.push(entry);
        self.index.checkpoints.sort_by_key(|entry| entry.step);
        if mark.is_best {
            self.index.best = Some(step);
        }
        if mark.is_last {
            self.index.last = Some(step);
        }
        self.prune();
        if let Err(source) = self.write_index() {
            self.index = before;
            let _ = fs::remove_dir_all(&path);
            return Err(RunsError::File { operation: "write", path: self.root.join("index.json"), source });
        }
        self.point_links().at("link", &self.root)?;
        self.remove_unnamed()?;
        Ok(CheckpointSaved {
            path: format!("checkpoints/{folder}"),
            bytes,
            best: mark.is_best,
            last: mark.is_last,
            duration_ms: began.elapsed().as_secs_f64() * 1000.0,
        })
    }

    fn reference(&self, step: Option<u64>) -> Option<CheckpointRef> {
        let entry = self.index.entry(step?)?;
        Some(CheckpointRef { step: entry.step, folder: self.root.join(&entry.folder) })
    }
}

impl CheckpointStore for FolderStore {
    fn begin(&mut self, step: u64) -> Result<PathBuf, SinkError> {
        let path = self.root.join(format!("step-{step:06}.tmp"));
        let made = (|| {
            if path.exists() {
                fs::remove_dir_all(&path)?;
            }
            fs::create_dir(&path)
        })();
        made.at("create folder", &path).map_err(sink_error)?;
        self.begun = Some((step, path.clone(), Instant::now()));
        Ok(path)
    }

    fn commit(&mut self, step: u64, mark: CheckpointMark) -> Result<CheckpointSaved, SinkError> {
        let committed = self.commit_folder(step, mark);
        if committed.is_err() {
            // The next start removes what cannot be removed now.
            let _ = fs::remove_dir_all(self.root.join(format!("step-{step:06}.tmp")));
        }
        committed.map_err(sink_error)
    }

    fn discard(&mut self, step: u64) {
        self.begun = None;
        let _ = fs::remove_dir_all(self.root.join(format!("step-{step:06}.tmp")));
    }

    fn best(&self) -> Option<CheckpointRef> {
        self.reference(self.index.best)
    }

    fn last(&self) -> Option<CheckpointRef> {
        self.reference(self.index.last)
    }

    fn mark_best(&mut self, step: u64) -> Result<(), SinkError> {
        let path = self.root.join("index.json");
        if self.index.entry(step).is_none() {
            return Err(sink_error(RunsError::Damaged { path, message: format!("there is no checkpoint of step {step}") }));
        }
        let before = self.index.best.replace(step);
        self.write_index()
            .inspect_err(|_| self.index.best = before)
            .and_then(|()| self.point_links())
            .at("write", &path)
            .map_err(sink_error)
    }
}

/// Makes every file of a folder durable and notes its size and checksum.
fn describe(folder: &Path, prefix: &str, entry: &mut CheckpointEntry) -> io::Result<()> {
    for child in fs::read_dir(folder)? {
        let child = child?;
        let name = format!("{prefix}{}", child.file_name().to_string_lossy());
        if child.file_type()?.is_dir() {
            describe(&child.path(), &format!("{name}/"), entry)?;
            continue;
        }
        let file = File::open(child.path())?;
        file.sync_all()?;
        entry.bytes += file.metadata()?.len();
        entry.files.insert(name, checksum(file)?);
    }
    sync_folder(folder)
}

/// Compares a checkpoint with what was saved, or says what differs.
fn verify(folder: &Path, entry: &CheckpointEntry) -> Result<(), String> {
    for (name, expected) in &entry.files {
        let found = File::open(folder.join(name)).and_then(checksum).map_err(|error| format!("{name}: {error}"))?;
        if found != *expected {
            return Err(format!("{name}: expected checksum {expected}, found {found}"));
        }
    }
    if entry.files.is_empty() && !folder.is_dir() {
        return Err("its folder is gone".to_owned());
    }
    Ok(())
}

fn checksum(mut file: File) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; 1 << 18];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            size => hasher.update(&block[..size]),
        };
    }
}
