//! Reading curves: the level whose bins are just fine enough, merged to what was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sqlx::{AnyConnection, Row};

use super::bins::Bin;
use super::columns::{Place, Points};
use super::track::{Track, TrackKey, damaged, decoded};
use super::{EVALUATIONS, FACTOR, STEPS, SYSTEM, bins_of, chunk_size, codec, top_level};
use crate::error::{During, from_json};
use crate::index::{self, Mark};
use crate::statement::Statement;
use crate::{Storage, StorageError};

/// Which curves, and how finely.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CurveQuery {
    /// Names; all where empty.
    pub names: Vec<String>,
    /// Most points a curve, at least 2; 1,500 where 0.
    pub points: u32,
    /// First step.
    pub from: Option<u64>,
    /// Last step.
    pub to: Option<u64>,
    /// Only points after this number of the log.
    pub after: Option<u64>,
    /// Whether curves that a resume or rewind took back are read too.
    pub superseded: bool,
}

/// Curves of a run, as of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curves {
    /// By track and name; those that stand first.
    pub curves: Vec<Curve>,
    /// What happened between, in order.
    pub marks: Vec<Mark>,
    /// Number of the newest event that they know; `None` before the first.
    pub seq: Option<u64>,
}

/// A curve: columns of the same length. Values that are no numbers are `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curve {
    /// loss, eval_loss, cpu_percent, …
    pub name: String,
    /// Unit, or empty.
    pub unit: &'static str,
    /// The event that took it back; `None` where it stands.
    pub superseded_by: Option<u64>,
    /// Points that each value stands for. Bins lie at multiples of it, so that they stay as they
    /// are while a run goes on; the first and last may reach over a range that was asked for.
    pub bin: u32,
    /// Points of the whole curve.
    pub total: u64,
    /// Steps done at the last point of each bin.
    pub step: Vec<u64>,
    /// Real tokens trained on until then.
    pub tokens: Vec<u64>,
    /// Working time until then.
    pub elapsed_ms: Vec<u64>,
    /// Number of the event; 0 for machine samples.
    pub seq: Vec<u64>,
    /// Passes through the data until then.
    pub epoch: Vec<f32>,
    /// Mean of each bin.
    pub mean: Vec<Option<f32>>,
    /// Least of each bin; empty where `bin` is 1.
    pub min: Vec<Option<f32>>,
    /// Greatest of each bin; empty where `bin` is 1.
    pub max: Vec<Option<f32>>,
}

impl Storage {
    /// Reads curves and marks of a run. One that is not known has none.
    ///
    /// # Errors
    /// The database refuses, or the index is damaged.
    pub async fn curves(&self, run: &str, query: &CurveQuery) -> Result<Curves, StorageError> {
        let mut reading = self.read().await?;
        let rows = sqlx::query("SELECT track, stretch, points, names FROM index_tracks WHERE run = $1")
            .bind(run)
            .fetch_all(&mut *reading)
            .await
            .during("read tracks")?;
        let mut tracks = Vec::new();
        for row in rows {
            let name: String = row.try_get(0).during("read tracks")?;
            let stretch: i64 = row.try_get(1).during("read tracks")?;
            let points: i64 = row.try_get(2).during("read tracks")?;
            let names: String = row.try_get(3).during("read tracks")?;
            let names: BTreeSet<String> = from_json("track", &names)?;
            if stretch == 0 || query.superseded {
                tracks.push((stretch, order_of(&name), name, Track { points: points.cast_unsigned(), names }));
            }
        }
        tracks.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
        let mut curves = Vec::new();
        for (stretch, _, name, track) in &tracks {
            let key = TrackKey { run, track: name, stretch: *stretch };
            curves.extend(curves_of_track(&mut reading, key, track, query).await?);
        }
        let marks = index::read_marks(&mut reading, run, query.from, query.to).await?;
        let seq = index::read_seq(&mut reading, run).await?;
        Ok(Curves { curves, marks, seq })
    }
}

