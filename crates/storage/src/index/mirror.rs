//! Taking new lines of a run's log into the index, in one transaction with their place in it:
//! whatever dies when, the index is as of some line, and goes on after it.

use std::collections::BTreeMap;

use apertis_domain::event::{Evaluated, StepFinished};
use apertis_domain::history::supersedes_after;
use apertis_domain::{Event, EventKind};
use sqlx::{AnyConnection, Row};

use super::events::{self, EventQuery};
use super::fold::{Best, Fold, Recent};
use super::parts::{LogLine, LogPart, LogPlace, Mirrored, RunParts, SamplePart};
use super::rows::{read_row, write_run, write_tags};
use crate::error::{During, from_json, to_json};
use crate::points::{self, EVALUATIONS, Place, Points, STEPS, SYSTEM, Track, TrackKey};
use crate::{Storage, StorageError};

/// Every so many lines their place is noted.
pub(super) const LINES_A_PLACE: u64 = 1024;

/// Values of the curve in a list.
const CURVE_MAX: u64 = 48;

/// Names of the followed files in `index_logs`.
const LOG: &str = "events";
const SAMPLES: &str = "system";

/// Every table of the index with the column that names the run, but for those without.
const TABLES: &[(&str, &str)] = &[
    ("index_runs", "DELETE FROM index_runs WHERE id = $1"),
    ("index_rows", "DELETE FROM index_rows WHERE run = $1"),
    ("index_tags", "DELETE FROM index_tags WHERE run = $1"),
    ("index_logs", "DELETE FROM index_logs WHERE run = $1"),
    ("index_places", "DELETE FROM index_places WHERE run = $1"),
    ("index_events", "DELETE FROM index_events WHERE run = $1"),
    ("index_tracks", "DELETE FROM index_tracks WHERE run = $1"),
    ("index_chunks", "DELETE FROM index_chunks WHERE run = $1"),
];

impl Storage {
    /// Takes in what is new of a run, in one transaction.
    ///
    /// # Errors
    /// The database refuses; or a part begins neither where the index ends
    /// ([`StorageError::PlaceMoved`]) nor at the beginning of the file.
    pub async fn mirror(&self, parts: &RunParts) -> Result<Mirrored, StorageError> {
        let mut writing = self.write().await?;
        let run = parts.facts.id.as_str();
        let before = read_row(&mut writing.transaction, run).await?;
        let mut mirror = Mirror::open(&mut writing.transaction, run).await?;
        let has_new_steps = match &parts.log {
            Some(log) => mirror.take_log(log).await?,
            None => false,
        };
        if let Some(samples) = &parts.samples {
            mirror.take_samples(samples).await?;
        }
        let curve = match &before {
            Some(before) if !has_new_steps => before.curve.clone(),
            _ => mirror.curve().await?,
        };
        let fold = mirror.fold;
        let row = fold.row(&parts.facts, &parts.lock, curve);
        let is_changed = before.as_ref() != Some(&row);
        // Lines that are no events, and events that a row does not show, change the details.
        if is_changed || parts.log.is_some() {
            write_run(&mut writing.transaction, &row, &fold.details).await?;
        }
        if before.is_none_or(|before| before.facts.tags != row.facts.tags) {
            write_tags(&mut writing.transaction, &row.facts).await?;
        }
        writing.commit().await?;
        Ok(Mirrored { row, is_changed })
    }

    /// How far a run's log and machine samples were read.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn places(&self, run: &str) -> Result<(LogPlace, LogPlace), StorageError> {
        let mut reading = self.read().await?;
        let (log, _) = read_place(&mut reading, run, LOG).await?;
        let (samples, _) = read_place(&mut reading, run, SAMPLES).await?;
        Ok((log, samples))
    }

    /// Takes a run out of the index.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn forget(&self, run: &str) -> Result<(), StorageError> {
        let mut writing = self.write().await?;
        for (_, delete) in TABLES {
            sqlx::query(*delete).bind(run).execute(&mut *writing.transaction).await.during("forget run")?;
        }
        writing.commit().await
    }

    /// Empties the index, to fill it again from the folders. Records stay.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn clear_index(&self) -> Result<(), StorageError> {
        let mut writing = self.write().await?;
        for delete in [
            "DELETE FROM index_runs",
            "DELETE FROM index_rows",
            "DELETE FROM index_tags",
            "DELETE FROM index_logs",
            "DELETE FROM index_places",
            "DELETE FROM index_events",
            "DELETE FROM index_tracks",
            "DELETE FROM index_chunks",
            "DELETE FROM index_shelf",
        ] {
            sqlx::query(delete).execute(&mut *writing.transaction).await.during("empty index")?;
        }
        writing.commit().await
    }
}

