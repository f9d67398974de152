//! Several runs beside one another.

use apertis_domain::recipe::{Kind, fields};
use apertis_protocol::compare::{CompareQuery, ComparedField, ComparedValue, Comparison};
use apertis_protocol::metric::MetricQuery;
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::curves;
use crate::failure::{Answer, Failure};
use crate::mirror::KnownRun;
use crate::recipes::text_of;
use crate::request::{Params, blocking};
use crate::studio::Shared;

const RUNS_MAX: usize = 100;
const POINTS: u32 = 400;

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
    let metric = query.metric.clone().unwrap_or_else(|| "eval_loss".to_owned());
    if !curves::names().any(|name| name == metric) {
        return Err(Failure::bad(format!("metric is one of {}.", curves::names().collect::<Vec<&str>>().join(", "))));
    }
    let runs = ids.iter().map(|id| studio.run(id)).collect::<Answer<Vec<KnownRun>>>()?;
    let points = query.points.unwrap_or(POINTS);
    blocking(move || {
        let wanted = MetricQuery { names: Some(metric), points: Some(points), ..MetricQuery::default() };
        let mut comparison = Comparison {
            runs: runs.iter().map(|run| run.row.clone()).collect(),
            curves: Vec::new(),
            fields: Vec::new(),
            field_count: u32::try_from(fields().len()).unwrap_or(u32::MAX),
            values: curves::names()
                .filter(|name| *name != "learning_rate")
                .map(|name| ComparedValue {
                    name: name.to_owned(),
                    is_less_better: curves::is_less_better(name),
                    best: Vec::new(),
                    last: Vec::new(),
                })
                .collect(),
        };
        let mut recipes = Vec::with_capacity(runs.len());
        // One record after the other: a hundred whole logs would not fit into memory.
        for run in &runs {
            let record = studio.mirror.record(run)?;
            comparison.curves.extend(curves::series(&record, &wanted));
            for value in &mut comparison.values {
                let (best, last) = curves::ends(&record, &value.name);
                value.best.push(best);
                value.last.push(last);
            }
            recipes.push(run.folder.recipe().unwrap_or_default());
        }
        for field in fields() {
            let values: Vec<String> = recipes.iter().map(|recipe| text_of(field, recipe)).collect();
            if values.iter().any(|value| *value != values[0]) {
                let is_number = matches!(field.kind, Kind::Integer { .. } | Kind::Number { .. });
                comparison.fields.push(ComparedField { name: field.name.to_owned(), values, is_number });
            }
        }
        Ok(comparison)
    })
    .await
    .map(Json)
}
