//! Makes a token cache: one thread reads rows, all threads turn them into tokens, one writes them
//! in file order. Blocks can be read as soon as each is whole; `manifest.json` comes last.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, atomic::Ordering};
use std::thread;
use std::time::Duration;

use rayon::prelude::*;
use serde::Serialize;

use super::key::cache_key;
use super::shard::temporary_name;
use super::shared::{Handle, Shared};
use super::standing::Standing;
use super::tokenise::ConversationRows;
use super::write::Writer;
use super::{Shard, Tokeniser};
use crate::Progress;
use crate::error::DatasetError;
use crate::problem::Problem;
use crate::read::DataFile;
use crate::recognise::Sample;
use crate::report::{DataReport, FileReport};
use crate::rows::{FoundRow, FoundRows, Read};
use crate::settings::DataSettings;

/// Rows, and bytes of them, that are worked on at once.
const CHUNK_ROWS: usize = 1024;
const CHUNK_BYTES: u64 = 1 << 20;

/// One row after the work of a worker.
pub(super) enum Outcome {
    Conversation { rows: ConversationRows, rejected_answers: u64 },
    Document { ids: Vec<u32>, continues: bool, is_last: bool },
    Bad(Problem, String),
}

/// Opens the cache of some files, making it where it is absent. Returns when the first block can be
/// read, or all where `whole` is set.
pub(crate) fn prepare(
    (files, notes): (Vec<DataFile>, Vec<String>),
    settings: &DataSettings,
    tokeniser: &Arc<Tokeniser>,
    cache_folder: &Path,
    whole: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Handle, DatasetError> {
    let key = cache_key(&files, tokeniser, settings, cache_folder)?;
    let folder = cache_folder.join(&key);
    let bytes_total = files.iter().map(|file| file.bytes).sum();
    let handle = match open_whole(&folder, &files) {
        Some((report, shards)) => Handle(Arc::new(Shared::new(key, report, shards, true, bytes_total))),
        None => {
            fs::create_dir_all(&folder).map_err(DatasetError::io("make token cache", &folder))?;
            let (standing, shards) = Standing::recover(&folder, new_report(&files, notes));
            let shared = Arc::new(Shared::new(key, standing.report.clone(), shards, false, bytes_total));
            start(files, settings.clone(), tokeniser.clone(), folder, shared.clone(), standing)?;
            Handle(shared)
        }
    };
    let shared = &handle.0;
    loop {
        let (shards, is_complete) = shared.blocks()?;
        progress(Progress { bytes_read: shared.position.load(Ordering::Relaxed).min(bytes_total), bytes_total });
        if is_complete || (!whole && !shards.is_empty()) {
            break;
        }
        shared.wait_for_more(if whole { usize::MAX } else { shards.len() }, Duration::from_millis(100));
    }
    Ok(handle)
}

fn new_report(files: &[DataFile], notes: Vec<String>) -> DataReport {
    let files = files.iter().map(|file| FileReport {
        path: file.path.clone(),
        bytes: file.bytes,
        format: String::new(),
        unused_fields: Vec::new(),
        rows_read: 0,
    });
    DataReport { files: files.collect(), notes, ..DataReport::default() }
}

/// A complete cache, if there is one and all of it is whole.
fn open_whole(folder: &Path, files: &[DataFile]) -> Option<(DataReport, Vec<Shard>)> {
    let manifest = fs::read(folder.join("manifest.json")).ok()?;
    let (mut report, shard_rows): (DataReport, Vec<u64>) = serde_json::from_slice(&manifest).ok()?;
    let mut shards = Vec::with_capacity(shard_rows.len());
    for (at, &rows) in shard_rows.iter().enumerate() {
        let shard = Shard::open(&folder.join(shard_name(at)))?;
        if shard.row_count() != rows {
            return None;
        }
        shards.push(shard);
    }
    let found = new_report(files, Vec::new());
    adopt_files(&mut report, &found).then_some((report, shards))
}

/// Takes the paths of the files as they are now: the same content may lie elsewhere than when it
/// was tokenised. False when these are not the same files.
pub(super) fn adopt_files(report: &mut DataReport, found: &DataReport) -> bool {
    for (entry, file) in report.files.iter_mut().zip(&found.files) {
        entry.path.clone_from(&file.path);
    }
    report.files.len() == found.files.len()
}

pub(super) fn shard_name(block: usize) -> String {
    format!("block-{block:05}.tokens")
}

/// Writes the manifest that makes a cache complete.
pub(super) fn write_manifest(folder: &Path, report: &DataReport, shard_rows: &[u64]) -> Result<(), DatasetError> {
    write_json(&folder.join("manifest.json"), &(report, shard_rows))
}

/// Writes a small file whole or not at all.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), DatasetError> {
    let temporary = path.with_extension(temporary_name("json"));
    let io = || DatasetError::io("write token cache", path);
    let text = serde_json::to_vec(value).expect("keys are strings or numbers");
    fs::write(&temporary, text).map_err(io())?;
    fs::rename(&temporary, path).map_err(io())
}