/// Number of a run's newest event.
pub(crate) async fn read_seq(connection: &mut AnyConnection, run: &str) -> Result<Option<u64>, StorageError> {
    Ok(read_row(connection, run).await?.and_then(|row| row.seq))
}

async fn read_place(connection: &mut AnyConnection, run: &str, file: &str) -> Result<(LogPlace, Option<Fold>), StorageError> {
    let row = sqlx::query("SELECT byte_offset, first_line, fold FROM index_logs WHERE run = $1 AND file = $2")
        .bind(run)
        .bind(file)
        .fetch_optional(connection)
        .await
        .during("read place")?;
    let Some(row) = row else {
        return Ok((LogPlace::default(), None));
    };
    let offset: i64 = row.try_get(0).during("read place")?;
    let fold: String = row.try_get(2).during("read place")?;
    let place = LogPlace { offset: offset.cast_unsigned(), first_line: row.try_get(1).during("read place")? };
    Ok((place, if fold.is_empty() { None } else { Some(from_json("run", &fold)?) }))
}

async fn write_place(connection: &mut AnyConnection, run: &str, file: &str, place: &LogPlace, fold: String) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO index_logs (run, file, byte_offset, first_line, fold) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (run, file) DO UPDATE SET byte_offset = excluded.byte_offset, first_line = excluded.first_line, fold = excluded.fold",
    )
    .bind(run)
    .bind(file)
    .bind(place.offset.cast_signed())
    .bind(place.first_line.as_str())
    .bind(fold)
    .execute(connection)
    .await
    .during("write place")?;
    Ok(())
}

/// The index of one run while lines are taken in.
struct Mirror<'a> {
    connection: &'a mut AnyConnection,
    run: &'a str,
    fold: Fold,
    tracks: BTreeMap<&'static str, Track>,
    /// Points that are not written yet.
    pending: BTreeMap<&'static str, Points>,
}

