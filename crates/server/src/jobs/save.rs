//! Writing jobs to the database in the order in which they changed, beside the threads that work.

use std::sync::Arc;

use apertis_runs::clock::now_text;
use apertis_storage::Storage;
use apertis_storage::record::JobRecord;
use tokio::sync::{mpsc, oneshot};

/// Lines of a job's log that are kept, the first ones.
const LINES_MAX: u64 = 5_000;

enum Saving {
    Job(Box<JobRecord>),
    Lines(String, Vec<String>),
    Remove(String),
    Settle(oneshot::Sender<()>),
}

/// What is to be written.
pub(super) struct Saves(mpsc::UnboundedSender<Saving>);

impl Saves {
    /// Writes on a task of its own, for as long as this lives.
    pub(super) fn begin(storage: Arc<Storage>) -> Saves {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(saving) = receiver.recv().await {
                let saved = match saving {
                    Saving::Job(job) => storage.save_job(&job).await,
                    Saving::Lines(job, lines) => add_lines(&storage, &job, lines).await,
                    Saving::Remove(job) => storage.remove_job(&job).await.map(|_| ()),
                    Saving::Settle(done) => {
                        // Whoever waited may have gone.
                        let _ = done.send(());
                        Ok(())
                    }
                };
                if let Err(error) = saved {
                    // The work itself says what a full disk means for it.
                    tracing::error!(error = error.to_string(), "job not saved");
                }
            }
        });
        Saves(sender)
    }

    pub(super) fn job(&self, job: JobRecord) {
        self.put(Saving::Job(Box::new(job)));
    }

    pub(super) fn lines(&self, job: String, lines: Vec<String>) {
        self.put(Saving::Lines(job, lines));
    }

    pub(super) fn remove(&self, job: String) {
        self.put(Saving::Remove(job));
    }

    /// Waits until everything before this is written.
    pub(super) async fn settle(&self) {
        let (sender, receiver) = oneshot::channel();
        self.put(Saving::Settle(sender));
        // It is dropped unanswered where the server ends.
        let _ = receiver.await;
    }

    fn put(&self, saving: Saving) {
        // The task ends with the server, when nothing is kept any more.
        let _ = self.0.send(saving);
    }
}

async fn add_lines(storage: &Storage, job: &str, mut lines: Vec<String>) -> Result<(), apertis_storage::StorageError> {
    let has_last = !storage.job_lines(job, LINES_MAX - 1, 1).await?.is_empty();
    if has_last {
        return Ok(());
    }
    lines.truncate(LINES_MAX as usize);
    storage.add_job_lines(job, &now_text(), &lines).await
}
