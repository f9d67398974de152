//! Long work: asking for it, watching it, ending it.

use apertis_protocol::job::{Job, NewJob};
use apertis_protocol::page::Page;
use apertis_protocol::run::LogText;
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::failure::Answer;
use crate::live::Room;
use crate::recipes;
use crate::request::{Body, Place, blocking};
use crate::studio::Shared;

/// Lines of a job's log that are shown.
const LINES_MAX: u32 = 5_000;

pub(super) fn router() -> Router {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get))
        .routes(routes!(cancel))
        .routes(routes!(again))
        .routes(routes!(log))
}

/// Lists jobs, the newest first.
#[utoipa::path(get, path = "/jobs", tag = "jobs", responses((status = 200, body = Page<Job>)))]
async fn list(State(studio): Shared) -> Json<Page<Job>> {
    let seq = studio.hub.seq(Room::Jobs);
    let items = studio.jobs.all();
    let total = items.len() as u64;
    Json(Page { items, total, of: total, next: None, seq, epoch: studio.hub.epoch().to_owned() })
}

/// Asks for long work.
#[utoipa::path(post, path = "/jobs", tag = "jobs", request_body = NewJob, responses((status = 200, body = Job)))]
async fn create(State(studio): Shared, Body(task): Body<NewJob>) -> Answer<Json<Job>> {
    blocking(move || {
        let task = match task {
            NewJob::MeasurePlan { recipe } => NewJob::MeasurePlan { recipe: checked(&studio, &recipe)? },
            NewJob::Tokenise { recipe } => NewJob::Tokenise { recipe: checked(&studio, &recipe)? },
            NewJob::Merge { run, checkpoint } => NewJob::Merge { run: studio.run_now(&run)?.folder.name(), checkpoint },
        };
        Ok(studio.jobs.ask(task))
    })
    .await
    .map(Json)
}

/// A recipe whose paths may be read, as a job keeps it.
fn checked(studio: &crate::studio::Studio, draft: &apertis_protocol::recipe::RecipeDraft) -> Answer<apertis_protocol::recipe::RecipeDraft> {
    let mut recipe = recipes::read(draft)?;
    recipe.check()?;
    studio.with_places(|places| studio.roots().check_recipe(&mut recipe, places))?;
    Ok(apertis_protocol::recipe::RecipeDraft { toml: Some(recipe.to_toml()), ..Default::default() })
}

/// Shows a job.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = Job)))]
async fn get(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Job>> {
    studio.jobs.find(&id).map(Json)
}

/// Ends a job early.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = Job)))]
async fn cancel(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Job>> {
    blocking(move || studio.jobs.cancel(&id)).await.map(Json)
}

/// Does a job's work again.
#[utoipa::path(post, path = "/jobs/{id}/again", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = Job)))]
async fn again(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Job>> {
    blocking(move || studio.jobs.again(&id)).await.map(Json)
}

/// Gives what a job printed.
#[utoipa::path(get, path = "/jobs/{id}/log", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = LogText)))]
async fn log(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<LogText>> {
    studio.jobs.find(&id)?;
    studio.jobs.settle().await;
    let lines = studio.storage.job_lines(&id, 0, LINES_MAX).await?;
    let text: String = lines.into_iter().flat_map(|line| [line.text, "\n".to_owned()]).collect();
    Ok(Json(LogText { bytes: text.len() as u64, text }))
}
