//! The state of a token cache while it grows: which blocks can be read, whether more will come,
//! and what went wrong. Readers wait here for the block that they need.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Shard;
use crate::error::DatasetError;
use crate::report::DataReport;

/// State shared by the maker and all readers.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Hash of the files, the tokenizer and the settings: what the cache is named by.
    pub(crate) key: String,
    state: Mutex<State>,
    changed: Condvar,
    /// Bytes read from disk so far.
    pub(crate) position: Arc<AtomicU64>,
    /// Bytes of all files.
    pub(crate) bytes_total: u64,
    is_cancelled: AtomicBool,
}

#[derive(Debug)]
struct State {
    shards: Vec<Arc<Shard>>,
    is_complete: bool,
    error: Option<Arc<DatasetError>>,
    report: DataReport,
}

impl Shared {
    pub(crate) fn new(key: String, report: DataReport, shards: Vec<Shard>, is_complete: bool, bytes_total: u64) -> Self {
        Self {
            key,
            state: Mutex::new(State { shards: shards.into_iter().map(Arc::new).collect(), is_complete, error: None, report }),
            changed: Condvar::new(),
            position: Arc::new(AtomicU64::new(if is_complete { bytes_total } else { 0 })),
            bytes_total,
            is_cancelled: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every update leaves the state whole, so that a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish(&self, shard: Shard, report: DataReport) {
        let mut state = self.lock();
        state.shards.push(Arc::new(shard));
        state.report = report;
        self.changed.notify_all();
    }

    /// Ends the growth, with a last block where one is left.
    pub(crate) fn finish(&self, last: Option<Shard>, report: DataReport) {
        let mut state = self.lock();
        state.shards.extend(last.map(Arc::new));
        state.is_complete = true;
        state.report = report;
        self.changed.notify_all();
    }

    pub(crate) fn fail(&self, error: DatasetError) {
        self.lock().error = Some(Arc::new(error));
        self.changed.notify_all();
    }

    pub(crate) fn report(&self) -> DataReport {
        self.lock().report.clone()
    }

    /// The blocks so far, and whether they are all.
    pub(crate) fn blocks(&self) -> Result<(Vec<Arc<Shard>>, bool), DatasetError> {
        let state = self.lock();
        match &state.error {
            Some(error) => Err(DatasetError::Preparation(error.clone())),
            None => Ok((state.shards.clone(), state.is_complete)),
        }
    }

    /// Waits until there are more than `known` blocks, or all, or the time is up.
    pub(crate) fn wait_for_more(&self, known: usize, timeout: Duration) {
        let state = self.lock();
        let waits = |state: &mut State| state.shards.len() <= known && !state.is_complete && state.error.is_none();
        drop(self.changed.wait_timeout_while(state, timeout, waits));
    }

    pub(crate) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

/// Held by readers: when the last one goes, the maker stops.
#[derive(Debug)]
pub(crate) struct Handle(pub(crate) Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
