//! The first screen: what runs, what waits, what to do next.

use apertis_protocol::home::{HomePage, NextStep, TourStep};
use apertis_protocol::library::{DataCard, ModelCard};
use apertis_protocol::run::RunRow;
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Router, data, models};
use crate::failure::Answer;
use crate::live::Room;
use crate::request::blocking;
use crate::studio::Shared;

const RECENT: usize = 6;
const CARDS: usize = 4;

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(home))
}

/// Shows what runs, what waits, and what to do next.
#[utoipa::path(get, path = "/home", tag = "home", responses((status = 200, body = HomePage)))]
async fn home(State(studio): Shared) -> Answer<Json<HomePage>> {
    blocking(move || {
        let seq = studio.hub.seq(Room::Runs);
        let mut rows: Vec<RunRow> = studio.mirror.with_all(|runs| runs.values().map(|run| run.row.clone()).collect());
        rows.sort_by(|a, b| b.changed_at.cmp(&a.changed_at));
        let (active, ended): (Vec<RunRow>, Vec<RunRow>) = rows.into_iter().partition(|row| row.state.is_active);
        let (mut queued, running): (Vec<RunRow>, Vec<RunRow>) = active.into_iter().partition(|row| row.state.name == "queued");
        queued.sort_by_key(|row| row.queue_place.unwrap_or(u64::MAX));
        let (models, data) = (models::cards(&studio), data::cards(&studio));
        let is_closed = studio.ledger.settings().tour_closed;
        let tour = if is_closed { Vec::new() } else { tour(&models, &data, running.len() + queued.len() + ended.len(), &ended) };
        Ok(HomePage {
            next: next_steps(&running, &ended, &models, &data),
            running,
            queued,
            recent: ended.into_iter().take(RECENT).collect(),
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

fn next_steps(running: &[RunRow], ended: &[RunRow], models: &[ModelCard], data: &[DataCard]) -> Vec<NextStep> {
    let step = |text: String, label: &str, href: String, command: String| NextStep { text, label: label.to_owned(), href, command };
    let mut steps = Vec::new();
    for row in ended.iter().filter(|row| row.state.name == "interrupted").take(2) {
        let text = format!("{} was interrupted at step {}; its last checkpoint is good.", row.name, row.step);
        steps.push(step(text, "Resume", format!("/runs/{}", row.id), format!("apertis train resume={}", row.name)));
    }
    for row in ended.iter().filter(|row| row.state.name == "failed").take(1) {
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
    let finished: Vec<&RunRow> = ended.iter().filter(|row| row.best_loss.is_some()).take(4).collect();
    if finished.len() >= 2 {
        let ids: Vec<&str> = finished.iter().map(|row| row.id.as_str()).collect();
        let text = format!("Compare the newest {} runs.", ids.len());
        steps.push(step(text, "Compare", format!("/compare?runs={}", ids.join(",")), "apertis runs".to_owned()));
    }
    steps
}

fn tour(models: &[ModelCard], data: &[DataCard], runs: usize, ended: &[RunRow]) -> Vec<TourStep> {
    let step = |text: &str, href: &str, is_done: bool| TourStep { text: text.to_owned(), href: href.to_owned(), is_done };
    vec![
        step("Choose what to start from: a model, or nothing.", "/train", !models.is_empty() && runs > 0),
        step("Add your data, and look at its rows.", "/train", !data.is_empty()),
        step("Press Start.", "/train", runs > 0),
        step("Watch it learn, and read its report.", "/runs", ended.iter().any(|row| row.state.name == "finished")),
    ]
}
