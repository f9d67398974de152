//! Writing a track: cutting its end off and adding points, through all levels.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AnyConnection, Row};

use super::bins::{self, Bin};
use super::columns::{Place, Points};
use super::{CHUNK_POINTS, FACTOR, bins_of, chunk_size, codec, top_level};
use crate::StorageError;
use crate::error::{During, from_json, to_json};

/// Which track of which run; stretch 0 is what stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrackKey<'a> {
    pub(crate) run: &'a str,
    pub(crate) track: &'a str,
    pub(crate) stretch: i64,
}

/// How much of a track there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Track {
    pub(crate) points: u64,
    pub(crate) names: BTreeSet<String>,
}

/// The columns of one chunk, as bytes; the places have the empty name.
type ChunkBody = BTreeMap<String, Vec<u8>>;

impl Track {
    /// Reads how much there is.
    pub(crate) async fn read(connection: &mut AnyConnection, key: TrackKey<'_>) -> Result<Track, StorageError> {
        let row = sqlx::query("SELECT points, names FROM index_tracks WHERE run = $1 AND track = $2 AND stretch = $3")
            .bind(key.run)
            .bind(key.track)
            .bind(key.stretch)
            .fetch_optional(connection)
            .await
            .during("read track")?;
        let Some(row) = row else {
            return Ok(Track::default());
        };
        let points: i64 = row.try_get(0).during("read track")?;
        let names: String = row.try_get(1).during("read track")?;
        Ok(Track { points: points.cast_unsigned(), names: from_json("track", &names)? })
    }

    /// Keeps the first points and adds others after them.
    pub(crate) async fn splice(
        &mut self,
        connection: &mut AnyConnection,
        key: TrackKey<'_>,
        keep: u64,
        added: &Points,
    ) -> Result<(), StorageError> {
        let before = self.points;
        let total = keep + added.len() as u64;
        if total < before {
            delete_after(connection, key, before, total).await?;
        }
        self.names.extend(added.columns.keys().cloned());
        self.points = total;

        let mut tail = Tail::load(connection, key, keep, &self.names).await?;
        tail.add(added);
        tail.write(connection, key, 0).await?;
        for level in 1..=top_level(total) {
            tail = tail.above(connection, key, level, keep, before).await?;
            tail.write(connection, key, level).await?;
        }
        sqlx::query(
            "INSERT INTO index_tracks (run, track, stretch, points, names) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (run, track, stretch) DO UPDATE SET points = excluded.points, names = excluded.names",
        )
        .bind(key.run)
        .bind(key.track)
        .bind(key.stretch)
        .bind(total.cast_signed())
        .bind(to_json(&self.names))
        .execute(connection)
        .await
        .during("write track")?;
        Ok(())
    }
}

/// The end of one level, from the beginning of a chunk on.
struct Tail {
    /// Number of the first bin (point, at level 0).
    first: u64,
    places: Vec<Place>,
    columns: BTreeMap<String, Column>,
}

enum Column {
    Values(Vec<f32>),
    Bins(Vec<Bin>),
}

impl Tail {
    /// Loads the points of the chunk in which something changes, up to there.
    async fn load(connection: &mut AnyConnection, key: TrackKey<'_>, keep: u64, names: &BTreeSet<String>) -> Result<Tail, StorageError> {
        let chunk = keep / CHUNK_POINTS;
        let first = chunk * CHUNK_POINTS;
        let count = usize::try_from(keep - first).expect("a chunk is small");
        let body = if count > 0 { read_chunk(connection, key, 0, chunk).await? } else { ChunkBody::new() };
        let mut columns = BTreeMap::new();
        for name in names {
            let mut values = decoded(codec::read_values, body.get(name), key)?;
            values.resize(count, f32::NAN);
            columns.insert(name.clone(), Column::Values(values));
        }
        Ok(Tail { first, places: read_places(&body, count, key)?, columns })
    }

    fn add(&mut self, added: &Points) {
        self.places.extend(&added.places);
        let length = self.places.len();
        for (name, column) in &mut self.columns {
            if let Column::Values(values) = column {
                values.extend(added.columns.get(name).into_iter().flatten());
                values.resize(length, f32::NAN);
            }
        }
    }

