//! Runs: the list, and making new ones.

mod commands;
mod files;
mod one;
mod watch;

use apertis_protocol::error::ErrorCode;
use apertis_protocol::page::Page;
use apertis_protocol::run::{NewRun, Run, RunQuery, RunRow};
use apertis_runs::{RunCard, RunFolder};
use apertis_storage::index::{self, RunOrder, RunSort};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::describe;
use crate::failure::{Answer, Failure};
use crate::live::Room;
use crate::queue;
use crate::recipes;
use crate::request::{Body, Params, blocking};
use crate::studio::Shared;

const LIMIT: u32 = 50;
const LIMIT_MAX: u32 = 200;

pub(super) fn router() -> Router {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .merge(one::router())
        .merge(commands::router())
        .merge(watch::router())
        .merge(files::router())
}

/// Lists runs.
#[utoipa::path(get, path = "/runs", tag = "runs", params(RunQuery), responses((status = 200, body = Page<RunRow>)))]
async fn list(State(studio): Shared, Params(query): Params<RunQuery>) -> Answer<Json<Page<RunRow>>> {
    // Before the rows: what changes meanwhile is heard twice rather than never.
    let seq = studio.hub.seq(Room::Runs);
    let page = studio.storage.runs(&wanted(query)?).await?;
    Ok(Json(Page {
        items: describe::rows(&page.rows),
        total: page.total,
        of: page.of,
        next: page.next,
        seq,
        epoch: studio.hub.epoch().to_owned(),
    }))
}

/// A question as the index takes it.
fn wanted(query: RunQuery) -> Answer<index::RunQuery> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let sort = match given(query.sort) {
        Some(word) => RunSort::from_word(&word).ok_or_else(|| Failure::bad(format!("sort is one of {}.", words_of_sort())))?,
        None => RunSort::default(),
    };
    let order = match given(query.order).as_deref() {
        Some("asc") => Some(RunOrder::Asc),
        Some("desc") => Some(RunOrder::Desc),
        None => None,
        Some(_) => return Err(Failure::bad("order is asc or desc.")),
    };
    let states = given(query.state).map(|states| states.split(',').map(|state| state.trim().to_owned()).collect());
    Ok(index::RunQuery {
        limit: query.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX),
        cursor: given(query.cursor),
        sort,
        order,
        states: states.unwrap_or_default(),
        model: given(query.model),
        data: given(query.data),
        tag: given(query.tag),
        text: query.text.unwrap_or_default(),
        is_trash: query.trash.unwrap_or(false),
        ..index::RunQuery::default()
    })
}

fn words_of_sort() -> String {
    RunSort::ALL.iter().map(|(_, word)| *word).collect::<Vec<&str>>().join(", ")
}

/// Makes a run, and starts it unless told otherwise.
#[utoipa::path(post, path = "/runs", tag = "runs", request_body = NewRun, responses((status = 200, body = Run)))]
async fn create(State(studio): Shared, Body(new): Body<NewRun>) -> Answer<Json<Run>> {
    blocking(move || {
        let mut recipe = recipes::read(&new.recipe)?;
        if let Some(name) = &new.name {
            recipe.name = name.trim().to_owned();
        }
        recipe.check()?;
        studio.with_places(|places| studio.roots().check_recipe(&mut recipe, places))?;
        check_tags(&new.tags)?;
        let folder = RunFolder::create(&studio.home, &recipe)?;
        let mut card = RunCard::open(&studio.home, &folder)?;
        if !new.tags.is_empty() {
            card.tags.clone_from(&new.tags);
            card.write(&folder)?;
        }
        if new.start {
            queue::enter(&studio.home, &folder)?;
        }
        studio.mirror.look(&[&folder]);
        one::describe(&studio, &studio.run_now(&card.id)?)
    })
    .await
    .map(Json)
}

/// Refuses tags that nobody could read.
fn check_tags(tags: &[String]) -> Answer<()> {
    let is_good = |tag: &String| (1..=40).contains(&tag.chars().count()) && !tag.chars().any(char::is_control);
    match tags.len() <= 20 && tags.iter().all(is_good) {
        true => Ok(()),
        false => Err(Failure::new(ErrorCode::BadRequest, "A run has at most 20 tags of 1 to 40 characters.")),
    }
}