/// Starts the threads of the preparation.
fn start(
    files: Vec<DataFile>,
    settings: DataSettings,
    tokeniser: Arc<Tokeniser>,
    folder: PathBuf,
    shared: Arc<Shared>,
    standing: Standing,
) -> Result<(), DatasetError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(settings.threads)
        .thread_name(|at| format!("tokenise-{at}"))
        .build()
        .map_err(|error| DatasetError::Settings(format!("threads={}: {error}", settings.threads)))?;
    let (sender, receiver) = sync_channel(2);
    let reading = shared.clone();
    let columns = settings.columns.clone();
    let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
        let started = thread::Builder::new().name(name.to_string()).spawn(work);
        started.map(|_| ()).map_err(DatasetError::io("start thread for", &folder))
    };
    let make_folder = folder.clone();
    spawn(
        "data-read",
        Box::new(move || {
            let found = FoundRows::new(files, columns, reading.position.clone());
            read_all(found, &sender, &reading);
        }),
    )?;
    spawn(
        "data-write",
        Box::new(move || {
            let made = write_all(&receiver, &pool, Writer::new(&settings, &tokeniser, &make_folder, &shared, standing));
            if let Err(error) = made {
                shared.fail(error);
            }
        }),
    )
}

/// Rows, and how many bytes of the files had been read when they were complete.
type Chunk = Result<(Vec<FoundRow>, u64), DatasetError>;

/// Reads rows into chunks until the end, an error, or nobody listens any more.
fn read_all(mut found: FoundRows, sender: &SyncSender<Chunk>, shared: &Shared) {
    let mut chunk = Vec::new();
    let mut bytes = 0;
    let position = || shared.position.load(Ordering::Relaxed);
    loop {
        let next = found.next();
        let is_end = !matches!(next, Ok(Some(_)));
        match next {
            Ok(Some(row)) => {
                bytes += row.row.bytes;
                chunk.push(row);
            }
            Ok(None) => {}
            Err(error) => {
                // Rows before the error are still sent, so that their problems are known.
                let _ = sender.send(Ok((std::mem::take(&mut chunk), position())));
                let _ = sender.send(Err(error));
                return;
            }
        }
        if is_end || chunk.len() >= CHUNK_ROWS || bytes >= CHUNK_BYTES {
            bytes = 0;
            if sender.send(Ok((std::mem::take(&mut chunk), position()))).is_err() || is_end || shared.is_cancelled() {
                return;
            }
        }
    }
}

fn write_all(receiver: &Receiver<Chunk>, pool: &rayon::ThreadPool, mut writer: Writer<'_>) -> Result<(), DatasetError> {
    for chunk in receiver {
        let (chunk, position) = chunk?;
        if writer.shared().is_cancelled() {
            return Ok(());
        }
        writer.set_position(position);
        // Rows of blocks that were made before are only looked at for copies.
        let known = (writer.rows_to_skip() as usize).min(chunk.len());
        let hashes: Vec<Option<u64>> = pool.install(|| chunk.par_iter().map(FoundRow::hash).collect());
        writer.skip(&hashes[..known]);
        let fresh = &chunk[known..];
        let tokeniser = writer.tokeniser();
        let outcomes: Vec<Outcome> = pool.install(|| fresh.par_iter().map(|row| work(row, tokeniser)).collect());
        for ((row, outcome), hash) in fresh.iter().zip(outcomes).zip(&hashes[known..]) {
            writer.add(row, outcome, *hash)?;
        }
    }
    if writer.shared().is_cancelled() { Ok(()) } else { writer.finish() }
}

/// One row to tokens.
fn work(found: &FoundRow, tokeniser: &Tokeniser) -> Outcome {
    let bad = |problem: Problem| {
        let excerpt = match &found.row.payload {
            crate::read::Payload::Json(bytes) => crate::problem::excerpt(bytes),
            crate::read::Payload::Value(value) => crate::problem::excerpt(value.to_string().as_bytes()),
            _ => String::new(),
        };
        Outcome::Bad(problem, excerpt)
    };
    match found.read() {
        Read::Bad(problem, excerpt) => Outcome::Bad(problem, excerpt),
        Read::Piece(piece) => match tokeniser.document(&piece.text, !piece.continues, piece.is_last) {
            Ok(ids) => Outcome::Document { ids, continues: piece.continues, is_last: piece.is_last },
            Err(problem) => bad(problem),
        },
        Read::Sample(converted) => match converted.sample {
            Sample::Document(text) => match tokeniser.document(&text, true, true) {
                Ok(ids) => Outcome::Document { ids, continues: false, is_last: true },
                Err(problem) => bad(problem),
            },
            Sample::Conversation(conversation) => match tokeniser.conversation(&conversation) {
                Ok(rows) => Outcome::Conversation { rows, rejected_answers: converted.rejected_answers },
                Err(problem) => bad(problem),
            },
        },
    }
}
