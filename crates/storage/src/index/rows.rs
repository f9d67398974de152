//! A run as the index holds it: what a person said of it, what its log says, and the row of a list.

use apertis_domain::RunState;
use apertis_domain::event::{DataChecked, MemoryMeasured, PlanMade, RunFailed, RunFinished, RunStarted};
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row};

use crate::error::{During, from_json, to_json};
use crate::{Storage, StorageError};

/// What belongs to a run but is not in its log: from its folder, where it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFacts {
    /// Never changes; part of addresses.
    pub id: String,
    /// Its folder, absolute or from the home.
    pub folder: String,
    /// What a person calls it.
    pub name: String,
    /// Words given by a person.
    pub tags: Vec<String>,
    /// What a person wrote about it.
    pub notes: String,
    /// The recipe's method.
    pub method: String,
    /// Name of the model it begins from.
    pub model: String,
    /// Name of its data.
    pub data: String,
    /// When it was made, in UTC; the first event's time where empty.
    pub created_at: String,
    /// Place in the queue from 1; `None` where it does not wait.
    pub queue_place: Option<u64>,
    /// The sweep it belongs to.
    pub sweep: Option<String>,
    /// Whether it lies in the trash.
    pub is_trash: bool,
}

/// A state as words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunStatus {
    /// queued, training, not_answering, …
    pub name: String,
    /// Why it pauses or finished, the code of the failure, or the other host.
    pub reason: String,
    /// What a person reads.
    pub text: String,
    /// Whether a worker is expected to be at work on it.
    pub is_active: bool,
}

impl From<&RunState> for RunStatus {
    fn from(state: &RunState) -> RunStatus {
        let reason = match state {
            RunState::Paused { reason } | RunState::Finished { reason } => reason.clone(),
            RunState::Failed { code } => code.clone(),
            RunState::Elsewhere { host } => host.clone(),
            _ => String::new(),
        };
        RunStatus { name: state.name().to_owned(), reason, text: state.to_string(), is_active: state.is_active() }
    }
}

/// A run in a list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRow {
    /// What belongs to it but is not in its log.
    pub facts: RunFacts,
    /// What it is doing.
    pub status: RunStatus,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run; 0 while unknown.
    pub total_steps: u64,
    /// Real tokens trained on.
    pub tokens: u64,
    /// Passes through the data so far.
    pub epoch: f64,
    /// Mean loss of the newest steps, at most 20.
    pub train_loss: Option<f64>,
    /// Lowest held-out loss.
    pub best_loss: Option<f64>,
    /// Its step.
    pub best_step: Option<u64>,
    /// Real tokens a second over the newest steps, at most 20.
    pub tokens_per_second: Option<f64>,
    /// Working time.
    pub elapsed_ms: u64,
    /// Working time that is left, where it is active.
    pub left_ms: Option<u64>,
    /// Loss in training, at most 48 values evenly over its steps.
    pub curve: Vec<Option<f32>>,
    /// When it was made.
    pub created_at: String,
    /// When its newest event was written.
    pub changed_at: String,
    /// Why it failed, in one sentence.
    pub failure: String,
    /// What to do about it.
    pub failure_hint: String,
    /// Worker starts.
    pub attempt: u32,
    /// Number of the newest event; `None` before the first.
    pub seq: Option<u64>,
}

/// What a run's page shows beyond its row, from the log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunDetails {
    /// The start.
    pub started: Option<RunStarted>,
    /// What the data check counted.
    pub data: Option<DataChecked>,
    /// The newest plan.
    pub plan: Option<PlanMade>,
    /// Memory as measured.
    pub memory: Option<MemoryMeasured>,
    /// The end, if it was reached.
    pub finished: Option<RunFinished>,
    /// The failure, if it is the end.
    pub failed: Option<RunFailed>,
    /// Lines of the log that are no events.
    pub bad_lines: u64,
}

/// A run whole.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexedRun {
    /// Its row.
    pub row: RunRow,
    /// The rest.
    pub details: RunDetails,
}

impl Storage {
    /// A run, if the index has it.
    ///
    /// # Errors
    /// The database refuses, or the index is damaged.
    pub async fn run(&self, id: &str) -> Result<Option<IndexedRun>, StorageError> {
        let row = sqlx::query("SELECT body, details FROM index_rows WHERE run = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .during("read run")?;
        let Some(row) = row else {
            return Ok(None);
        };
        let body: String = row.try_get(0).during("read run")?;
        let details: String = row.try_get(1).during("read run")?;
        Ok(Some(IndexedRun { row: from_json("run", &body)?, details: from_json("run", &details)? }))
    }

    /// Rows of runs, in the order of the ids; those that the index does not have are left out.
    ///
    /// # Errors
    /// The database refuses, or the index is damaged.
    pub async fn rows(&self, ids: &[String]) -> Result<Vec<RunRow>, StorageError> {
        let mut reading = self.read().await?;
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            rows.extend(read_row(&mut reading, id).await?);
        }
        Ok(rows)
    }

