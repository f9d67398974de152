//! Long work of the server: its progress, its log, cancelling it, and what is left of it after a
//! restart. Engine work is done by processes of the same program, so that it can be cancelled at any
//! moment and a mistake in it takes nothing else along.

mod process;
mod work;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use apertis_protocol::job::{Job, NewJob};
use apertis_protocol::live::JobMessage;
use apertis_runs::Home;
use apertis_runs::clock::now_text;
use apertis_runs::durable::replace_file;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Answer, Failure};
use crate::live::{Hub, Room};
use crate::random;
use crate::settings::Workers;

pub(crate) use work::measured;

/// Ended jobs that are kept.
const KEPT: usize = 200;
/// Progress is told at most this often.
const TOLD_INTERVAL: Duration = Duration::from_millis(250);

/// A job as it lies in its file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    job: Job,
    /// What to do; an upload cannot be done again from here.
    task: Option<NewJob>,
}

struct Entry {
    record: Record,
    is_cancelled: Arc<AtomicBool>,
    told_at: Option<Instant>,
}

/// All jobs of a home.
pub(crate) struct Jobs {
    home: Home,
    workers: Workers,
    hub: Arc<Hub>,
    state: Mutex<BTreeMap<String, Entry>>,
    news: Condvar,
}

/// A job at work, as its worker sees it.
pub(crate) struct Progress {
    jobs: Arc<Jobs>,
    id: String,
    is_cancelled: Arc<AtomicBool>,
}

