//! The API: one file a noun. The document of it is made of the routes themselves.

mod compare;
mod data;
mod home;
mod jobs;
mod models;
mod presets;
mod queue;
mod recipes;
mod runs;
mod session;
mod sweeps;
mod system;

use std::sync::Arc;

use apertis_protocol::{error, live};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::studio::Studio;

pub(crate) use data::resume_checks;
pub(crate) use runs::tail;

/// Routes with their part of the document.
pub(super) type Router = OpenApiRouter<Arc<Studio>>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Apertis Studio",
        description = "Train, watch and compare language models on this computer. Errors are `ApiError`. What happens is told over Socket.IO at `/socket.io`: emit `join` with `Join`; the messages are the other components of that name's module.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(
        error::ApiError,
        live::Join,
        live::Joined,
        live::RunMessage,
        live::RunsMessage,
        live::SystemMessage,
        live::JobMessage,
        live::Gap
    )),
    tags(
        (name = "session", description = "Who is asking."),
        (name = "home", description = "The first screen."),
        (name = "runs", description = "Training runs."),
        (name = "recipes", description = "Recipes, presets and plans."),
        (name = "library", description = "Models and data."),
        (name = "jobs", description = "Long work."),
        (name = "system", description = "Machine, settings and keys.")
    )
)]
struct Document;

/// Every route of the API, and the document that describes them.
pub(crate) fn api() -> (axum::Router<Arc<Studio>>, utoipa::openapi::OpenApi) {
    let api = OpenApiRouter::new()
        .merge(session::router())
        .merge(home::router())
        .merge(runs::router())
        .merge(compare::router())
        .merge(recipes::router())
        .merge(presets::router())
        .merge(queue::router())
        .merge(sweeps::router())
        .merge(models::router())
        .merge(data::router())
        .merge(jobs::router())
        .merge(system::router());
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", api).split_for_parts();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    add_errors(&mut document);
    (router, document)
}

/// Every route answers errors of one shape.
fn add_errors(document: &mut utoipa::openapi::OpenApi) {
    use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ApiError"))).build();
    let error = ResponseBuilder::new().description("Why there is no answer.").content("application/json", content).build();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".to_owned(), RefOr::T(error.clone()));
        }
    }
}
