//! Long work of the server: its progress, its log, cancelling it, and what is left of it after a
//! restart. Engine work is done by processes of the same program, so that it can be cancelled at any
//! moment and a mistake in it takes nothing else along.

mod process;
mod save;
mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use apertis_protocol::job::{Job, NewJob};
use apertis_protocol::live::JobMessage;
use apertis_runs::Home;
use apertis_runs::clock::now_text;
use apertis_storage::record::JobRecord;
use apertis_storage::{Storage, StorageError};
use serde_json::Value;

use crate::failure::{Answer, Failure};
use crate::live::{Hub, Room};
use crate::random;
use crate::settings::Workers;
use save::Saves;

pub(crate) use work::measured;

/// Ended jobs that are kept.
const KEPT: usize = 200;
/// Progress is told at most this often.
const TOLD_INTERVAL: Duration = Duration::from_millis(250);

/// A job with what to do; an upload cannot be done again from here.
#[derive(Debug, Clone)]
struct Record {
    job: Job,
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
    saves: Saves,
}

/// A job at work, as its worker sees it.
pub(crate) struct Progress {
    jobs: Arc<Jobs>,
    id: String,
    is_cancelled: Arc<AtomicBool>,
}

impl Jobs {
    /// The jobs of a home; those that were at work when the server ended say so.
    pub(crate) async fn open(home: &Home, workers: Workers, hub: Arc<Hub>, storage: &Arc<Storage>) -> Result<Arc<Jobs>, StorageError> {
        storage.interrupt_jobs(&now_text()).await?;
        let saved = storage.jobs(u32::try_from(KEPT).unwrap_or(u32::MAX)).await?;
        let entries = saved.into_iter().map(|record| {
            let record = Record::from_saved(record);
            (record.job.id.clone(), Entry { record, is_cancelled: Arc::default(), told_at: None })
        });
        let state = Mutex::new(entries.collect());
        Ok(Arc::new(Jobs { home: home.clone(), workers, hub, state, news: Condvar::new(), saves: Saves::begin(storage.clone()) }))
    }

    /// Waits until everything that was said so far is in the database.
    pub(crate) async fn settle(&self) {
        self.saves.settle().await;
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
        self.saves.job(record.to_saved());
    }

    fn forget_old(&self) {
        let mut ended = self.all();
        ended.retain(|job| job.ended_at.is_some());
        for job in ended.iter().skip(KEPT) {
            self.lock().remove(&job.id);
            self.saves.remove(job.id.clone());
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

    /// Adds lines to its log.
    pub(crate) fn log(&self, lines: Vec<String>) {
        self.jobs.saves.lines(self.id.clone(), lines);
    }

    /// Ends it with what came out.
    pub(crate) fn end(&self, outcome: Answer<Value>) {
        if let Err(failure) = &outcome {
            self.log(vec![format!("error: {}", failure.cause.as_ref().unwrap_or(&failure.message))]);
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

impl Record {
    fn from_saved(saved: JobRecord) -> Record {
        let task = serde_json::from_value(saved.request).ok();
        let is_interrupted = saved.state == "interrupted";
        let job = Job {
            id: saved.id,
            kind: saved.kind,
            title: saved.title,
            message: if is_interrupted { "The server ended while this was at work.".to_owned() } else { saved.message },
            state: saved.state,
            progress: saved.progress,
            created_at: saved.created_at,
            ended_at: saved.ended_at,
            result: saved.result,
            failure: saved.failure,
            failure_hint: saved.failure_hint,
            can_repeat: task.is_some(),
        };
        Record { job, task }
    }

    fn to_saved(&self) -> JobRecord {
        let job = self.job.clone();
        JobRecord {
            id: job.id,
            kind: job.kind,
            title: job.title,
            state: job.state,
            progress: job.progress,
            message: job.message,
            created_at: job.created_at,
            ended_at: job.ended_at,
            request: serde_json::to_value(&self.task).expect("tasks are JSON"),
            result: job.result,
            failure: job.failure,
            failure_hint: job.failure_hint,
            can_repeat: job.can_repeat,
        }
    }
}
