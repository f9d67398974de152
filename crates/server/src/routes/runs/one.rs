//! One run: what it is, what a person calls it, and deleting it.

use apertis_protocol::error::ErrorCode;
use apertis_protocol::run::{Dependent, Run, RunChange};
use apertis_runs::{RunCard, trash};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::check_tags;
use super::commands::is_at_work;
use crate::describe;
use crate::failure::{Answer, Failure};
use crate::mirror::KnownRun;
use crate::queue;
use crate::request::{Body, IfMatch, Place, blocking};
use crate::routes::Router;
use crate::studio::{Shared, Studio};

/// Longest notes.
const NOTES_BYTES_MAX: usize = 64 << 10;

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(get, change, delete)).routes(routes!(dependents)).routes(routes!(restore))
}

/// A run, whole. Waits for disk and database.
pub(super) fn describe(studio: &Studio, run: &KnownRun) -> Answer<Run> {
    let recipe = run.folder.recipe().unwrap_or_default();
    let others = studio.wait(studio.storage.rows(&studio.mirror.made_of(&run.id, &run.folder)))?;
    Ok(describe::whole(run, &recipe, &others, studio.preferences.settings().watts))
}

/// Shows a run.
#[utoipa::path(get, path = "/runs/{id}", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Run)))]
async fn get(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Run>> {
    let run = studio.run(&id).await?;
    blocking(move || describe(&studio, &run)).await.map(Json)
}

/// Changes name, tags or notes.
#[utoipa::path(
    patch, path = "/runs/{id}", tag = "runs", request_body = RunChange,
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "The `etag` that the change was made from.")),
    responses((status = 200, body = Run))
)]
async fn change(State(studio): Shared, Place(id): Place<String>, if_match: IfMatch, Body(change): Body<RunChange>) -> Answer<Json<Run>> {
    let run = studio.run(&id).await?;
    blocking(move || {
        let mut card = RunCard::open(&studio.home, &run.folder)?;
        let present = RunChange { name: Some(card.title().to_owned()), tags: Some(card.tags.clone()), notes: Some(card.notes.clone()) };
        if_match.check(&describe::card_etag(&card), present)?;
        if let Some(name) = change.name {
            card.rename(&name)?;
        }
        if let Some(tags) = change.tags {
            check_tags(&tags)?;
            card.tags = tags;
        }
        if let Some(notes) = change.notes {
            if notes.len() > NOTES_BYTES_MAX {
                return Err(Failure::new(ErrorCode::TooLarge, "Notes have at most 64 KiB.").hint("Keep longer texts in a file."));
            }
            card.notes = notes;
        }
        card.write(&run.folder)?;
        studio.mirror.look(&[&run.folder]);
        describe(&studio, &studio.run_now(&card.id)?)
    })
    .await
    .map(Json)
}

/// Moves a run to the trash, where it is kept for 30 days.
#[utoipa::path(delete, path = "/runs/{id}", tag = "runs", params(("id" = String, Path)), responses((status = 204)))]
async fn delete(State(studio): Shared, Place(id): Place<String>) -> Answer<StatusCode> {
    let run = studio.run(&id).await?;
    blocking(move || {
        if is_at_work(&run) {
            return Err(Failure::new(ErrorCode::NotPossibleNow, "A worker is at work on this run.").hint("Stop it first."));
        }
        queue::leave(&studio.home, &run.folder)?;
        trash::discard(&studio.home, &run.folder)?;
        trash::sweep(&studio.home, std::time::SystemTime::now())?;
        studio.mirror.look(&[]);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Takes a run out of the trash.
#[utoipa::path(post, path = "/runs/{id}/restore", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Run)))]
async fn restore(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Run>> {
    blocking(move || {
        trash::restore(&studio.home, &id)?;
        studio.mirror.look(&[]);
        describe(&studio, &studio.run_now(&id)?)
    })
    .await
    .map(Json)
}

/// Lists what stands on a run: what deleting it would take away.
#[utoipa::path(get, path = "/runs/{id}/dependents", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Vec<Dependent>)))]
async fn dependents(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Vec<Dependent>>> {
    let run = studio.run(&id).await?;
    let others = studio.storage.rows(&studio.mirror.made_of(&run.id, &run.folder)).await?;
    Ok(Json(describe::made_into(&others).collect()))
}
