//! Several runs beside one another.

use apertis_domain::Recipe;
use apertis_domain::recipe::{Kind, fields};
use apertis_protocol::compare::{CompareQuery, ComparedField, ComparedValue, Comparison};
use apertis_runs::RunFolder;
use apertis_storage::points::{CurveEnds, CurveQuery};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::curves;
use crate::describe;
use crate::failure::{Answer, Failure};
use crate::recipes::text_of;
use crate::request::{Params, blocking};
use crate::studio::Shared;

const RUNS_MAX: usize = 100;
const POINTS: u32 = 400;
const POINTS_MAX: u32 = 2_000;

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(compare))
}

/// Lays runs beside one another: a curve each, and where their recipes and values differ.
#[utoipa::path(get, path = "/compare", tag = "runs", params(CompareQuery), responses((status = 200, body = Comparison)))]
async fn compare(State(studio): Shared, Params(query): Params<CompareQuery>) -> Answer<Json<Comparison>> {
    let ids: Vec<&str> = query.runs.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if ids.is_empty() || ids.len() > RUNS_MAX {
        return Err(Failure::bad("runs is 1 to 100 ids, separated by commas."));
    }
    let metric = query.metric.unwrap_or_else(|| "eval_loss".to_owned());
    if !curves::is_name(&metric) {
        return Err(Failure::bad("metric is the name of a curve."));
    }
    let points = query.points.unwrap_or(POINTS).clamp(2, POINTS_MAX);
    let wanted = CurveQuery { names: vec![metric.clone()], points, ..CurveQuery::default() };
    let values = curves::COMPARED.iter().map(|name| ComparedValue {
        name: (*name).to_owned(),
        is_less_better: curves::is_less_better(name),
        best: Vec::new(),
        last: Vec::new(),
    });
    let mut comparison = Comparison {
        runs: Vec::new(),
        curves: Vec::new(),
        fields: Vec::new(),
        field_count: u32::try_from(fields().len()).unwrap_or(u32::MAX),
        values: values.collect(),
    };
    let mut folders = Vec::with_capacity(ids.len());
    for id in ids {
        let run = studio.run(id).await?;
        let curve = studio.storage.curves(&run.id, &wanted).await?.curves.pop();
        comparison.curves.push(curve.map_or_else(|| curves::empty(&metric), curves::series));
        let ends = studio.storage.curve_ends(&run.id, &curves::COMPARED).await?;
        for value in &mut comparison.values {
            let found = ends.iter().find(|end| end.name == value.name);
            let best = |end: &CurveEnds| if value.is_less_better { end.min } else { end.max };
            value.best.push(found.and_then(best).map(plain));
            value.last.push(found.and_then(|end| end.last).map(plain));
        }
        comparison.runs.push(describe::row(&run.row));
        folders.push(run.folder);
    }
    comparison.fields = blocking(move || Ok(differences(&folders))).await?;
    Ok(Json(comparison))
}

/// A number with the digits that it has.
fn plain(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

/// Fields whose values are not the same in all of them.
fn differences(folders: &[RunFolder]) -> Vec<ComparedField> {
    let recipes: Vec<Recipe> = folders.iter().map(|folder| folder.recipe().unwrap_or_default()).collect();
    let compared = fields().iter().map(|field| {
        let values: Vec<String> = recipes.iter().map(|recipe| text_of(field, recipe)).collect();
        let is_number = matches!(field.kind, Kind::Integer { .. } | Kind::Number { .. });
        ComparedField { name: field.name.to_owned(), values, is_number }
    });
    compared.filter(|field| field.values.iter().any(|value| *value != field.values[0])).collect()
}
