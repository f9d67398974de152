//! Jobs of the server with their logs: they outlive it, or say that they were interrupted.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{AnyConnection, Row};

use crate::error::{During, from_json, to_json};
use crate::{Storage, StorageError};

/// A job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobRecord {
    /// Its id.
    pub id: String,
    /// upload, tokenise, …
    pub kind: String,
    /// What a person reads.
    pub title: String,
    /// waiting, running, done, failed, cancelled or interrupted.
    pub state: String,
    /// Share done, 0–1.
    pub progress: Option<f64>,
    /// What it does now.
    pub message: String,
    /// When it was asked for.
    pub created_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// What was asked for, to do it again.
    pub request: Value,
    /// What came out.
    pub result: Value,
    /// Why it failed.
    pub failure: String,
    /// What to do about it.
    pub failure_hint: String,
    /// Whether it can be run again.
    pub can_repeat: bool,
}

/// A line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobLine {
    /// From 1.
    pub number: u64,
    /// When.
    pub at: String,
    /// What.
    pub text: String,
}

impl Storage {
    /// Saves a job, new or changed.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn save_job(&self, job: &JobRecord) -> Result<(), StorageError> {
        let mut writing = self.write().await?;
        save(&mut writing.transaction, job).await?;
        writing.commit().await
    }

    /// A job, if there is one of that id.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn job(&self, id: &str) -> Result<Option<JobRecord>, StorageError> {
        let row = sqlx::query("SELECT body FROM record_jobs WHERE id = $1").bind(id).fetch_optional(&self.pool).await.during("read job")?;
        row.map(|row| from_json("job", &row.try_get::<String, _>(0).during("read job")?)).transpose()
    }

    /// The newest jobs, the newest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn jobs(&self, limit: u32) -> Result<Vec<JobRecord>, StorageError> {
        let rows = sqlx::query("SELECT body FROM record_jobs ORDER BY created_at DESC, id DESC LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .during("list jobs")?;
        rows.iter().map(|row| from_json("job", &row.try_get::<String, _>(0).during("list jobs")?)).collect()
    }

    /// Marks the jobs that were waiting or running when the server ended as interrupted, and
    /// returns them. To be called once at a start, before any job begins.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn interrupt_jobs(&self, at: &str) -> Result<Vec<JobRecord>, StorageError> {
        let mut writing = self.write().await?;
        let rows = sqlx::query("SELECT body FROM record_jobs WHERE state IN ('waiting', 'running') ORDER BY created_at, id")
            .fetch_all(&mut *writing.transaction)
            .await
            .during("interrupt jobs")?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            let mut job: JobRecord = from_json("job", &row.try_get::<String, _>(0).during("interrupt jobs")?)?;
            job.state = "interrupted".to_owned();
            job.ended_at = Some(at.to_owned());
            save(&mut writing.transaction, &job).await?;
            jobs.push(job);
        }
        writing.commit().await?;
        Ok(jobs)
    }

    /// Removes a job with its log. Returns whether there was one.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn remove_job(&self, id: &str) -> Result<bool, StorageError> {
        let mut writing = self.write().await?;
        let done =
            sqlx::query("DELETE FROM record_jobs WHERE id = $1").bind(id).execute(&mut *writing.transaction).await.during("remove job")?;
        sqlx::query("DELETE FROM record_job_lines WHERE job = $1")
            .bind(id)
            .execute(&mut *writing.transaction)
            .await
            .during("remove job")?;
        writing.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Adds lines to the end of a job's log.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn add_job_lines(&self, job: &str, at: &str, lines: &[String]) -> Result<(), StorageError> {
        let mut writing = self.write().await?;
        let row = sqlx::query("SELECT COALESCE(MAX(number), 0) FROM record_job_lines WHERE job = $1")
            .bind(job)
            .fetch_one(&mut *writing.transaction)
            .await
            .during("write job's log")?;
        let last: i64 = row.try_get(0).during("write job's log")?;
        for (number, line) in (last + 1..).zip(lines) {
            sqlx::query("INSERT INTO record_job_lines (job, number, at, text) VALUES ($1, $2, $3, $4)")
                .bind(job)
                .bind(number)
                .bind(at)
                .bind(line.replace('\0', ""))
                .execute(&mut *writing.transaction)
                .await
                .during("write job's log")?;
        }
        writing.commit().await
    }

    /// Lines of a job's log after a number, at most so many.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn job_lines(&self, job: &str, after: u64, limit: u32) -> Result<Vec<JobLine>, StorageError> {
        let rows = sqlx::query("SELECT number, at, text FROM record_job_lines WHERE job = $1 AND number > $2 ORDER BY number LIMIT $3")
            .bind(job)
            .bind(after.cast_signed())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .during("read job's log")?;
        let mut lines = Vec::with_capacity(rows.len());
        for row in rows {
            let number: i64 = row.try_get(0).during("read job's log")?;
            lines.push(JobLine {
                number: number.cast_unsigned(),
                at: row.try_get(1).during("read job's log")?,
                text: row.try_get(2).during("read job's log")?,
            });
        }
        Ok(lines)
    }
}

async fn save(connection: &mut AnyConnection, job: &JobRecord) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO record_jobs (id, created_at, state, body) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, state = excluded.state, body = excluded.body",
    )
    .bind(job.id.as_str())
    .bind(job.created_at.as_str())
    .bind(job.state.as_str())
    .bind(to_json(job))
    .execute(connection)
    .await
    .during("save job")?;
    Ok(())
}
