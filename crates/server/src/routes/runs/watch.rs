//! What a run did: curves, events, samples, its recipe and its worker's words.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use apertis_protocol::metric::{MetricQuery, Metrics};
use apertis_protocol::recipe::RecipeForm;
use apertis_protocol::run::{CoachNote, EventPage, EventQuery, LogText, SampleAnswer};
use apertis_runs::log::{events_after, read_log};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::curves;
use crate::describe::{coach_note, run_event};
use crate::failure::Answer;
use crate::recipes;
use crate::request::{Params, Place, blocking};
use crate::routes::Router;
use crate::studio::Shared;

const EVENTS: u32 = 200;
const EVENTS_MAX: u32 = 2_000;
/// The newest part of `worker.log` that a page shows.
const LOG_BYTES_MAX: u64 = 64 << 10;
/// Events that are looked for at the log's end before all of it is read.
const STRETCH_BYTES: u64 = 4 << 20;

pub(super) fn router() -> Router {
    OpenApiRouter::new()
        .routes(routes!(metrics))
        .routes(routes!(events))
        .routes(routes!(samples))
        .routes(routes!(recipe))
        .routes(routes!(coach))
        .routes(routes!(log))
}

/// Gives curves, thinned, and what happened between their points.
#[utoipa::path(
    get, path = "/runs/{id}/metrics", tag = "runs", params(("id" = String, Path), MetricQuery), responses((status = 200, body = Metrics))
)]
async fn metrics(State(studio): Shared, Place(id): Place<String>, Params(query): Params<MetricQuery>) -> Answer<Json<Metrics>> {
    let run = studio.run(&id)?;
    blocking(move || {
        let record = studio.mirror.record(&run)?;
        let series = curves::series(&record, &query);
        Ok(Metrics { run: run.card.id, series, marks: curves::marks(&record), seq: record.seq.unwrap_or(0) })
    })
    .await
    .map(Json)
}

/// Lists events, oldest first: those after a number, or the newest.
#[utoipa::path(
    get, path = "/runs/{id}/events", tag = "runs", params(("id" = String, Path), EventQuery), responses((status = 200, body = EventPage))
)]
async fn events(State(studio): Shared, Place(id): Place<String>, Params(query): Params<EventQuery>) -> Answer<Json<EventPage>> {
    let run = studio.run(&id)?;
    blocking(move || {
        let limit = query.limit.unwrap_or(EVENTS).clamp(1, EVENTS_MAX) as usize;
        let path = run.folder.events();
        let mut events = match query.after {
            Some(_) => events_after(&path, query.after, STRETCH_BYTES)?,
            None => None,
        };
        if events.is_none() {
            events = Some(read_log(&path)?);
        }
        let mut events = events.unwrap_or_default();
        let seq = events.last().map_or(query.after.unwrap_or(0), |event| event.seq);
        if !query.points.unwrap_or(false) {
            events.retain(|event| !matches!(event.kind, apertis_domain::EventKind::StepFinished(_)));
        }
        events.retain(|event| query.after.is_none_or(|after| event.seq > after));
        let more = events.len() > limit;
        match query.after {
            Some(_) => events.truncate(limit),
            None => drop(events.drain(..events.len().saturating_sub(limit))),
        }
        Ok(EventPage { items: events.iter().map(run_event).collect(), more, seq })
    })
    .await
    .map(Json)
}

/// Gives the answers to the fixed prompts at every evaluation.
#[utoipa::path(get, path = "/runs/{id}/samples", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Vec<SampleAnswer>)))]
async fn samples(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Vec<SampleAnswer>>> {
    let run = studio.run(&id)?;
    blocking(move || {
        let record = studio.mirror.record(&run)?;
        let answers = record.samples.iter().map(|point| SampleAnswer {
            index: point.value.index,
            step: point.step,
            prompt: point.value.prompt.clone(),
            text: point.value.text.clone(),
            reference: point.value.reference.clone(),
        });
        Ok(answers.collect())
    })
    .await
    .map(Json)
}

/// Gives a run's recipe in all of its forms.
#[utoipa::path(get, path = "/runs/{id}/recipe", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = RecipeForm)))]
async fn recipe(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<RecipeForm>> {
    let run = studio.run(&id)?;
    blocking(move || Ok(recipes::form(&run.folder.recipe()?))).await.map(Json)
}

/// Says what somebody who has watched many runs would say about this one.
#[utoipa::path(get, path = "/runs/{id}/coach", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Vec<CoachNote>)))]
async fn coach(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Vec<CoachNote>>> {
    let run = studio.run(&id)?;
    blocking(move || {
        let record = studio.mirror.record(&run)?;
        let recipe = run.folder.recipe().unwrap_or_default();
        let is_at_work = apertis_runs::lock::lock_facts(&run.folder).is_held;
        Ok(apertis_runs::coach::notes(&record, &recipe, is_at_work).into_iter().map(coach_note).collect())
    })
    .await
    .map(Json)
}

/// Gives the newest of what the worker printed.
#[utoipa::path(get, path = "/runs/{id}/log", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = LogText)))]
async fn log(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<LogText>> {
    let run = studio.run(&id)?;
    blocking(move || tail(&run.folder.worker_log())).await.map(Json)
}

/// The end of a text file; one that is missing is empty.
pub(crate) fn tail(path: &std::path::Path) -> Answer<LogText> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(LogText { text: String::new(), bytes: 0 }),
        Err(error) => return Err(error.into()),
    };
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(LOG_BYTES_MAX)))?;
    let mut tail = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut tail)?;
    // The first line of a part was cut, unless the file begins here.
    let first = if bytes > LOG_BYTES_MAX { tail.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1) } else { 0 };
    Ok(LogText { text: String::from_utf8_lossy(&tail[first..]).into_owned(), bytes })
}
