//! Data that can be chosen: what the home holds, rows of a file, and one dropped file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apertis_domain::name::{RunNameError, RunTitle};
use apertis_protocol::error::ErrorCode;
use apertis_protocol::library::{DataCard, DataPreview, RowQuery, UploadQuery};
use apertis_runs::{is_disk_full, machine};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::data_sets::{self, About};
use crate::failure::{Answer, Failure};
use crate::jobs::Progress;
use crate::random;
use crate::request::{Params, Place, blocking};
use crate::studio::{Shared, Studio};

const ROWS: u32 = 20;
const ROWS_MAX: u32 = 100;
/// Space that an upload leaves on the disk.
const SPACE_LEFT_BYTES: u64 = 256 << 20;

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(list, upload)).routes(routes!(rows))
}

/// Data of the home as cards.
pub(super) fn cards(studio: &Studio) -> Vec<DataCard> {
    let mut cards: Vec<DataCard> =
        data_sets::list(&studio.home.data()).iter().map(|(version, number, about)| about.card(version, *number)).collect();
    cards.sort_by_key(|card| card.kind != "sample");
    cards
}

/// Lists data sets of the home.
#[utoipa::path(get, path = "/data", tag = "library", responses((status = 200, body = Vec<DataCard>)))]
async fn list(State(studio): Shared) -> Answer<Json<Vec<DataCard>>> {
    blocking(move || Ok(cards(&studio))).await.map(Json)
}

/// Shows rows of a data set, or of a path on this computer, as chat.
#[utoipa::path(
    get, path = "/data/{name}/rows", tag = "library",
    params(("name" = String, Path, description = "The `reference` of a card, or a path on the server's computer."), RowQuery),
    responses((status = 200, body = DataPreview))
)]
async fn rows(State(studio): Shared, Place(name): Place<String>, Params(query): Params<RowQuery>) -> Answer<Json<DataPreview>> {
    blocking(move || {
        let path = studio.roots().resolve_data(query.data.as_deref().unwrap_or(&name))?;
        let limit = query.limit.unwrap_or(ROWS).clamp(1, ROWS_MAX) as usize;
        let mut preview = data_sets::preview(&path, query.from.unwrap_or(0), limit)?;
        if let Some(about) = path.parent().and_then(About::read).filter(|about| path.ends_with(&about.file)) {
            preview.rows = about.rows;
            preview.reasons = about.reasons;
        }
        Ok(preview)
    })
    .await
    .map(Json)
}

/// Takes one file as a new data set. The body is the file itself.
#[utoipa::path(
    post, path = "/data", tag = "library", params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The file."),
    responses((status = 200, body = DataCard))
)]
async fn upload(State(studio): Shared, Params(query): Params<UploadQuery>, headers: HeaderMap, body: Body) -> Answer<Json<DataCard>> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let name = query.title.as_deref().map_or_else(|| stem_of(&query.name), str::trim).to_owned();
    // The same rules as for names of runs.
    let title: RunTitle = name.parse().map_err(|error: RunNameError| Failure::bad(error.to_string()))?;
    let (slug, file) = (title.folder_name().to_string(), file_name(&query.name));
    let most = studio.preferences.settings().upload_max_bytes;
    check_space(&studio, length.unwrap_or(0), most)?;
    let set = studio.home.data().join(&slug);
    if set.exists() {
        return Err(Failure::new(ErrorCode::NameTaken, format!("There is a data set {slug} already.")));
    }
    let progress = studio.jobs.begin("upload", format!("Upload {name}"));
    let parts = studio.home.data().join(format!(".upload-{}", random::hex::<6>()));
    let parts = Unfinished(parts);
    let version = parts.0.join("v1");
    let received = receive(&version.join(&file), body, length, most, &progress).await;
    let arrived = match received {
        Err(failure) => Err(failure),
        Ok(()) => {
            let (name, version) = (name.clone(), version.clone());
            blocking(move || data_sets::arrived(&version, &name, &file)).await
        }
    };
    let moved = arrived.and_then(|about| match fs::rename(&parts.0, &set) {
        Ok(()) => Ok(about),
        Err(_) if set.exists() => Err(Failure::new(ErrorCode::NameTaken, format!("There is a data set {slug} already."))),
        Err(error) => Err(error.into()),
    });
    match moved {
        Ok(about) => {
            let version = set.join("v1");
            let card = about.card(&version, 1);
            count_rows(version, progress);
            Ok(Json(card))
        }
        Err(failure) => {
            progress.end(Err(failure.clone()));
            Err(failure)
        }
    }
}

/// A folder that goes unless it was moved to its place, also when the page that sends goes away.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Missing is what it should be.
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn receive(path: &Path, body: Body, length: Option<u64>, most: u64, progress: &Progress) -> Answer<()> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut file = tokio::fs::File::create_new(path).await?;
    let mut pieces = body.into_data_stream();
    let mut received = 0_u64;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Failure::bad("The upload broke off."))?;
        received += piece.len() as u64;
        if received > most {
            return Err(too_large(most));
        }
        if progress.is_cancelled() {
            return Err(Failure::new(ErrorCode::NotPossibleNow, "The upload was cancelled."));
        }
        if let Err(error) = file.write_all(&piece).await {
            return Err(if is_disk_full(&error) { Failure::new(ErrorCode::DiskFull, "The disk is full.") } else { error.into() });
        }
        let share = length.filter(|length| *length > 0).map(|length| received as f64 / length as f64);
        progress.at(share, &format!("{:.1} MB received.", received as f64 / 1e6));
    }
    file.sync_all().await?;
    Ok(())
}

fn check_space(studio: &Studio, length: u64, most: u64) -> Answer<()> {
    if length > most {
        return Err(too_large(most));
    }
    let free = machine::disk_free_bytes(studio.home.root());
    match free > 0 && length.saturating_add(SPACE_LEFT_BYTES) > free {
        true => Err(Failure::new(ErrorCode::DiskFull, format!("{:.1} GB are free, which is too little.", free as f64 / 1e9))),
        false => Ok(()),
    }
}

fn too_large(most: u64) -> Failure {
    Failure::new(ErrorCode::TooLarge, format!("An upload has at most {:.1} GB.", most as f64 / 1e9))
}

/// Counts rows on a thread of its own; the upload's job goes on with it.
fn count_rows(version: PathBuf, progress: Progress) {
    progress.at(None, "Its rows are counted.");
    tokio::task::spawn_blocking(move || {
        let outcome = data_sets::count(&version, &progress);
        progress.end(outcome);
    });
}

/// Counts what was left uncounted when the server ended, and clears away uploads that broke off.
pub(crate) fn resume_checks(studio: &Arc<Studio>) {
    let data = studio.home.data();
    for entry in fs::read_dir(&data).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".upload-") {
            drop(Unfinished(entry.path()));
        }
    }
    for (version, _, about) in data_sets::list(&data).into_iter().filter(|(_, _, about)| about.rows.is_none()) {
        count_rows(version, studio.jobs.begin("upload", format!("Count the rows of {}", about.name)));
    }
}

fn stem_of(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.split('.').next().unwrap_or(name)
}

/// The name of a file as it is stored: letters, digits and its endings.
fn file_name(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let endings: String =
        name.find('.').map_or("", |at| &name[at..]).chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '.').collect();
    let endings = endings.trim_end_matches('.').replace("..", ".");
    format!("rows{}", if endings.len() > 40 { "" } else { endings.as_str() })
}
