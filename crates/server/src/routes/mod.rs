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

use apertis_protocol::{compare as comparison, error, library, live, metric, run};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::studio::Studio;

pub(crate) use data::resume_checks;

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
        live::Gap,
        comparison::CompareQuery,
        library::RowQuery,
        library::UploadQuery,
        metric::MetricQuery,
        run::EventQuery,
        run::RunQuery
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
    finish(&mut document);
    (router, document)
}

/// Every route answers errors of one shape, and is called after its method and path.
fn finish(document: &mut utoipa::openapi::OpenApi) {
    use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ApiError"))).build();
    let error = ResponseBuilder::new().description("Why there is no answer.").content("application/json", content).build();
    for (path, item) in &mut document.paths.paths {
        let words: Vec<&str> = path.trim_start_matches("/api/v1").split(|letter: char| !letter.is_alphanumeric()).collect();
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            operation.operation_id = Some(format!("{method}_{}", words.join("_")));
            operation.responses.responses.insert("default".to_owned(), RefOr::T(error.clone()));
        }
    }
}
