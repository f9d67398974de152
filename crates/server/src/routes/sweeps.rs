//! Sweeps: groups of runs that try values of fields.

use apertis_protocol::queue::{Sweep, SweepDraft, SweepTry};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::failure::Answer;
use crate::recipes;
use crate::request::{Body, Place, blocking};
use crate::studio::Shared;
use crate::sweeps;

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(get))
}

/// Makes the runs of a sweep and puts them into the queue; a preview only says what would run.
#[utoipa::path(post, path = "/sweeps", tag = "runs", request_body = SweepDraft, responses((status = 200, body = Sweep)))]
async fn create(State(studio): Shared, Body(draft): Body<SweepDraft>) -> Answer<Json<Sweep>> {
    blocking(move || {
        let mut recipe = recipes::read(&draft.recipe)?;
        let (tries, total) = sweeps::tries(&draft)?;
        let allowed = studio.with_places(|places| studio.roots().check_recipe(&mut recipe, places));
        if !draft.preview {
            allowed?;
            return sweeps::create(&studio, &draft, &recipe);
        }
        let checked = allowed.and_then(|()| tries.iter().try_for_each(|fields| sweeps::recipe_of(&recipe, fields).map(|_| ())));
        let problem = checked.err().map(|failure| failure.message).unwrap_or_default();
        let tries = tries.into_iter().map(|fields| SweepTry { run: None, fields, rung: 0 }).collect();
        Ok(Sweep { id: String::new(), name: draft.name.clone(), tries, total, problem })
    })
    .await
    .map(Json)
}

/// Shows a sweep with its runs.
#[utoipa::path(get, path = "/sweeps/{id}", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Sweep)))]
async fn get(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Sweep>> {
    blocking(move || sweeps::show(&studio, &id)).await.map(Json)
}
