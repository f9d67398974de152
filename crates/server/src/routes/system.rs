//! The machine, settings and keys.

use apertis_protocol::error::ErrorCode;
use apertis_protocol::system::{Cleanup, DiskUse, Key, MadeKey, NewKey, Settings, SettingsChange, SystemPage};
use apertis_runs::clock::now_text;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::failure::{Answer, Failure};
use crate::keys;
use crate::machine;
use crate::paths::Roots;
use crate::request::{Body, IfMatch, Place, blocking};
use crate::studio::Shared;

/// Folders that a person can add.
const FOLDERS_MAX: usize = 50;

pub(super) fn router() -> Router {
    OpenApiRouter::new()
        .routes(routes!(system))
        .routes(routes!(clean))
        .routes(routes!(settings, change_settings))
        .routes(routes!(list_keys, make_key))
        .routes(routes!(revoke_key))
}

/// Shows the machine, its disk, and what the doctor finds.
#[utoipa::path(get, path = "/system", tag = "system", responses((status = 200, body = SystemPage)))]
async fn system(State(studio): Shared) -> Answer<Json<SystemPage>> {
    blocking(move || Ok(machine::page(&studio))).await.map(Json)
}

/// Removes what can go without losing a result, and shows what the disk holds then.
#[utoipa::path(post, path = "/system/cleanup", tag = "system", request_body = Cleanup, responses((status = 200, body = DiskUse)))]
async fn clean(State(studio): Shared, Body(cleanup): Body<Cleanup>) -> Answer<Json<DiskUse>> {
    blocking(move || machine::clean(&studio, &cleanup.kinds)).await.map(Json)
}

/// Shows the settings.
#[utoipa::path(get, path = "/settings", tag = "system", responses((status = 200, body = Settings)))]
async fn settings(State(studio): Shared) -> Json<Settings> {
    Json(studio.preferences.settings())
}

/// Changes settings.
#[utoipa::path(
    patch, path = "/settings", tag = "system", request_body = SettingsChange,
    params(("If-Match" = Option<String>, Header, description = "The `etag` that the change was made from.")),
    responses((status = 200, body = Settings))
)]
async fn change_settings(State(studio): Shared, if_match: IfMatch, Body(mut change): Body<SettingsChange>) -> Answer<Json<Settings>> {
    blocking(move || {
        let present = studio.preferences.settings();
        if_match.check(&present.etag, &present)?;
        if let Some(folders) = &change.folders {
            if folders.len() > FOLDERS_MAX {
                return Err(Failure::bad("At most 50 folders can be added."));
            }
            // Those that were added before stay, also while their disk is away.
            let checked = folders.iter().map(|folder| match present.folders.contains(folder) {
                true => Ok(folder.clone()),
                false => Roots::check_folder(folder),
            });
            change.folders = Some(checked.collect::<Answer<Vec<String>>>()?);
        }
        if change.theme.as_deref().is_some_and(|theme| !["light", "dark", "system"].contains(&theme)) {
            return Err(Failure::bad("theme is light, dark or system."));
        }
        if change.watts.is_some_and(|watts| !(0.0..=100_000.0).contains(&watts)) {
            return Err(Failure::bad("watts is 0 to 100,000."));
        }
        Ok(studio.wait(studio.preferences.change(change))?)
    })
    .await
    .map(Json)
}

/// Lists keys, without their secrets.
#[utoipa::path(get, path = "/keys", tag = "system", responses((status = 200, body = Vec<Key>)))]
async fn list_keys(State(studio): Shared) -> Answer<Json<Vec<Key>>> {
    Ok(Json(keys::list(&studio.storage).await?))
}

/// Makes a key. Its secret is shown this once.
#[utoipa::path(post, path = "/keys", tag = "system", request_body = NewKey, responses((status = 200, body = MadeKey)))]
async fn make_key(State(studio): Shared, Body(new): Body<NewKey>) -> Answer<Json<MadeKey>> {
    if new.name.trim().is_empty() || new.name.chars().count() > keys::KEY_NAME_MAX {
        return Err(Failure::new(ErrorCode::BadRequest, "A key has a name of 1 to 80 characters."));
    }
    Ok(Json(keys::make(&studio.storage, new.name.trim()).await?))
}

/// Takes a key back, with every session that was opened with it.
#[utoipa::path(delete, path = "/keys/{id}", tag = "system", params(("id" = String, Path)), responses((status = 204)))]
async fn revoke_key(State(studio): Shared, Place(id): Place<String>) -> Answer<StatusCode> {
    match studio.storage.revoke_key(&id, &now_text()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Failure::missing("key", &id)),
    }
}
