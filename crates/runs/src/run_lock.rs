//! The reproducibility record of a run: what it was made from and on.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use crate::durable::replace_file;
use crate::error::AtPath;
use crate::{RunFolder, RunsError};

/// `run.lock`: written once, before the first step; resume uses what it fixes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunLock {
    /// Version of the program.
    pub version: String,
    /// When it was written, in UTC.
    pub created_at: String,
    /// Operating system and architecture.
    pub platform: String,
    /// Processor name.
    pub processor: String,
    /// Device trained on.
    pub device: String,
    /// Threads; results do not depend on them.
    pub threads: u64,
    /// Instructions used; resume uses the same.
    pub instruction_set: String,
    /// Number format.
    pub precision: String,
    /// Most tokens computed at once; resume uses the same, until an event changes it.
    pub micro_batch_tokens: u64,
    /// Whether activations are computed again.
    pub recompute: bool,
    /// BLAKE3 of the base model's files; empty for method=scratch.
    pub model_hash: String,
    /// BLAKE3 of the training data.
    pub data_hash: String,
    /// BLAKE3 of the evaluation data, where it is a file of its own.
    pub eval_data_hash: String,
    /// BLAKE3 of tokenizer and chat template.
    pub tokenizer_hash: String,
}

impl RunLock {
    /// The record of a run; `None` before the first step.
    ///
    /// # Errors
    /// It cannot be read, or is not one.
    pub fn read(folder: &RunFolder) -> Result<Option<RunLock>, RunsError> {
        let path = folder.run_lock();
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map(Some).map_err(|error| RunsError::Damaged { path, message: error.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RunsError::File { operation: "read", path, source }),
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &RunFolder) -> Result<(), RunsError> {
        let path = folder.run_lock();
        let text = format!("# What this run was made from and on.\n{}", toml::to_string(self).expect("texts and numbers are TOML"));
        replace_file(&path, text.as_bytes()).at("write", &path)
    }

    /// What differs between this record and what a resume finds, in words; the threads, the
    /// time and the version aside.
    pub fn differences(&self, found: &RunLock) -> Vec<String> {
        let pairs = [
            ("base model", &self.model_hash, &found.model_hash),
            ("data", &self.data_hash, &found.data_hash),
            ("evaluation data", &self.eval_data_hash, &found.eval_data_hash),
            ("tokenizer", &self.tokenizer_hash, &found.tokenizer_hash),
            ("instruction set", &self.instruction_set, &found.instruction_set),
            ("precision", &self.precision, &found.precision),
        ];
        let differing = pairs.iter().filter(|(_, before, now)| before != now);
        differing.map(|(what, before, now)| format!("{what}: {before} before, {now} now")).collect()
    }
}