impl Jobs {
    /// The jobs of a home; those that were at work when the server ended say so.
    pub(crate) fn open(home: &Home, workers: Workers, hub: Arc<Hub>) -> Arc<Jobs> {
        let jobs = Arc::new(Jobs { home: home.clone(), workers, hub, state: Mutex::default(), news: Condvar::new() });
        let files = fs::read_dir(jobs.folder()).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in files.filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
            let Some(mut record) = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Record>(&text).ok()) else { continue };
            if matches!(record.job.state.as_str(), "waiting" | "running") {
                record.job.state = "interrupted".to_owned();
                record.job.message = "The server ended while this was at work.".to_owned();
                record.job.ended_at = Some(now_text());
                jobs.save(&record);
            }
            let entry = Entry { record, is_cancelled: Arc::default(), told_at: None };
            jobs.lock().insert(entry.record.job.id.clone(), entry);
        }
        jobs
    }

    /// Works on waiting jobs, one at a time, on a thread of its own.
    pub(crate) fn work(self: &Arc<Self>) -> std::io::Result<()> {
        let jobs = self.clone();
        thread::Builder::new().name("jobs".to_owned()).spawn(move || {
            loop {
                let (id, task, is_cancelled) = jobs.next();
                let progress = Progress { jobs: jobs.clone(), id, is_cancelled };
                let outcome = work::run(&jobs.home, &jobs.workers, &task, &progress);
                progress.end(outcome);
            }
        })?;
        Ok(())
    }

    /// Every job, the newest first.
    pub(crate) fn all(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = self.lock().values().map(|entry| entry.record.job.clone()).collect();
        jobs.sort_by(|a, b| (&b.created_at, &b.id).cmp(&(&a.created_at, &a.id)));
        jobs
    }

    /// A job by id.
    pub(crate) fn find(&self, id: &str) -> Answer<Job> {
        self.lock().get(id).map(|entry| entry.record.job.clone()).ok_or_else(|| Failure::missing("job", id))
    }

    /// Asks for work.
    pub(crate) fn ask(&self, task: NewJob) -> Job {
        let (kind, title) = work::title(&task);
        let job = self.add(kind, title, Some(task), "waiting");
        self.news.notify_one();
        job
    }

    /// Begins work that its caller does.
    pub(crate) fn begin(self: &Arc<Self>, kind: &str, title: String) -> Progress {
        let job = self.add(kind, title, None, "running");
        let is_cancelled = self.lock().get(&job.id).map(|entry| entry.is_cancelled.clone()).unwrap_or_default();
        Progress { jobs: self.clone(), id: job.id, is_cancelled }
    }

    /// Ends a job early.
    pub(crate) fn cancel(&self, id: &str) -> Answer<Job> {
        let job = self.find(id)?;
        match job.state.as_str() {
            "waiting" => self.change(id, |job| {
                job.state = "cancelled".to_owned();
                job.ended_at = Some(now_text());
            }),
            "running" => {
                if let Some(entry) = self.lock().get(id) {
                    entry.is_cancelled.store(true, Ordering::Release);
                }
                self.change(id, |job| job.message = "It is being ended.".to_owned());
            }
            _ => return Err(Failure::new(apertis_protocol::error::ErrorCode::NotPossibleNow, "This job has ended already.")),
        }
        self.find(id)
    }

    /// Does a job's work again, as a new job.
    pub(crate) fn again(&self, id: &str) -> Answer<Job> {
        self.find(id)?;
        let task = self.lock().get(id).and_then(|entry| entry.record.task.clone());
        task.map(|task| self.ask(task)).ok_or_else(|| {
            Failure::new(apertis_protocol::error::ErrorCode::NotPossibleNow, "This work cannot be done again from here.")
                .hint("Upload the file once more.")
        })
    }

    /// Where a job's log lies.
    pub(crate) fn log_path(&self, id: &str) -> PathBuf {
        self.folder().join(format!("{id}.log"))
    }

    fn folder(&self) -> PathBuf {
        self.home.root().join("jobs")
    }

    fn add(&self, kind: &str, title: String, task: Option<NewJob>, state: &str) -> Job {
        let job = Job {
            id: random::hex::<8>(),
            kind: kind.to_owned(),
            title,
            state: state.to_owned(),
            progress: None,
            message: String::new(),
            created_at: now_text(),
            ended_at: None,
            result: Value::Null,
            failure: String::new(),
            failure_hint: String::new(),
            can_repeat: task.is_some(),
        };
        let record = Record { job: job.clone(), task };
        self.save(&record);
        let entry = Entry { record, is_cancelled: Arc::default(), told_at: None };
        self.lock().insert(job.id.clone(), entry);
        self.tell(&job);
        self.forget_old();
        job
    }

    fn next(&self) -> (String, NewJob, Arc<AtomicBool>) {
        let mut state = self.lock();
        loop {
            let waiting = state.values_mut().filter(|entry| entry.record.job.state == "waiting");
            if let Some(entry) = waiting.min_by(|a, b| a.record.job.created_at.cmp(&b.record.job.created_at))
                && let Some(task) = entry.record.task.clone()
            {
                entry.record.job.state = "running".to_owned();
                let (record, is_cancelled) = (entry.record.clone(), entry.is_cancelled.clone());
                drop(state);
                self.save(&record);
                self.tell(&record.job);
                return (record.job.id, task, is_cancelled);
            }
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Job)) {
        let mut state = self.lock();
        let Some(entry) = state.get_mut(id) else { return };
        let before = entry.record.job.state.clone();
        change(&mut entry.record.job);
        let is_new_state = before != entry.record.job.state;
        let is_due = entry.told_at.is_none_or(|at| at.elapsed() >= TOLD_INTERVAL);
        if !is_new_state && !is_due {
            return;
        }
        entry.told_at = Some(Instant::now());
        let record = entry.record.clone();
        drop(state);
        if is_new_state {
            self.save(&record);
        }
        self.tell(&record.job);
    }

    fn tell(&self, job: &Job) {
        self.hub.say(Room::Jobs, |seq, epoch| {
            let message = JobMessage { seq, epoch: epoch.to_owned(), job: job.clone() };
            serde_json::to_value(message).unwrap_or_default()
        });
    }

    fn save(&self, record: &Record) {
        let path = self.folder().join(format!("{}.json", record.job.id));
        let text = serde_json::to_vec_pretty(record).expect("jobs are JSON");
        let saved = fs::create_dir_all(self.folder()).and_then(|()| replace_file(&path, &text));
        if let Err(error) = saved {
            // The work itself says what a full disk means for it.
            tracing::error!(job = record.job.id, error = error.to_string(), "job not saved");
        }
    }

    fn forget_old(&self) {
        let mut ended = self.all();
        ended.retain(|job| job.ended_at.is_some());
        for job in ended.iter().skip(KEPT) {
            self.lock().remove(&job.id);
            for path in [self.folder().join(format!("{}.json", job.id)), self.log_path(&job.id)] {
                // What is left behind is read, and forgotten again, by the next start.
                let _ = fs::remove_file(path);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Whether somebody ended it.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// Says how far it is.
    pub(crate) fn at(&self, share: Option<f64>, message: &str) {
        self.jobs.change(&self.id, |job| {
            job.progress = share.map(|share| share.clamp(0.0, 1.0));
            job.message = message.to_owned();
        });
    }

    /// A file for what it prints.
    pub(crate) fn log(&self) -> std::io::Result<File> {
        fs::create_dir_all(self.jobs.folder())?;
        OpenOptions::new().append(true).create(true).open(self.jobs.log_path(&self.id))
    }

    /// Ends it with what came out.
    pub(crate) fn end(&self, outcome: Answer<Value>) {
        if let Err(failure) = &outcome
            && let Ok(mut log) = self.log()
        {
            // A log that cannot be written has nothing to add.
            let _ = writeln!(log, "error: {}", failure.cause.as_ref().unwrap_or(&failure.message));
        }
        let is_cancelled = self.is_cancelled();
        self.jobs.change(&self.id, |job| {
            job.ended_at = Some(now_text());
            job.message = String::new();
            match outcome {
                Ok(result) => {
                    job.state = "done".to_owned();
                    job.progress = Some(1.0);
                    job.result = result;
                }
                Err(_) if is_cancelled => job.state = "cancelled".to_owned(),
                Err(failure) => {
                    job.state = "failed".to_owned();
                    job.failure_hint = failure.hint.clone().unwrap_or_else(|| failure.code.hint().to_owned());
                    job.failure = failure.message;
                }
            }
        });
    }
}
