//! Runs: the list, and making new ones.

mod commands;
mod files;
mod one;
mod watch;

pub(crate) use watch::tail;

use std::cmp::Ordering;

use apertis_protocol::error::ErrorCode;
use apertis_protocol::page::Page;
use apertis_protocol::run::{NewRun, Run, RunQuery, RunRow};
use apertis_runs::{RunCard, RunFolder, trash};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::describe;
use crate::failure::{Answer, Failure};
use crate::live::Room;
use crate::mirror::KnownRun;
use crate::queue;
use crate::recipes;
use crate::request::{Body, Params, blocking};
use crate::studio::{Shared, Studio};

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
    let page = match query.trash {
        Some(true) => blocking(move || Ok(page_of(&studio, &query, &trashed(&studio)?))).await?,
        _ => studio.mirror.with_all(|runs| {
            let rows: Vec<(&RunRow, &str)> = runs.values().map(|run| (&run.row, run.card.notes.as_str())).collect();
            page(&studio, &query, rows)
        }),
    };
    Ok(Json(page?))
}

fn page_of(studio: &Studio, query: &RunQuery, runs: &[KnownRun]) -> Answer<Page<RunRow>> {
    page(studio, query, runs.iter().map(|run| (&run.row, run.card.notes.as_str())).collect())
}

/// Deleted runs, described from their folders.
fn trashed(studio: &Studio) -> Answer<Vec<KnownRun>> {
    let describe = |trashed: trash::TrashedRun| {
        let folder = RunFolder::open(&trashed.path).ok()?;
        let text = std::fs::read_to_string(trashed.path.join("card.toml")).unwrap_or_default();
        let card: RunCard = toml::from_str(&text).unwrap_or_default();
        let card = RunCard { id: trashed.id, folder: trashed.name, ..card };
        let record = apertis_runs::RunRecord::read(&folder.events()).unwrap_or_default();
        let state = record.state.with(&apertis_runs::lock::lock_facts(&folder));
        let row = describe::row(&card, &folder.recipe().unwrap_or_default(), &record, &state);
        Some(KnownRun { folder, card, row, state })
    };
    Ok(trash::list(&studio.home)?.into_iter().filter_map(describe).collect())
}

fn page(studio: &Studio, query: &RunQuery, rows: Vec<(&RunRow, &str)>) -> Answer<Page<RunRow>> {
    let of = rows.len() as u64;
    let filter = Filter::of(query);
    let mut rows: Vec<&RunRow> = rows.into_iter().filter(|(row, notes)| filter.takes(row, notes)).map(|(row, _)| row).collect();
    let compare = order(query.sort.as_deref().unwrap_or("created"))?;
    let is_ascending = match query.order.as_deref() {
        Some("asc") => true,
        Some("desc") => false,
        None => query.sort.as_deref() == Some("name"),
        Some(_) => return Err(Failure::bad("order is asc or desc.")),
    };
    rows.sort_by(|a, b| {
        let by_value = compare(a, b, is_ascending);
        by_value.then_with(|| a.id.cmp(&b.id))
    });
    let limit = query.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX) as usize;
    let from = query.cursor.as_deref().map_or(Ok(0), |cursor| place_of(cursor, &rows))?;
    let end = (from + limit).min(rows.len());
    let next = (end < rows.len()).then(|| format!("{end}.{}", rows[end - 1].id));
    Ok(Page {
        items: rows[from.min(end)..end].iter().map(|row| (*row).clone()).collect(),
        total: rows.len() as u64,
        of,
        next,
        seq: studio.hub.seq(Room::Runs),
        epoch: studio.hub.epoch().to_owned(),
    })
}

/// Where a page begins: after the run that ended the one before, or at its place where that is gone.
fn place_of(cursor: &str, rows: &[&RunRow]) -> Answer<usize> {
    let (place, id) = cursor.split_once('.').ok_or_else(|| Failure::bad("cursor is the `next` of another page."))?;
    let place: usize = place.parse().map_err(|_| Failure::bad("cursor is the `next` of another page."))?;
    Ok(rows.iter().position(|row| row.id == id).map_or(place.min(rows.len()), |at| at + 1))
}

type Compare = fn(&RunRow, &RunRow, bool) -> Ordering;

fn order(sort: &str) -> Answer<Compare> {
    fn directed(ordering: Ordering, is_ascending: bool) -> Ordering {
        if is_ascending { ordering } else { ordering.reverse() }
    }
    /// What is unknown comes last, whatever the direction.
    fn known(a: Option<f64>, b: Option<f64>, is_ascending: bool) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) => directed(a.total_cmp(&b), is_ascending),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }
    Ok(match sort {
        "created" => |a, b, up| directed(a.created_at.cmp(&b.created_at), up),
        "changed" => |a, b, up| directed(a.changed_at.cmp(&b.changed_at), up),
        "name" => |a, b, up| directed(a.name.to_lowercase().cmp(&b.name.to_lowercase()), up),
        "best_loss" => |a, b, up| known(a.best_loss, b.best_loss, up),
        "tokens_per_second" => |a, b, up| known(a.tokens_per_second, b.tokens_per_second, up),
        "elapsed" => |a, b, up| directed(a.elapsed_ms.cmp(&b.elapsed_ms), up),
        "step" => |a, b, up| directed(a.step.cmp(&b.step), up),
        "state" => |a, b, up| directed(a.state.name.cmp(&b.state.name), up),
        _ => return Err(Failure::bad("sort is created, changed, name, best_loss, tokens_per_second, elapsed, step or state.")),
    })
}

struct Filter {
    states: Option<Vec<String>>,
    model: Option<String>,
    data: Option<String>,
    tag: Option<String>,
    words: Vec<String>,
}

impl Filter {
    fn of(query: &RunQuery) -> Filter {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Filter {
            states: given(&query.state).map(|states| states.split(',').map(|state| state.trim().to_owned()).collect()),
            model: given(&query.model),
            data: given(&query.data),
            tag: given(&query.tag),
            words: query.text.as_deref().unwrap_or_default().to_lowercase().split_whitespace().map(str::to_owned).collect(),
        }
    }

    fn takes(&self, row: &RunRow, notes: &str) -> bool {
        let has_word = |word: &String| {
            let texts = [row.name.as_str(), row.model.as_str(), row.data.as_str(), notes].into_iter();
            texts.chain(row.tags.iter().map(String::as_str)).any(|text| text.to_lowercase().contains(word))
        };
        self.states.as_ref().is_none_or(|states| states.contains(&row.state.name))
            && self.model.as_ref().is_none_or(|model| row.model == *model)
            && self.data.as_ref().is_none_or(|data| row.data == *data)
            && self.tag.as_ref().is_none_or(|tag| row.tags.contains(tag))
            && self.words.iter().all(has_word)
    }
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
        studio.mirror.look();
        one::describe(&studio, &studio.run(&card.id)?)
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
