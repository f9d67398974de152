//! The catalogue, recipes in their three forms, and what a run would take.

use apertis_protocol::plan::Plan;
use apertis_protocol::recipe::{Catalogue, RecipeDraft, RecipeForm};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::failure::Answer;
use crate::plan;
use crate::recipes;
use crate::request::{Body, blocking};
use crate::studio::Shared;

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(catalogue)).routes(routes!(form)).routes(routes!(make_plan))
}

/// Lists every field that a recipe can have.
#[utoipa::path(get, path = "/catalogue", tag = "recipes", responses((status = 200, body = Catalogue)))]
async fn catalogue() -> Json<Catalogue> {
    Json(recipes::catalogue())
}

/// Gives a recipe in all of its forms, with what keeps it from being started.
#[utoipa::path(post, path = "/recipe", tag = "recipes", request_body = RecipeDraft, responses((status = 200, body = RecipeForm)))]
async fn form(State(studio): Shared, Body(draft): Body<RecipeDraft>) -> Answer<Json<RecipeForm>> {
    blocking(move || {
        let recipe = recipes::read(&draft)?;
        let mut form = recipes::form(&recipe);
        let mut checked = recipe;
        if let Err(failure) = studio.with_places(|places| studio.roots().check_recipe(&mut checked, places)) {
            form.problems.push(recipes::problem(&failure));
        }
        Ok(form)
    })
    .await
    .map(Json)
}

/// Estimates what a run would take; from an earlier measurement where there is one.
#[utoipa::path(post, path = "/plan", tag = "recipes", request_body = RecipeDraft, responses((status = 200, body = Plan)))]
async fn make_plan(State(studio): Shared, Body(draft): Body<RecipeDraft>) -> Answer<Json<Plan>> {
    blocking(move || {
        let mut recipe = recipes::read(&draft)?;
        recipe.check()?;
        studio.with_places(|places| studio.roots().check_recipe(&mut recipe, places))?;
        plan::make(&studio, &recipe)
    })
    .await
    .map(Json)
}