/// Where a curve that stands ends up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CurveEnds {
    /// Its name.
    pub name: String,
    /// Least value.
    pub min: Option<f32>,
    /// Greatest value.
    pub max: Option<f32>,
    /// Newest value.
    pub last: Option<f32>,
}

impl Storage {
    /// Least, greatest and newest values of these curves of a run; those that it does not have are
    /// left out.
    ///
    /// # Errors
    /// The database refuses, or the index is damaged.
    pub async fn curve_ends(&self, run: &str, names: &[&str]) -> Result<Vec<CurveEnds>, StorageError> {
        let mut reading = self.read().await?;
        let mut ends = Vec::new();
        for name in [STEPS, EVALUATIONS] {
            let key = TrackKey { run, track: name, stretch: 0 };
            let track = Track::read(&mut reading, key).await?;
            let wanted: Vec<&str> = names.iter().copied().filter(|name| track.names.contains(*name)).collect();
            if wanted.is_empty() || track.points == 0 {
                continue;
            }
            let level = top_level(track.points);
            let all = read_bins(&mut reading, key, &wanted, level, 0..bins_of(track.points, level)).await?;
            let last = read_bins(&mut reading, key, &wanted, 0, track.points - 1..track.points).await?;
            ends.extend(wanted.iter().map(|name| {
                let whole = Bin::merge(all.columns.get(*name).into_iter().flatten().copied());
                let newest = last.columns.get(*name).and_then(|bins| bins.last()).map_or(f32::NAN, |bin| bin.mean);
                CurveEnds { name: (*name).to_owned(), min: number(whole.min), max: number(whole.max), last: number(newest) }
            }));
        }
        Ok(ends)
    }
}

/// The curves of one track.
async fn curves_of_track(
    connection: &mut AnyConnection,
    key: TrackKey<'_>,
    track: &Track,
    query: &CurveQuery,
) -> Result<Vec<Curve>, StorageError> {
    let wanted = |name: &&String| query.names.is_empty() || query.names.contains(name);
    let names: Vec<&str> = track.names.iter().filter(wanted).map(String::as_str).collect();
    if names.is_empty() || track.points == 0 {
        return Ok(Vec::new());
    }
    let mut range = 0..track.points;
    if let Some(from) = query.from {
        range.start = bound(connection, key, track.points, |place| place.step >= from).await?;
    }
    if let Some(after) = query.after {
        let start = bound(connection, key, track.points, |place| place.seq > after).await?;
        range.start = range.start.max(start);
    }
    if let Some(to) = query.to {
        range.end = bound(connection, key, track.points, |place| place.step > to).await?;
    }
    let most = if query.points == 0 { 1500 } else { u64::from(query.points.max(2)) };
    let thinned = read_thinned(connection, key, track.points, &names, range, most).await?;
    let curves = names.iter().map(|name| {
        let bins = thinned.columns.get(*name).map_or(&[] as &[Bin], Vec::as_slice);
        thinned.curve(name, bins, key.stretch, track.points)
    });
    Ok(curves.collect())
}

/// A curve of at most so many values over the whole of a track, for a list.
pub(crate) async fn curve_of(
    connection: &mut AnyConnection,
    key: TrackKey<'_>,
    track: &Track,
    name: &str,
    most: u64,
) -> Result<Vec<Option<f32>>, StorageError> {
    if track.points == 0 || !track.names.contains(name) {
        return Ok(Vec::new());
    }
    let thinned = read_thinned(connection, key, track.points, &[name], 0..track.points, most).await?;
    Ok(thinned.columns.into_values().flatten().map(|bin| number(bin.mean)).collect())
}

/// Points of a range, as they are.
pub(crate) async fn points_before(
    connection: &mut AnyConnection,
    key: TrackKey<'_>,
    track: &Track,
    range: Range<u64>,
) -> Result<Points, StorageError> {
    let names: Vec<&str> = track.names.iter().map(String::as_str).collect();
    let read = read_bins(connection, key, &names, 0, range).await?;
    let columns = read.columns.into_iter().map(|(name, bins)| (name, bins.into_iter().map(|bin| bin.mean).collect()));
    Ok(Points { columns: columns.collect(), places: read.places })
}

