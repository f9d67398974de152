//! Presets: recipes with a purpose, ours and those that a person saved as files of the home.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use apertis_domain::Recipe;
use apertis_protocol::error::ErrorCode;
use apertis_protocol::recipe::{NewPreset, Preset};
use apertis_runs::durable::replace_file;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::failure::{Answer, Failure};
use crate::recipes;
use crate::request::{Body, Place, blocking};
use crate::studio::{Shared, Studio};

/// What our presets set: name, title, what, not for, fields.
type Own = (&'static str, &'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const OURS: [Own; 5] = [
    (
        "facts",
        "Teach it my facts",
        "Trains a wide adapter for several passes, so that answers from your data are kept word for word.",
        "Not for changing how it sounds: it will repeat your rows rather than speak like them.",
        &[("method", "lora"), ("lora.rank", "32"), ("lora.alpha", "64"), ("epochs", "5"), ("learning_rate", "0.0002")],
    ),
    (
        "tone",
        "Change its tone",
        "Trains a narrow adapter for two passes: enough to speak like your examples without forgetting what it knows.",
        "Not for teaching facts: too little is kept.",
        &[("method", "lora"), ("lora.rank", "8"), ("lora.alpha", "16"), ("epochs", "2"), ("learning_rate", "0.0001")],
    ),
    (
        "format",
        "Follow a format",
        "Trains an adapter on the last answer of each row, so that answers take its shape: JSON, tables, short forms.",
        "Not for conversations whose earlier answers matter as much as the last.",
        &[("method", "lora"), ("lora.rank", "16"), ("train_on", "last"), ("epochs", "3")],
    ),
    (
        "domain",
        "Learn a new text domain",
        "Goes on training all weights on plain text, slowly: the language of a field, a code base, a century.",
        "Not for conversations, and not where memory is short: every weight is trained.",
        &[("method", "continue"), ("epochs", "1"), ("learning_rate", "0.00002"), ("schedule", "cosine")],
    ),
    (
        "scratch",
        "From scratch, tiny",
        "Makes a small new model of your text alone, with a vocabulary of its own: to see how a model learns.",
        "Not for a useful assistant: it knows nothing but your text.",
        &[
            ("method", "scratch"),
            ("model.layers", "4"),
            ("model.heads", "4"),
            ("model.width", "128"),
            ("model.context", "256"),
            ("epochs", "1"),
        ],
    ),
];

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(put, delete))
}

fn folder(studio: &Studio) -> PathBuf {
    studio.home.root().join("presets")
}

/// Lists presets: ours first.
#[utoipa::path(get, path = "/presets", tag = "recipes", responses((status = 200, body = Vec<Preset>)))]
async fn list(State(studio): Shared) -> Answer<Json<Vec<Preset>>> {
    blocking(move || {
        let ours = OURS.iter().map(|(name, title, what, not_for, fields)| Preset {
            name: (*name).to_owned(),
            title: (*title).to_owned(),
            what: (*what).to_owned(),
            not_for: (*not_for).to_owned(),
            fields: fields.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect(),
            is_own: false,
        });
        Ok(ours.chain(own(&studio)).collect())
    })
    .await
    .map(Json)
}

/// Recipe files of the home's `presets`; their first comment is the title, the second what it does.
fn own(studio: &Studio) -> Vec<Preset> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(studio)).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem()?.to_str()?.to_owned();
        let text = fs::read_to_string(&path).ok().filter(|_| path.extension().is_some_and(|ending| ending == "toml"))?;
        let mut words = text.lines().map_while(|line| line.strip_prefix("# "));
        let (title, what, not_for) = (words.next().unwrap_or(&name).to_owned(), words.next(), words.next());
        let (what, not_for) = (what.unwrap_or_default().to_owned(), not_for.unwrap_or_default().to_owned());
        let recipe = Recipe::from_sources::<&str>(Some(&text), &[]).ok()?.0;
        let fields: BTreeMap<String, String> = recipes::changed(&recipe).into_iter().map(|field| (field.name, field.value)).collect();
        Some(Preset { name, title, what, not_for, fields, is_own: true })
    };
    files.into_iter().filter_map(read).collect()
}

/// Saves a preset as a recipe file of the home.
#[utoipa::path(
    put, path = "/presets/{name}", tag = "recipes", request_body = NewPreset,
    params(("name" = String, Path)), responses((status = 200, body = Preset))
)]
async fn put(State(studio): Shared, Place(name): Place<String>, Body(new): Body<NewPreset>) -> Answer<Json<Preset>> {
    blocking(move || {
        let path = path_of(&studio, &name)?;
        let fields: BTreeMap<String, String> = new.fields.into_iter().filter(|(field, _)| field != "name").collect();
        let recipe = recipes::read(&apertis_protocol::recipe::RecipeDraft { fields: Some(fields), ..Default::default() })?;
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<&str>>().join(" ");
        let mut text = format!("# {}\n# {}\n# {}\n", one_line(&new.title), one_line(&new.what), one_line(&new.not_for));
        for (field, value, _) in recipe.difference(&Recipe::default()) {
            let value = toml::Value::try_from(&value).map_err(Failure::internal)?;
            text += &format!("\"{}\" = {value}\n", field.name);
        }
        fs::create_dir_all(folder(&studio))?;
        replace_file(&path, text.as_bytes())?;
        own(&studio).into_iter().find(|preset| preset.name == name).ok_or_else(|| Failure::missing("preset", &name))
    })
    .await
    .map(Json)
}

/// Deletes a preset that a person saved.
#[utoipa::path(delete, path = "/presets/{name}", tag = "recipes", params(("name" = String, Path)), responses((status = 204)))]
async fn delete(State(studio): Shared, Place(name): Place<String>) -> Answer<StatusCode> {
    blocking(move || match fs::remove_file(path_of(&studio, &name)?) {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::missing("preset", &name)),
        Err(error) => Err(error.into()),
    })
    .await
}

fn path_of(studio: &Studio, name: &str) -> Answer<PathBuf> {
    if OURS.iter().any(|(ours, ..)| *ours == name) {
        return Err(Failure::new(ErrorCode::NameTaken, "This preset comes with the program."));
    }
    // The same rule as for folders of runs: no separators, no names of devices.
    let name: apertis_domain::RunName =
        name.parse().map_err(|error: apertis_domain::name::RunNameError| Failure::bad(error.to_string()))?;
    Ok(folder(studio).join(format!("{name}.toml")))
}