    /// The same end of the next level.
    async fn above(
        &self,
        connection: &mut AnyConnection,
        key: TrackKey<'_>,
        level: u32,
        keep: u64,
        before: u64,
    ) -> Result<Tail, StorageError> {
        let was_there = level <= top_level(before);
        // The first bin that changes. A new level begins at its first: the level below is then
        // still in its first chunk, and here as a whole.
        let changed = if was_there { keep / FACTOR.pow(level) } else { 0 };
        let chunk = changed / chunk_size(level);
        let first = chunk * chunk_size(level);
        let count = usize::try_from(changed - first).expect("a chunk is small");
        let body = if count > 0 { read_chunk(connection, key, level, chunk).await? } else { ChunkBody::new() };
        let from = usize::try_from(changed * FACTOR - self.first).expect("the level below reaches back as far");

        let mut places = read_places(&body, count, key)?;
        places.extend(self.places[from..].chunks(FACTOR as usize).filter_map(<[Place]>::last));
        let mut columns = BTreeMap::new();
        for (name, below) in &self.columns {
            let mut bins = decoded(codec::read_bins, body.get(name), key)?;
            bins.resize(count, Bin::EMPTY);
            match below {
                Column::Values(values) => {
                    let points: Vec<Bin> = values[from..].iter().copied().map(Bin::of).collect();
                    bins.extend(bins::next_level(&points));
                }
                Column::Bins(below) => bins.extend(bins::next_level(&below[from..])),
            }
            columns.insert(name.clone(), Column::Bins(bins));
        }
        Ok(Tail { first, places, columns })
    }

    async fn write(&self, connection: &mut AnyConnection, key: TrackKey<'_>, level: u32) -> Result<(), StorageError> {
        let size = usize::try_from(chunk_size(level)).expect("a chunk is small");
        let first_chunk = self.first / chunk_size(level);
        for (index, start) in (0..self.places.len()).step_by(size).enumerate() {
            let chunk = first_chunk + index as u64;
            let end = self.places.len().min(start + size);
            write_column(connection, key, level, chunk, "", codec::write_places(&self.places[start..end])).await?;
            for (name, column) in &self.columns {
                let body = match column {
                    Column::Values(values) => codec::write_values(&values[start..end]),
                    Column::Bins(bins) => codec::write_bins(&bins[start..end]),
                };
                write_column(connection, key, level, chunk, name, body).await?;
            }
        }
        Ok(())
    }
}

/// Reads the columns of a chunk.
async fn read_chunk(connection: &mut AnyConnection, key: TrackKey<'_>, level: u32, chunk: u64) -> Result<ChunkBody, StorageError> {
    let rows =
        sqlx::query("SELECT name, body FROM index_chunks WHERE run = $1 AND track = $2 AND stretch = $3 AND level = $4 AND chunk = $5")
            .bind(key.run)
            .bind(key.track)
            .bind(key.stretch)
            .bind(i64::from(level))
            .bind(chunk.cast_signed())
            .fetch_all(connection)
            .await
            .during("read points")?;
    let mut body = ChunkBody::new();
    for row in rows {
        body.insert(row.try_get(0).during("read points")?, row.try_get(1).during("read points")?);
    }
    Ok(body)
}

async fn write_column(
    connection: &mut AnyConnection,
    key: TrackKey<'_>,
    level: u32,
    chunk: u64,
    name: &str,
    body: Vec<u8>,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO index_chunks (run, track, stretch, level, chunk, name, body) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (run, track, stretch, level, chunk, name) DO UPDATE SET body = excluded.body",
    )
    .bind(key.run)
    .bind(key.track)
    .bind(key.stretch)
    .bind(i64::from(level))
    .bind(chunk.cast_signed())
    .bind(name)
    .bind(body)
    .execute(connection)
    .await
    .during("write points")?;
    Ok(())
}

/// Removes the chunks and levels that fewer points no longer have.
async fn delete_after(connection: &mut AnyConnection, key: TrackKey<'_>, before: u64, total: u64) -> Result<(), StorageError> {
    for level in 0..=top_level(before) {
        let chunks = match level <= top_level(total) {
            true => bins_of(total, level).div_ceil(chunk_size(level)),
            false => 0,
        };
        sqlx::query("DELETE FROM index_chunks WHERE run = $1 AND track = $2 AND stretch = $3 AND level = $4 AND chunk >= $5")
            .bind(key.run)
            .bind(key.track)
            .bind(key.stretch)
            .bind(i64::from(level))
            .bind(chunks.cast_signed())
            .execute(&mut *connection)
            .await
            .during("remove points")?;
    }
    Ok(())
}

fn read_places(body: &ChunkBody, count: usize, key: TrackKey<'_>) -> Result<Vec<Place>, StorageError> {
    let mut places = decoded(codec::read_places, body.get(""), key)?;
    if places.len() < count {
        return Err(damaged(key, format!("expected {count} points in a chunk, found {}", places.len())));
    }
    places.truncate(count);
    Ok(places)
}

/// A column's content; one that is not there is empty.
pub(super) fn decoded<T>(
    read: impl Fn(&[u8]) -> Option<Vec<T>>,
    bytes: Option<&Vec<u8>>,
    key: TrackKey<'_>,
) -> Result<Vec<T>, StorageError> {
    let Some(bytes) = bytes else {
        return Ok(Vec::new());
    };
    read(bytes).ok_or_else(|| damaged(key, format!("{} bytes are no column", bytes.len())))
}

pub(super) fn damaged(key: TrackKey<'_>, message: String) -> StorageError {
    StorageError::Damaged { what: format!("points of {}, {}", key.run, key.track), message }
}
