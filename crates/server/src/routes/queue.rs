//! The queue: what waits, in which order, and whether anything new begins.

use apertis_protocol::queue::{Queue, QueueChange};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::failure::Answer;
use crate::queue;
use crate::request::{Body, IfMatch, blocking};
use crate::studio::Shared;

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(show, change))
}

/// Shows what waits, in the order in which it begins.
#[utoipa::path(get, path = "/queue", tag = "runs", responses((status = 200, body = Queue)))]
async fn show(State(studio): Shared) -> Answer<Json<Queue>> {
    queue::show(&studio).await.map(Json)
}

/// Gives the queue another order, or holds it.
#[utoipa::path(
    put, path = "/queue", tag = "runs", request_body = QueueChange,
    params(("If-Match" = Option<String>, Header, description = "The `etag` that the change was made from.")),
    responses((status = 200, body = Queue))
)]
async fn change(State(studio): Shared, if_match: IfMatch, Body(change): Body<QueueChange>) -> Answer<Json<Queue>> {
    blocking(move || {
        let present = studio.wait(queue::show(&studio))?;
        if_match.check(&present.etag, &present)?;
        queue::change(&studio, &change)?;
        studio.wait(queue::show(&studio))
    })
    .await
    .map(Json)
}
