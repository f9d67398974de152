//! Events other than steps, as rows: what a log view, the marks on the curves and the samples ask
//! for. Steps are in the log itself, whose places are noted now and then.

use apertis_domain::{Event, EventKind};
use sqlx::{AnyConnection, Row};

use super::mirror::LINES_A_PLACE;
use super::rows::plain;
use crate::error::During;
use crate::statement::Statement;
use crate::{Storage, StorageError};

/// Most marks that a chart gets of evaluations, and of checkpoints.
const FREQUENT_MARKS_MAX: u64 = 1000;

/// Something that happened at a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Number of the event.
    pub seq: u64,
    /// Where.
    pub step: u64,
    /// Working time until then.
    pub elapsed_ms: u64,
    /// evaluation, checkpoint, best, pause, resume, learning_rate, rewind, sleep, extended.
    pub kind: String,
    /// What to show when it is pointed at.
    pub text: String,
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only those after this number.
    pub after: Option<u64>,
    /// Only those before this number.
    pub before: Option<u64>,
    /// Only those of these kinds; all where empty.
    pub kinds: Vec<String>,
    /// At most so many; 200 where 0.
    pub limit: u32,
    /// The newest first, instead of the oldest.
    pub is_newest_first: bool,
    /// Only what no resume or rewind took back.
    pub is_standing: bool,
}

/// An event as it stands in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// The event.
    pub event: Event,
    /// Whether no resume or rewind took it back.
    pub stands: bool,
}

/// Where a line of a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePlace {
    /// Number of its event.
    pub seq: u64,
    /// Byte at which it begins.
    pub offset: u64,
}

impl Storage {
    /// Events of a run other than steps.
    ///
    /// # Errors
    /// The database refuses, or the index is damaged.
    pub async fn events(&self, run: &str, query: &EventQuery) -> Result<Vec<StoredEvent>, StorageError> {
        let mut reading = self.read().await?;
        read_events(&mut reading, run, query).await
    }

    /// A place in a run's log at or before the line of an event, at most 1,024 lines before it:
    /// where to begin reading for it and what follows. `None` where the log begins after it.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn line_place(&self, run: &str, seq: u64) -> Result<Option<LinePlace>, StorageError> {
        let row = sqlx::query("SELECT seq, byte_offset FROM index_places WHERE run = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1")
            .bind(run)
            .bind(seq.cast_signed())
            .fetch_optional(&self.pool)
            .await
            .during("find line")?;
        let Some(row) = row else {
            return Ok(None);
        };
        let (seq, offset): (i64, i64) = (row.try_get(0).during("find line")?, row.try_get(1).during("find line")?);
        Ok(Some(LinePlace { seq: seq.cast_unsigned(), offset: offset.cast_unsigned() }))
    }
}

pub(super) async fn read_events(connection: &mut AnyConnection, run: &str, query: &EventQuery) -> Result<Vec<StoredEvent>, StorageError> {
    let mut statement = Statement::new("SELECT line, stands FROM index_events WHERE run = ");
    statement.value(run);
    if let Some(after) = query.after {
        statement.words(" AND seq > ").value(after.cast_signed());
    }
    if let Some(before) = query.before {
        statement.words(" AND seq < ").value(before.cast_signed());
    }
    if query.is_standing {
        statement.words(" AND stands = 1");
    }
    if !query.kinds.is_empty() {
        statement.words(" AND kind IN (''");
        for kind in &query.kinds {
            statement.words(", ").value(kind.as_str());
        }
        statement.words(")");
    }
    statement.words(if query.is_newest_first { " ORDER BY seq DESC LIMIT " } else { " ORDER BY seq LIMIT " });
    statement.value(i64::from(if query.limit == 0 { 200 } else { query.limit }));
    let rows = statement.rows(connection, "read events").await?;
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let line: String = row.try_get(0).during("read events")?;
        let stands: i64 = row.try_get(1).during("read events")?;
        let event = Event::from_line(&line)
            .map_err(|error| StorageError::Damaged { what: format!("events of {run}"), message: error.to_string() })?;
        events.push(StoredEvent { event, stands: stands != 0 });
    }
    Ok(events)
}

/// The marks of a run between two steps, in order. Where evaluations or checkpoints are too many
/// to be told apart, theirs are left out.
pub(crate) async fn read_marks(
    connection: &mut AnyConnection,
    run: &str,
    from: Option<u64>,
    to: Option<u64>,
) -> Result<Vec<Mark>, StorageError> {
    let range = |statement: &mut Statement| {
        statement.words(" AND stands = 1 AND step >= ").value(from.unwrap_or(0).cast_signed());
        statement.words(" AND step <= ").value(to.map_or(i64::MAX, u64::cast_signed));
    };
    let mut counts = Statement::new("SELECT mark, COUNT(*) FROM index_events WHERE run = ");
    counts.value(run).words(" AND mark <> ''");
    range(&mut counts);
    counts.words(" GROUP BY mark");
    let mut left_out = Vec::new();
    for row in counts.rows(connection, "read marks").await? {
        let mark: String = row.try_get(0).during("read marks")?;
        let count: i64 = row.try_get(1).during("read marks")?;
        if count.cast_unsigned() > FREQUENT_MARKS_MAX {
            left_out.push(mark);
        }
    }
    let mut statement = Statement::new("SELECT seq, step, elapsed_ms, mark, mark_text FROM index_events WHERE run = ");
    statement.value(run).words(" AND mark NOT IN (''");
    for mark in &left_out {
        statement.words(", ").value(mark.as_str());
    }
    statement.words(")");
    range(&mut statement);
    statement.words(" ORDER BY seq");
    let mut marks = Vec::new();
    for row in statement.rows(connection, "read marks").await? {
        let number = |index: usize| row.try_get::<i64, _>(index).map(i64::cast_unsigned).during("read marks");
        marks.push(Mark {
            seq: number(0)?,
            step: number(1)?,
            elapsed_ms: number(2)?,
            kind: row.try_get(3).during("read marks")?,
            text: row.try_get(4).during("read marks")?,
        });
    }
    Ok(marks)
}