impl<'a> Mirror<'a> {
    async fn open(connection: &'a mut AnyConnection, run: &'a str) -> Result<Mirror<'a>, StorageError> {
        let (_, fold) = read_place(connection, run, LOG).await?;
        let fold = fold.unwrap_or_default();
        Ok(Mirror { connection, run, fold, tracks: BTreeMap::new(), pending: BTreeMap::new() })
    }

    /// Returns whether the curve of steps may be another.
    async fn take_log(&mut self, log: &LogPart) -> Result<bool, StorageError> {
        let is_again = self.begin(LOG, &log.from).await?;
        if is_again {
            self.fold = Fold::default();
        }
        self.fold.details.bad_lines += log.bad_lines;
        for line in &log.lines {
            self.take_line(line).await?;
        }
        self.flush().await?;
        if is_again || log.to != log.from {
            write_place(self.connection, self.run, LOG, &log.to, to_json(&self.fold)).await?;
        }
        Ok(is_again || !log.lines.is_empty())
    }

    async fn take_samples(&mut self, part: &SamplePart) -> Result<(), StorageError> {
        let is_again = self.begin(SAMPLES, &part.from).await?;
        for sample in &part.samples {
            let place = Place { step: sample.step, tokens: sample.tokens, elapsed_ms: sample.elapsed_ms, seq: 0, epoch: sample.epoch };
            let values = sample.values.iter().filter(|(name, _)| is_metric(name)).map(|(name, value)| (name.as_str(), *value));
            self.pending.entry(SYSTEM).or_default().push(place, values);
        }
        self.flush().await?;
        if is_again || part.to != part.from {
            write_place(self.connection, self.run, SAMPLES, &part.to, String::new()).await?;
        }
        Ok(())
    }

    /// Compares where a part begins with where the index ends; where it begins anew, what came
    /// of the file before goes. Returns whether it does.
    async fn begin(&mut self, file: &str, from: &LogPlace) -> Result<bool, StorageError> {
        let (stored, _) = read_place(self.connection, self.run, file).await?;
        if stored == *from {
            return Ok(false);
        }
        if from.offset != 0 {
            return Err(StorageError::PlaceMoved { run: self.run.to_owned(), expected: stored.offset, found: from.offset });
        }
        let deletes: &[&str] = match file {
            LOG => &[
                "DELETE FROM index_events WHERE run = $1",
                "DELETE FROM index_places WHERE run = $1",
                "DELETE FROM index_tracks WHERE run = $1 AND track <> 'system'",
                "DELETE FROM index_chunks WHERE run = $1 AND track <> 'system'",
            ],
            _ => &[
                "DELETE FROM index_tracks WHERE run = $1 AND track = 'system'",
                "DELETE FROM index_chunks WHERE run = $1 AND track = 'system'",
            ],
        };
        for delete in deletes.iter().copied() {
            sqlx::query(delete).bind(self.run).execute(&mut *self.connection).await.during("begin log anew")?;
        }
        self.tracks.clear();
        Ok(true)
    }

    async fn take_line(&mut self, line: &LogLine) -> Result<(), StorageError> {
        let event = &line.event;
        events::write_place(self.connection, self.run, self.fold.lines, event.seq, line.offset).await?;
        if let Some(step) = supersedes_after(&event.kind) {
            self.take_back_after(step, event.seq).await?;
        }
        match &event.kind {
            EventKind::StepFinished(step) => {
                if !self.fold.recent.is_empty() && event.step <= self.fold.step {
                    self.cut(STEPS, event.step, event.seq).await?;
                    self.refresh_recent().await?;
                }
                self.fold.apply(event);
                self.push_step(event, step);
                return Ok(());
            }
            EventKind::Evaluated(evaluated) => {
                let is_again = self.fold.latest.evaluation.is_some_and(|latest| event.step <= latest);
                if is_again {
                    self.cut(EVALUATIONS, event.step, event.seq).await?;
                }
                self.fold.latest.evaluation = Some(event.step);
                events::write_event(self.connection, self.run, event, is_again).await?;
                if is_again && self.fold.best.is_some_and(|best| best.step >= event.step) {
                    self.refresh_best().await?;
                }
                self.fold.apply(event);
                self.push_evaluation(event, evaluated);
                return Ok(());
            }
            EventKind::CheckpointSaved(_) => {
                let is_again = self.fold.latest.checkpoint.is_some_and(|latest| event.step <= latest);
                self.fold.latest.checkpoint = Some(event.step);
                events::write_event(self.connection, self.run, event, is_again).await?;
            }
            EventKind::Sampled(sampled) => {
                let place = (event.step, sampled.index);
                let is_again = self.fold.latest.sample.is_some_and(|latest| place <= latest);
                self.fold.latest.sample = Some(place);
                events::write_event(self.connection, self.run, event, is_again).await?;
            }
            _ => events::write_event(self.connection, self.run, event, false).await?,
        }
        self.fold.apply(event);
        Ok(())
    }

    fn push_step(&mut self, event: &Event, step: &StepFinished) {
        let values = [
            ("loss", step.loss as f32),
            ("learning_rate", step.learning_rate as f32),
            ("grad_norm", step.grad_norm as f32),
            ("tokens_per_second", step.tokens_per_second as f32),
            ("step_ms", step.step_ms as f32),
        ];
        self.push(STEPS, event, &values);
    }

    fn push_evaluation(&mut self, event: &Event, evaluated: &Evaluated) {
        let values = [
            ("eval_loss", evaluated.loss as f32),
            ("eval_loss_low", evaluated.loss_low as f32),
            ("eval_loss_high", evaluated.loss_high as f32),
            ("accuracy", evaluated.accuracy as f32),
            ("perplexity", evaluated.loss.exp() as f32),
        ];
        self.push(EVALUATIONS, event, &values);
    }

    fn push(&mut self, track: &'static str, event: &Event, values: &[(&str, f32)]) {
        let place = Place {
            step: event.step,
            tokens: self.fold.tokens,
            elapsed_ms: event.elapsed_ms,
            seq: event.seq,
            epoch: self.fold.epoch as f32,
        };
        // What a later version measures is a curve too.
        let others = event
            .extra
            .iter()
            .filter(|(name, _)| is_metric(name))
            .filter_map(|(name, value)| Some((name.as_str(), value.as_f64()? as f32)));
        self.pending.entry(track).or_default().push(place, values.iter().copied().chain(others));
    }

    /// Writes the points that are not written yet.
    async fn flush(&mut self) -> Result<(), StorageError> {
        for (name, points) in std::mem::take(&mut self.pending) {
            if points.is_empty() {
                continue;
            }
            let key = self.key(name);
            let track = Mirror::track(&mut self.tracks, self.connection, key, name).await?;
            track.splice(self.connection, key, track.points, &points).await?;
        }
        Ok(())
    }

    fn key(&self, track: &'static str) -> TrackKey<'a> {
        TrackKey { run: self.run, track, stretch: 0 }
    }

    async fn track<'t>(
        tracks: &'t mut BTreeMap<&'static str, Track>,
        connection: &mut AnyConnection,
        key: TrackKey<'_>,
        name: &'static str,
    ) -> Result<&'t mut Track, StorageError> {
        if !tracks.contains_key(name) {
            tracks.insert(name, Track::read(connection, key).await?);
        }
        Ok(tracks.get_mut(name).expect("it was read above"))
    }

    /// Takes back everything after a step, as a resume or rewind does.
    async fn take_back_after(&mut self, step: u64, seq: u64) -> Result<(), StorageError> {
        let first = step.saturating_add(1);
        self.cut(STEPS, first, seq).await?;
        self.cut(EVALUATIONS, first, seq).await?;
        events::take_back(self.connection, self.run, step).await?;
        let latest = &mut self.fold.latest;
        latest.evaluation = latest.evaluation.map(|latest| latest.min(step));
        latest.checkpoint = latest.checkpoint.map(|latest| latest.min(step));
        latest.sample = latest.sample.map(|latest| latest.min((step, u64::MAX)));
        self.refresh_recent().await?;
        if self.fold.best.is_some_and(|best| best.step > step) {
            self.refresh_best().await?;
        }
        Ok(())
    }

    /// Moves the points from a step on to a stretch of their own.
    async fn cut(&mut self, name: &'static str, from_step: u64, seq: u64) -> Result<(), StorageError> {
        self.flush().await?;
        let key = self.key(name);
        let track = Mirror::track(&mut self.tracks, self.connection, key, name).await?;
        let keep = points::bound(self.connection, key, track.points, |place| place.step >= from_step).await?;
        if keep == track.points {
            return Ok(());
        }
        let gone = points::points_before(self.connection, key, track, keep..track.points).await?;
        track.splice(self.connection, key, keep, &Points::default()).await?;
        let aside = TrackKey { stretch: seq.cast_signed(), ..key };
        Track::default().splice(self.connection, aside, 0, &gone).await
    }

    /// Reads pace, loss and counts of the newest steps again.
    async fn refresh_recent(&mut self) -> Result<(), StorageError> {
        let key = self.key(STEPS);
        let track = Mirror::track(&mut self.tracks, self.connection, key, STEPS).await?;
        // One more, whose tokens the first is counted from.
        let range = track.points.saturating_sub(21)..track.points;
        let is_whole = range.start == 0;
        let points = points::points_before(self.connection, key, track, range).await?;
        let fold = &mut self.fold;
        fold.recent.clear();
        let last = points.places.last().copied().unwrap_or_default();
        (fold.step, fold.tokens, fold.epoch) = (last.step, last.tokens, f64::from(last.epoch));
        let value = |name: &str, index: usize| points.columns.get(name).map_or(f32::NAN, |column| column[index]);
        let mut tokens_before = 0;
        for (index, place) in points.places.iter().enumerate() {
            if is_whole || index > 0 {
                fold.push_recent(Recent {
                    step: place.step,
                    elapsed_ms: place.elapsed_ms,
                    tokens: place.tokens.saturating_sub(tokens_before),
                    loss: Some(value("loss", index)).filter(|loss| loss.is_finite()),
                    step_ms: Some(value("step_ms", index)).filter(|time| time.is_finite()).unwrap_or(0.0),
                });
            }
            tokens_before = place.tokens;
        }
        Ok(())
    }

    /// Reads the best of the standing evaluations again.
    async fn refresh_best(&mut self) -> Result<(), StorageError> {
        let query = EventQuery { kinds: vec!["evaluated".to_owned()], is_standing: true, limit: u32::MAX, ..EventQuery::default() };
        self.fold.best = None;
        for stored in events::read_events(self.connection, self.run, &query).await? {
            let EventKind::Evaluated(evaluated) = &stored.event.kind else { continue };
            if evaluated.loss.is_finite() && self.fold.best.is_none_or(|best| evaluated.loss < best.loss) {
                self.fold.best = Some(Best { loss: evaluated.loss, step: stored.event.step });
            }
        }
        Ok(())
    }

    async fn curve(&mut self) -> Result<Vec<Option<f32>>, StorageError> {
        let key = self.key(STEPS);
        let track = Mirror::track(&mut self.tracks, self.connection, key, STEPS).await?;
        points::curve_of(self.connection, key, track, "loss", CURVE_MAX).await
    }
}

/// Whether a field's name can be a curve's.
fn is_metric(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
