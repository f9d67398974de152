//! The first screen: what runs, what waits, what to do next.

use apertis_protocol::home::{HomePage, NextStep, TourStep};
use apertis_protocol::library::{DataCard, ModelCard};
use apertis_protocol::run::RunRow;
use apertis_storage::index::{RunQuery, RunSort};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Router, data, models};
use crate::describe;
use crate::failure::Answer;
use crate::live::Room;
use crate::request::blocking;
use crate::studio::Shared;

const RECENT: u32 = 6;
const ACTIVE: u32 = 100;
const CARDS: usize = 4;

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(home))
}

/// Shows what runs, what waits, and what to do next.
#[utoipa::path(get, path = "/home", tag = "home", responses((status = 200, body = HomePage)))]
async fn home(State(studio): Shared) -> Answer<Json<HomePage>> {
    let seq = studio.hub.seq(Room::Runs);
    let newest = |states: &[&str], limit: u32| RunQuery {
        sort: RunSort::Changed,
        states: states.iter().map(|state| (*state).to_owned()).collect(),
        limit,
        ..RunQuery::default()
    };
    let active = studio.storage.runs(&RunQuery { is_active: Some(true), ..newest(&[], ACTIVE) }).await?;
    let ended = studio.storage.runs(&RunQuery { is_active: Some(false), ..newest(&[], RECENT) }).await?;
    let troubled = studio.storage.runs(&newest(&["interrupted", "failed"], RECENT)).await?;
    let finished = studio.storage.runs(&newest(&["finished"], RECENT)).await?;
    let (mut queued, running): (Vec<RunRow>, Vec<RunRow>) =
        describe::rows(&active.rows).into_iter().partition(|row| row.state.name == "queued");
    queued.sort_by_key(|row| row.queue_place.unwrap_or(u64::MAX));
    let (troubled, finished) = (describe::rows(&troubled.rows), describe::rows(&finished.rows));
    blocking(move || {
        let (models, data) = (models::cards(&studio), data::cards(&studio));
        let has_runs = ended.of > 0;
        let is_closed = studio.preferences.settings().tour_closed;
        let tour = if is_closed { Vec::new() } else { tour(&models, &data, has_runs, !finished.is_empty()) };
        Ok(HomePage {
            next: next_steps(&running, &troubled, &finished, &models, &data),
            running,
            queued,
            recent: describe::rows(&ended.rows),
            models: models.into_iter().take(CARDS).collect(),
            data: data.into_iter().take(CARDS).collect(),
            tour,
            seq,
            epoch: studio.hub.epoch().to_owned(),
        })
    })
    .await
    .map(Json)
}

fn next_steps(running: &[RunRow], troubled: &[RunRow], finished: &[RunRow], models: &[ModelCard], data: &[DataCard]) -> Vec<NextStep> {
    let step = |text: String, label: &str, href: String, command: String| NextStep { text, label: label.to_owned(), href, command };
    let mut steps = Vec::new();
    for row in troubled.iter().filter(|row| row.state.name == "interrupted").take(2) {
        let text = format!("{} was interrupted at step {}; its last checkpoint is good.", row.name, row.step);
        steps.push(step(text, "Resume", format!("/runs/{}", row.id), format!("apertis train resume={}", row.name)));
    }
    for row in troubled.iter().filter(|row| row.state.name == "failed").take(1) {
        let text = format!("{} failed: {}", row.name, row.failure);
        steps.push(step(text, "See why", format!("/runs/{}", row.id), format!("apertis watch {}", row.name)));
    }
    if running.is_empty() {
        let command = "apertis train model=… data=…".to_owned();
        match (models.is_empty(), data.is_empty()) {
            (_, true) => {
                steps.push(step("Add your data: a file of conversations or text.".to_owned(), "Add data", "/train".to_owned(), command))
            }
            (true, false) => {
                let text = "There is no model in the home yet: train a small one from nothing.".to_owned();
                steps.push(step(
                    text,
                    "From scratch",
                    "/train?preset=scratch".to_owned(),
                    "apertis train method=scratch data=…".to_owned(),
                ));
            }
            (false, false) => steps.push(step("Start a run.".to_owned(), "Train", "/train".to_owned(), command)),
        }
    }
    let finished: Vec<&RunRow> = finished.iter().filter(|row| row.best_loss.is_some()).take(4).collect();
    if finished.len() >= 2 {
        let ids: Vec<&str> = finished.iter().map(|row| row.id.as_str()).collect();
        let text = format!("Compare the newest {} runs.", ids.len());
        steps.push(step(text, "Compare", format!("/compare?runs={}", ids.join(",")), "apertis runs".to_owned()));
    }
    steps
}

fn tour(models: &[ModelCard], data: &[DataCard], has_runs: bool, has_finished: bool) -> Vec<TourStep> {
    let step = |text: &str, href: &str, is_done: bool| TourStep { text: text.to_owned(), href: href.to_owned(), is_done };
    vec![
        step("Choose what to start from: a model, or nothing.", "/train", !models.is_empty() && has_runs),
        step("Add your data, and look at its rows.", "/train", !data.is_empty()),
        step("Press Start.", "/train", has_runs),
        step("Watch it learn, and read its report.", "/runs", has_finished),
    ]
}