/// Writes an event other than a step. One that it replaces no longer stands.
pub(super) async fn write_event(connection: &mut AnyConnection, run: &str, event: &Event, may_replace: bool) -> Result<(), StorageError> {
    let place = match &event.kind {
        EventKind::Sampled(sampled) => sampled.index.cast_signed(),
        _ => 0,
    };
    if may_replace {
        sqlx::query("UPDATE index_events SET stands = 0 WHERE run = $1 AND kind = $2 AND step = $3 AND place = $4 AND stands = 1")
            .bind(run)
            .bind(event.kind.name())
            .bind(event.step.cast_signed())
            .bind(place)
            .execute(&mut *connection)
            .await
            .during("write event")?;
    }
    let (mark, text) = mark_of(event).unwrap_or_default();
    sqlx::query(
        "INSERT INTO index_events (run, seq, step, elapsed_ms, kind, place, stands, mark, mark_text, line) \
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9) ON CONFLICT (run, seq) DO NOTHING",
    )
    .bind(run)
    .bind(event.seq.cast_signed())
    .bind(event.step.cast_signed())
    .bind(event.elapsed_ms.cast_signed())
    .bind(plain(event.kind.name()))
    .bind(place)
    .bind(mark)
    .bind(plain(&text))
    .bind(event.to_line())
    .execute(connection)
    .await
    .during("write event")?;
    Ok(())
}

/// Notes the place of a line, for every so many.
pub(super) async fn write_place(connection: &mut AnyConnection, run: &str, lines: u64, seq: u64, offset: u64) -> Result<(), StorageError> {
    if !lines.is_multiple_of(LINES_A_PLACE) {
        return Ok(());
    }
    sqlx::query("INSERT INTO index_places (run, seq, byte_offset) VALUES ($1, $2, $3) ON CONFLICT (run, seq) DO NOTHING")
        .bind(run)
        .bind(seq.cast_signed())
        .bind(offset.cast_signed())
        .execute(connection)
        .await
        .during("note place")?;
    Ok(())
}

/// Takes back the evaluations, checkpoints and samples of later steps.
pub(super) async fn take_back(connection: &mut AnyConnection, run: &str, after_step: u64) -> Result<(), StorageError> {
    sqlx::query(
        "UPDATE index_events SET stands = 0 WHERE run = $1 AND step > $2 AND stands = 1 \
         AND kind IN ('evaluated', 'checkpoint_saved', 'sampled')",
    )
    .bind(run)
    .bind(after_step.cast_signed())
    .execute(connection)
    .await
    .during("take events back")?;
    Ok(())
}

/// The mark that an event leaves on the curves.
fn mark_of(event: &Event) -> Option<(&'static str, String)> {
    let step = event.step;
    Some(match &event.kind {
        EventKind::Evaluated(evaluated) => {
            let kind = if evaluated.best { "best" } else { "evaluation" };
            (kind, format!("held-out loss {:.4}", evaluated.loss))
        }
        EventKind::CheckpointSaved(saved) => ("checkpoint", format!("checkpoint of step {step}, {:.1} MB", saved.bytes as f64 / 1e6)),
        EventKind::RunPaused(paused) => ("pause", format!("paused: {}", paused.reason.replace('_', " "))),
        EventKind::RunResumed(resumed) => ("resume", format!("resumed from step {}: {}", resumed.from_step, resumed.cause)),
        EventKind::RunRewound(rewound) => ("rewind", format!("back to step {}: {}", rewound.to_step, rewound.reason.replace('_', " "))),
        EventKind::LearningRateChanged(changed) => ("learning_rate", format!("learning rate {:e} → {:e}", changed.from, changed.to)),
        EventKind::EvalStepsChanged(changed) => {
            ("eval_steps", format!("evaluated every {} steps, no longer every {}", changed.to, changed.from))
        }
        EventKind::ScheduleReplanned(replanned) => {
            ("extended", format!("{} steps in all: {}", replanned.total_steps, replanned.reason.replace('_', " ")))
        }
        EventKind::WorkerSlept(slept) => ("sleep", format!("the machine slept {} s", slept.slept_ms / 1000)),
        _ => return None,
    })
}