    /// The ids of all runs, those in the trash too.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn run_ids(&self) -> Result<Vec<String>, StorageError> {
        let rows = sqlx::query("SELECT id FROM index_runs ORDER BY id").fetch_all(&self.pool).await.during("list runs")?;
        rows.iter().map(|row| row.try_get(0).during("list runs")).collect()
    }

    /// Every tag with the number of runs that have it, by name; runs in the trash do not count.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn tags(&self) -> Result<Vec<(String, u64)>, StorageError> {
        let rows =
            sqlx::query("SELECT tag, COUNT(*) FROM index_tags JOIN index_runs ON id = run WHERE is_trash = 0 GROUP BY tag ORDER BY tag")
                .fetch_all(&self.pool)
                .await
                .during("list tags")?;
        let mut tags = Vec::with_capacity(rows.len());
        for row in rows {
            let count: i64 = row.try_get(1).during("list tags")?;
            tags.push((row.try_get(0).during("list tags")?, count.cast_unsigned()));
        }
        Ok(tags)
    }
}

/// Reads one row.
pub(super) async fn read_row(connection: &mut AnyConnection, id: &str) -> Result<Option<RunRow>, StorageError> {
    let row = sqlx::query("SELECT body FROM index_rows WHERE run = $1").bind(id).fetch_optional(connection).await.during("read run")?;
    let Some(row) = row else {
        return Ok(None);
    };
    let body: String = row.try_get(0).during("read run")?;
    from_json("run", &body).map(Some)
}

/// Writes a run's row, and what it is found and sorted by.
pub(super) async fn write_run(connection: &mut AnyConnection, row: &RunRow, details: &RunDetails) -> Result<(), StorageError> {
    let facts = &row.facts;
    sqlx::query(
        "INSERT INTO index_runs (id, is_trash, is_active, created, changed, name, state, step, elapsed, best_loss, \
         tokens_per_second, queue_place, model, data, sweep, words) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $17 = 1 THEN $10 END, CASE WHEN $18 = 1 THEN $11 END, \
         $12, $13, $14, $15, $16) \
         ON CONFLICT (id) DO UPDATE SET is_trash = excluded.is_trash, is_active = excluded.is_active, \
         created = excluded.created, changed = excluded.changed, name = excluded.name, state = excluded.state, \
         step = excluded.step, elapsed = excluded.elapsed, best_loss = excluded.best_loss, \
         tokens_per_second = excluded.tokens_per_second, queue_place = excluded.queue_place, model = excluded.model, \
         data = excluded.data, sweep = excluded.sweep, words = excluded.words",
    )
    .bind(facts.id.as_str())
    .bind(i64::from(facts.is_trash))
    .bind(i64::from(row.status.is_active))
    .bind(row.created_at.as_str())
    .bind(row.changed_at.as_str())
    .bind(name_key(&facts.name))
    .bind(row.status.name.as_str())
    .bind(row.step.cast_signed())
    .bind(row.elapsed_ms.cast_signed())
    // An absent double would be sent to PostgreSQL as one of half the size.
    .bind(row.best_loss.unwrap_or_default())
    .bind(row.tokens_per_second.unwrap_or_default())
    .bind(facts.queue_place.map(u64::cast_signed))
    .bind(plain(&facts.model))
    .bind(plain(&facts.data))
    .bind(plain(facts.sweep.as_deref().unwrap_or_default()))
    .bind(words(facts))
    .bind(i64::from(row.best_loss.is_some()))
    .bind(i64::from(row.tokens_per_second.is_some()))
    .execute(&mut *connection)
    .await
    .during("write run")?;
    sqlx::query(
        "INSERT INTO index_rows (run, body, details) VALUES ($1, $2, $3) \
         ON CONFLICT (run) DO UPDATE SET body = excluded.body, details = excluded.details",
    )
    .bind(facts.id.as_str())
    .bind(to_json(row))
    .bind(to_json(details))
    .execute(connection)
    .await
    .during("write run")?;
    Ok(())
}

/// Writes the tags of a run anew.
pub(super) async fn write_tags(connection: &mut AnyConnection, facts: &RunFacts) -> Result<(), StorageError> {
    sqlx::query("DELETE FROM index_tags WHERE run = $1").bind(facts.id.as_str()).execute(&mut *connection).await.during("write tags")?;
    for tag in &facts.tags {
        sqlx::query("INSERT INTO index_tags (run, tag) VALUES ($1, $2) ON CONFLICT (run, tag) DO NOTHING")
            .bind(facts.id.as_str())
            .bind(plain(tag))
            .execute(&mut *connection)
            .await
            .during("write tags")?;
    }
    Ok(())
}

/// Sorts names without regard to case, and `lora-2` before `lora-10`.
fn name_key(name: &str) -> String {
    let mut key = String::with_capacity(name.len() + 12);
    let mut digits = String::new();
    for letter in name.to_lowercase().chars().filter(|letter| *letter != '\0').chain(['\u{1}']) {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        if !digits.is_empty() {
            let number = digits.trim_start_matches('0');
            key.push_str(&format!("{number:0>20}"));
            digits.clear();
        }
        if letter != '\u{1}' {
            key.push(letter);
        }
    }
    key
}

/// A text that both databases take.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "")
}

/// What a search looks through.
fn words(facts: &RunFacts) -> String {
    let parts = [&facts.name, &facts.model, &facts.data, &facts.method, &facts.notes];
    let mut words = String::new();
    for part in parts.into_iter().chain(&facts.tags) {
        words.push_str(&plain(part).to_lowercase());
        words.push('\n');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_people_count() {
        let mut names = ["lora-10", "Lora-2", "zebra", "lora-1b", "ärger", "lora"];
        names.sort_by_key(|name| name_key(name));
        assert_eq!(names, ["lora", "lora-1b", "Lora-2", "lora-10", "zebra", "ärger"]);
    }
}
