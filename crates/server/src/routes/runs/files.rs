//! The files of a run, as downloads; its report, framed in a sandbox.

use std::fs;
use std::path::Path;

use apertis_protocol::run::{FileQuery, RunFile};
use apertis_runs::clock;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_FRAME_OPTIONS};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::io::AsyncReadExt;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::failure::{Answer, Failure};
use crate::paths::Roots;
use crate::request::{Params, Place, blocking};
use crate::routes::Router;
use crate::studio::Shared;

/// Files of a run that are listed.
const FILES_MAX: usize = 2_000;
/// A file is read in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;
/// The report runs nothing, asks for nothing, and is framed by our pages only.
const REPORT_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'";

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(download))
}

/// Lists a run's files.
#[utoipa::path(get, path = "/runs/{id}/files", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Vec<RunFile>)))]
async fn list(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Vec<RunFile>>> {
    let run = studio.run(&id).await?;
    blocking(move || {
        let mut files = Vec::new();
        collect(run.folder.path(), "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    })
    .await
    .map(Json)
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<RunFile>) -> Answer<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        // `best` and `last` are links to folders that are listed under their own names.
        let Ok(kind) = entry.file_type() else { continue };
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file()
            && files.len() < FILES_MAX
            && let Ok(data) = entry.metadata()
        {
            let changed_at = data.modified().map_or_else(|_| String::new(), clock::text_of);
            files.push(RunFile { path, bytes: data.len(), changed_at });
        }
    }
    Ok(())
}

/// Downloads a file of a run.
#[utoipa::path(
    get, path = "/runs/{id}/files/{*path}", tag = "runs", params(("id" = String, Path), ("path" = String, Path, description = "Path from the run's folder."), FileQuery),
    responses((status = 200, description = "The file.", content_type = "application/octet-stream", body = Vec<u8>))
)]
async fn download(State(studio): Shared, Place((id, path)): Place<(String, String)>, Params(query): Params<FileQuery>) -> Answer<Response> {
    let run = studio.run(&id).await?;
    if query.view.as_deref() == Some("frame") {
        if path != "report.html" {
            return Err(Failure::bad("Only the report can be framed."));
        }
        return blocking(move || match fs::read(run.folder.report()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::missing("report of", &run.row.facts.name)),
            read => Ok(frame(read?)),
        })
        .await;
    }
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let found = blocking(move || {
        // Inside the run's own folder, links resolved like any other path.
        let roots = Roots::new(run.folder.path(), &[]);
        let found = roots.resolve(&path)?;
        if found.is_file() { Ok(found) } else { Err(Failure::missing("file", &path)) }
    })
    .await?;
    let file = tokio::fs::File::open(&found).await?;
    let length = file.metadata().await?.len();
    let pieces = stream::try_unfold(file.take(length), |mut file| async move {
        let mut piece = vec![0; PIECE_BYTES];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((piece, file)))
    });
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    let shown: String =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' }).collect();
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{shown}\"")).map_err(Failure::internal)?;
    headers.insert(CONTENT_DISPOSITION, disposition);
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// The report, as it is framed.
fn frame(text: Vec<u8>) -> Response {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, REPORT_POLICY), (X_FRAME_OPTIONS, "SAMEORIGIN")];
    (headers, text).into_response()
}