/// The number of the first point that something is true of, where it stays true of all later ones.
pub(crate) async fn bound(
    connection: &mut AnyConnection,
    key: TrackKey<'_>,
    total: u64,
    is_past: impl Fn(&Place) -> bool,
) -> Result<u64, StorageError> {
    let top = top_level(total);
    let mut range = 0..bins_of(total, top);
    for level in (0..=top).rev() {
        let read = read_bins(connection, key, &[], level, range.clone()).await?;
        let found = range.start + read.places.partition_point(|place| !is_past(place)) as u64;
        if found >= range.end {
            // Only the topmost level can end without it: a bin's place is its last point's.
            return Ok(total);
        }
        range = match level {
            0 => found..found,
            _ => found * FACTOR..((found + 1) * FACTOR).min(bins_of(total, level - 1)),
        };
    }
    Ok(range.start)
}

/// Bins of a level with the places of their last points.
struct Thinned {
    bin: u64,
    places: Vec<Place>,
    columns: BTreeMap<String, Vec<Bin>>,
}

impl Thinned {
    fn curve(&self, name: &str, bins: &[Bin], stretch: i64, total: u64) -> Curve {
        let is_thinned = self.bin > 1;
        let extremes = |of: fn(&Bin) -> f32| -> Vec<Option<f32>> {
            if is_thinned { bins.iter().map(|bin| number(of(bin))).collect() } else { Vec::new() }
        };
        Curve {
            name: name.to_owned(),
            unit: unit_of(name),
            superseded_by: (stretch != 0).then_some(stretch.cast_unsigned()),
            bin: u32::try_from(self.bin).unwrap_or(u32::MAX),
            total,
            step: self.places.iter().map(|place| place.step).collect(),
            tokens: self.places.iter().map(|place| place.tokens).collect(),
            elapsed_ms: self.places.iter().map(|place| place.elapsed_ms).collect(),
            seq: self.places.iter().map(|place| place.seq).collect(),
            epoch: self.places.iter().map(|place| place.epoch).collect(),
            mean: bins.iter().map(|bin| number(bin.mean)).collect(),
            min: extremes(|bin| bin.min),
            max: extremes(|bin| bin.max),
        }
    }
}

/// Reads a range of points in at most so many bins.
async fn read_thinned(
    connection: &mut AnyConnection,
    key: TrackKey<'_>,
    total: u64,
    names: &[&str],
    range: Range<u64>,
    most: u64,
) -> Result<Thinned, StorageError> {
    let (level, merge) = fineness(range.end.saturating_sub(range.start), total, most);
    let size = FACTOR.pow(level);
    // Whole groups of bins, wherever the range begins and ends.
    let start = (range.start / size) / merge * merge;
    let end = range.end.div_ceil(size).next_multiple_of(merge).min(bins_of(total, level));
    let read = read_bins(connection, key, names, level, start..end.max(start)).await?;
    let group = usize::try_from(merge).expect("groups are small");
    let places = read.places.chunks(group).filter_map(<[Place]>::last).copied().collect();
    let merged = |bins: Vec<Bin>| match group {
        1 => bins,
        _ => bins.chunks(group).map(|bins| Bin::merge(bins.iter().copied())).collect(),
    };
    let columns = read.columns.into_iter().map(|(name, bins)| (name, merged(bins))).collect();
    Ok(Thinned { bin: size * merge, places, columns })
}

/// The level to read, and how many of its bins to merge into one, a power of two, so that so many
/// points become at most so many bins.
fn fineness(points: u64, total: u64, most: u64) -> (u32, u64) {
    // A range that begins inside a bin takes one more.
    let fits = |size: u64| points.div_ceil(size) < most.max(2);
    if points <= most {
        return (0, 1);
    }
    let level = (0..=top_level(total)).rev().find(|level| !fits(FACTOR.pow(*level))).unwrap_or(0);
    let size = FACTOR.pow(level);
    let merge = (0..32).map(|power| 1u64 << power).find(|merge| fits(size * merge)).unwrap_or(1 << 31);
    (level, merge)
}

