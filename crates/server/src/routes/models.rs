//! Models that can be chosen: those of the home, and checkpoints of runs.

use std::path::Path;

use apertis_library::{ModelEntry, ModelKind};
use apertis_protocol::library::ModelCard;
use apertis_runs::{RunFolder, clock};
use apertis_storage::index::{RunQuery, RunSort};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::failure::Answer;
use crate::request::blocking;
use crate::studio::{Shared, Studio};

/// Runs whose checkpoints are offered, the newest ones.
const RUNS_MAX: u32 = 100;

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(list))
}

/// Lists models: those of the home, then the best checkpoints of runs.
#[utoipa::path(get, path = "/models", tag = "library", responses((status = 200, body = Vec<ModelCard>)))]
async fn list(State(studio): Shared) -> Answer<Json<Vec<ModelCard>>> {
    blocking(move || Ok(cards(&studio))).await.map(Json)
}

/// Every model that a recipe can name.
pub(super) fn cards(studio: &Studio) -> Vec<ModelCard> {
    let entries = apertis_library::list(&studio.home.models()).unwrap_or_default();
    let mut cards: Vec<ModelCard> = entries.iter().map(|entry| card(entry, kind_of(entry))).collect();
    // What the program brings along is what a newcomer needs.
    cards.sort_by_key(|card| card.kind != "starter");
    let query = RunQuery { sort: RunSort::Changed, limit: RUNS_MAX, ..RunQuery::default() };
    // Without the database the models of the home are there all the same.
    let runs = studio.wait(studio.storage.runs(&query)).map(|page| page.rows).unwrap_or_default();
    for row in runs.into_iter().filter(|row| row.best_step.is_some() || row.step > 0) {
        let Ok(folder) = RunFolder::open(&studio.home.root().join(&row.facts.folder)) else { continue };
        let Ok(found) = studio.with_places(|places| apertis_library::find(places, &folder.name())) else { continue };
        let Ok(entry) = apertis_library::describe(&found) else { continue };
        cards.push(ModelCard {
            reference: folder.name(),
            made_by: format!("{} on {} with {}", row.facts.method, row.facts.model, row.facts.data),
            name: row.facts.name,
            best_loss: row.best_loss,
            ..card(&entry, "checkpoint")
        });
    }
    cards
}

fn kind_of(entry: &ModelEntry) -> &'static str {
    if entry.name == "starter" { "starter" } else { "folder" }
}

fn card(entry: &ModelEntry, kind: &str) -> ModelCard {
    let config: serde_json::Value =
        std::fs::read(entry.path.join("config.json")).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let context = ["max_position_embeddings", "n_positions", "n_ctx"].iter().find_map(|name| config[*name].as_u64());
    let changed = std::time::UNIX_EPOCH + std::time::Duration::from_secs(entry.changed_at);
    let base = entry.base.as_deref().map(|base| Path::new(base).file_name().map_or(base.into(), |name| name.to_string_lossy()));
    ModelCard {
        reference: entry.name.clone(),
        name: entry.name.clone(),
        kind: kind.to_owned(),
        family: entry.family.clone(),
        parameters: entry.parameters.unwrap_or(0),
        bytes: entry.bytes,
        context: context.unwrap_or(0),
        made_by: match (entry.kind, base) {
            (ModelKind::Adapter, Some(base)) => format!("adapter on {base}"),
            (ModelKind::Adapter, None) => "adapter".to_owned(),
            (ModelKind::Model, _) => String::new(),
        },
        best_loss: None,
        created_at: (entry.changed_at > 0).then(|| clock::text_of(changed)),
        problem: entry.problem.clone().unwrap_or_default(),
    }
}
