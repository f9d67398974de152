//! What a run did: curves, events, samples, its recipe and its worker's words.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use apertis_domain::{Event, EventKind};
use apertis_protocol::metric::{MetricQuery, Metrics};
use apertis_protocol::recipe::RecipeForm;
use apertis_protocol::run::{CoachNote, EventPage, EventQuery, LogText, SampleAnswer, SeenRow, SeenToken};
use apertis_runs::log::events_from;
use apertis_runs::seen;
use apertis_storage::index;
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::curves;
use crate::describe::{coach_note, run_event};
use crate::failure::Answer;
use crate::mirror::KnownRun;
use crate::recipes;
use crate::request::{Params, Place, blocking};
use crate::routes::Router;
use crate::studio::{Shared, Studio};

const EVENTS: u32 = 200;
const EVENTS_MAX: u32 = 2_000;
/// The newest part of `worker.log` that a page shows.
const LOG_BYTES_MAX: u64 = 64 << 10;
/// Answers to the fixed prompts that are sent.
const SAMPLES_MAX: u32 = 20_000;

pub(super) fn router() -> Router {
    OpenApiRouter::new()
        .routes(routes!(metrics))
        .routes(routes!(events))
        .routes(routes!(samples))
        .routes(routes!(batches))
        .routes(routes!(recipe))
        .routes(routes!(coach))
        .routes(routes!(log))
}

/// Gives curves, thinned, and what happened between their points.
#[utoipa::path(
    get, path = "/runs/{id}/metrics", tag = "runs", params(("id" = String, Path), MetricQuery), responses((status = 200, body = Metrics))
)]
async fn metrics(State(studio): Shared, Place(id): Place<String>, Params(query): Params<MetricQuery>) -> Answer<Json<Metrics>> {
    let run = studio.run(&id).await?;
    let found = studio.storage.curves(&run.id, &curves::query(&query)?).await?;
    let series = found.curves.into_iter().map(curves::series).collect();
    let marks = found.marks.into_iter().map(curves::mark).collect();
    Ok(Json(Metrics { run: run.id, series, marks, seq: found.seq.unwrap_or(0) }))
}

/// Lists events, oldest first: those after a number, or the newest.
#[utoipa::path(
    get, path = "/runs/{id}/events", tag = "runs", params(("id" = String, Path), EventQuery), responses((status = 200, body = EventPage))
)]
async fn events(State(studio): Shared, Place(id): Place<String>, Params(query): Params<EventQuery>) -> Answer<Json<EventPage>> {
    let run = studio.run(&id).await?;
    let limit = query.limit.unwrap_or(EVENTS).clamp(1, EVENTS_MAX);
    let seq = run.row.seq.unwrap_or(0);
    if query.points.unwrap_or(false) {
        let events = with_points(&studio, &run, query.after, limit as usize + 1).await?;
        return Ok(Json(event_page(events, limit as usize, query.after.is_some(), seq)));
    }
    // One more, to know whether there are more.
    let wanted =
        index::EventQuery { after: query.after, limit: limit + 1, is_newest_first: query.after.is_none(), ..index::EventQuery::default() };
    let mut events: Vec<Event> = studio.storage.events(&run.id, &wanted).await?.into_iter().map(|stored| stored.event).collect();
    if query.after.is_none() {
        events.reverse();
    }
    Ok(Json(event_page(events, limit as usize, query.after.is_some(), seq)))
}

/// Events with every step, oldest first: the index knows where in the log they stand.
async fn with_points(studio: &Studio, run: &KnownRun, after: Option<u64>, count: usize) -> Answer<Vec<Event>> {
    let newest = run.row.seq.unwrap_or(0);
    let first = after.map_or_else(|| (newest + 1).saturating_sub(count as u64), |after| after.saturating_add(1));
    let place = studio.storage.line_place(&run.id, first).await?.map_or(0, |place| place.offset);
    let path = run.folder.events();
    blocking(move || Ok(events_from(&path, place, first, count)?)).await
}

fn event_page(mut events: Vec<Event>, limit: usize, is_forward: bool, seq: u64) -> EventPage {
    let more = events.len() > limit;
    match is_forward {
        true => events.truncate(limit),
        false => drop(events.drain(..events.len().saturating_sub(limit))),
    }
    EventPage { items: events.iter().map(run_event).collect(), more, seq }
}

/// Gives the answers to the fixed prompts at every evaluation.
#[utoipa::path(get, path = "/runs/{id}/samples", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Vec<SampleAnswer>)))]
async fn samples(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Vec<SampleAnswer>>> {
    let run = studio.run(&id).await?;
    let wanted =
        index::EventQuery { kinds: vec!["sampled".to_owned()], limit: SAMPLES_MAX, is_standing: true, ..index::EventQuery::default() };
    let answers = studio.storage.events(&run.id, &wanted).await?.into_iter().filter_map(|stored| match stored.event.kind {
        EventKind::Sampled(sampled) => Some(SampleAnswer {
            index: sampled.index,
            step: stored.event.step,
            prompt: sampled.prompt,
            text: sampled.text,
            reference: sampled.reference,
        }),
        _ => None,
    });
    Ok(Json(answers.collect()))
}

/// Gives the rows of the first three batches, token by token, as the model saw them.
#[utoipa::path(get, path = "/runs/{id}/batches", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Vec<SeenRow>)))]
async fn batches(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Vec<SeenRow>>> {
    let run = studio.run(&id).await?;
    blocking(move || {
        let token = |token: seen::SeenToken| SeenToken { id: token.id, text: token.text, kind: token.kind };
        let row = |row: seen::SeenRow| SeenRow { batch: row.batch, row: row.row, tokens: row.tokens.into_iter().map(token).collect() };
        Ok(seen::read(&run.folder)?.into_iter().map(row).collect())
    })
    .await
    .map(Json)
}

/// Gives a run's recipe in all of its forms.
#[utoipa::path(get, path = "/runs/{id}/recipe", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = RecipeForm)))]
async fn recipe(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<RecipeForm>> {
    let run = studio.run(&id).await?;
    blocking(move || Ok(recipes::form(&run.folder.recipe()?))).await.map(Json)
}

/// Says what somebody who has watched many runs would say about this one.
#[utoipa::path(get, path = "/runs/{id}/coach", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Vec<CoachNote>)))]
async fn coach(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Vec<CoachNote>>> {
    let run = studio.run(&id).await?;
    blocking(move || {
        let recipe = run.folder.recipe().unwrap_or_default();
        let is_at_work = apertis_runs::lock::lock_facts(&run.folder).is_held;
        let notes = studio.records.with(&run, |record| apertis_runs::coach::notes(record, &recipe, is_at_work))?;
        Ok(notes.into_iter().map(coach_note).collect())
    })
    .await
    .map(Json)
}

/// Gives the newest of what the worker printed.
#[utoipa::path(get, path = "/runs/{id}/log", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = LogText)))]
async fn log(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<LogText>> {
    let run = studio.run(&id).await?;
    blocking(move || tail(&run.folder.worker_log())).await.map(Json)
}

/// The end of a text file; one that is missing is empty.
fn tail(path: &std::path::Path) -> Answer<LogText> {
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