/// Reads a range of bins of a level (points, at level 0). Columns that a chunk does not have are
/// filled with what is no number.
async fn read_bins(
    connection: &mut AnyConnection,
    key: TrackKey<'_>,
    names: &[&str],
    level: u32,
    range: Range<u64>,
) -> Result<Thinned, StorageError> {
    let mut read = Thinned { bin: FACTOR.pow(level), places: Vec::new(), columns: BTreeMap::new() };
    if range.is_empty() {
        return Ok(read);
    }
    let size = chunk_size(level);
    let chunks = range.start / size..range.end.div_ceil(size);
    let mut query = Statement::new("SELECT chunk, name, body FROM index_chunks WHERE run = ");
    query.value(key.run).words(" AND track = ").value(key.track);
    query.words(" AND stretch = ").value(key.stretch).words(" AND level = ").value(i64::from(level));
    query.words(" AND chunk >= ").value(chunks.start.cast_signed());
    query.words(" AND chunk < ").value(chunks.end.cast_signed());
    query.words(" AND name IN (''");
    for name in names {
        query.words(", ").value(*name);
    }
    query.words(")");
    let rows = query.rows(connection, "read points").await?;
    let mut bodies: BTreeMap<(u64, String), Vec<u8>> = BTreeMap::new();
    for row in rows {
        let chunk: i64 = row.try_get(0).during("read points")?;
        bodies.insert((chunk.cast_unsigned(), row.try_get(1).during("read points")?), row.try_get(2).during("read points")?);
    }
    for chunk in chunks {
        let first = chunk * size;
        let places = decoded(codec::read_places, bodies.get(&(chunk, String::new())), key)?;
        let count = places.len();
        let within = |number: u64| usize::try_from(number.saturating_sub(first).min(size)).expect("a chunk is small");
        let (start, end) = (within(range.start), within(range.end));
        if count < end {
            return Err(damaged(key, format!("expected {end} points in chunk {chunk} of level {level}, found {count}")));
        }
        read.places.extend(&places[start..end]);
        for name in names {
            let body = bodies.get(&(chunk, (*name).to_owned()));
            let mut bins = match level {
                0 => decoded(codec::read_values, body, key)?.into_iter().map(Bin::of).collect(),
                _ => decoded(codec::read_bins, body, key)?,
            };
            bins.resize(count, Bin::EMPTY);
            read.columns.entry((*name).to_owned()).or_default().extend(&bins[start..end]);
        }
    }
    Ok(read)
}

fn number(value: f32) -> Option<f32> {
    value.is_finite().then_some(value)
}

fn order_of(track: &str) -> u8 {
    match track {
        STEPS => 0,
        EVALUATIONS => 1,
        SYSTEM => 2,
        _ => 3,
    }
}

/// The unit of a metric, or nothing.
fn unit_of(name: &str) -> &'static str {
    match name {
        "loss" | "eval_loss" | "eval_loss_low" | "eval_loss_high" => "nats",
        "tokens_per_second" => "tokens/s",
        _ if name.ends_with("_ms") => "ms",
        _ if name.ends_with("_bytes") => "bytes",
        _ if name.ends_with("_percent") => "%",
        _ if name.ends_with("watts") => "W",
        _ if name.ends_with("temperature_c") => "°C",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_reads_little_and_gets_about_what_it_asked_for() {
        for total in [1, 2, 255, 256, 1500, 1501, 4096, 70_000, 1_000_000, 50_000_000] {
            for most in [2, 48, 400, 1500, 10_000] {
                let (level, merge) = fineness(total, total, most);
                let bins = total.div_ceil(FACTOR.pow(level) * merge);
                assert!(bins <= most, "{total} points in {most}: {bins} bins");
                assert!(bins * 2 + 2 >= most.min(total), "{total} points in {most}: only {bins} bins");
                assert!(level <= top_level(total));
                assert!(level == top_level(total) || bins_of(total, level) <= FACTOR * most, "{total} points in {most} reads too much");
            }
        }
    }
}
