//! Who is asking, and trading a key for a session.

use apertis_protocol::session::{Login, PhoneCode, Session};
use apertis_runs::machine;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Router;
use crate::failure::{Answer, Failure};
use crate::guard::{CODE_SECONDS, Caller, SESSION_COOKIE, SESSION_SECONDS};
use crate::keys;
use crate::request::Body;
use crate::studio::{Shared, Studio};

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(get, open, close)).routes(routes!(phone))
}

fn session(studio: &Studio, is_open: bool) -> Session {
    let reach = &studio.guard.reach;
    let is_tls = reach.public_origin.as_deref().is_some_and(|origin| origin.starts_with("https://"));
    Session {
        needs_key: studio.guard.needs_key,
        is_open,
        version: studio.settings.workers.version.to_owned(),
        // What this computer is called is for those who may be here.
        host: if is_open { machine::host_name() } else { String::new() },
        is_public: reach.is_open || reach.public_origin.is_some(),
        is_plain: reach.is_open && !is_tls,
        home: if is_open { studio.home.root().display().to_string() } else { String::new() },
        epoch: studio.hub.epoch().to_owned(),
    }
}

/// Says whether a key is needed, and whether this browser may go on.
#[utoipa::path(get, path = "/session", tag = "session", responses((status = 200, body = Session)))]
async fn get(State(studio): Shared, Extension(caller): Extension<Caller>) -> Json<Session> {
    Json(session(&studio, caller.is_open))
}

/// Trades a key for a session of 30 days, kept in a cookie.
#[utoipa::path(post, path = "/session", tag = "session", request_body = Login, responses((status = 200, body = Session)))]
async fn open(State(studio): Shared, Extension(caller): Extension<Caller>, Body(login): Body<Login>) -> Answer<(HeaderMap, Json<Session>)> {
    studio.guard.check_tries(caller.address)?;
    let token = match studio.guard.codes.take(&login.key) {
        true => Some(keys::begin_session(&studio.storage, String::new()).await?),
        false => keys::open_session(&studio.storage, login.key.trim()).await?,
    };
    let token = token.ok_or_else(|| studio.guard.wrong_key(caller.address))?;
    Ok((cookie(&studio, &token, SESSION_SECONDS)?, Json(session(&studio, true))))
}

/// Makes a code with which another device logs in, once and within five minutes.
#[utoipa::path(post, path = "/session/phone", tag = "session", responses((status = 200, body = PhoneCode)))]
async fn phone(State(studio): Shared) -> Json<PhoneCode> {
    let code = studio.guard.codes.make();
    let reach = &studio.guard.reach;
    let urls = match reach.is_open || reach.public_origin.is_some() {
        true => studio.addresses().iter().map(|address| format!("{address}/login#code={code}")).collect(),
        false => Vec::new(),
    };
    Json(PhoneCode { code, urls, seconds: CODE_SECONDS })
}

/// Ends this browser's session.
#[utoipa::path(delete, path = "/session", tag = "session", responses((status = 200, body = Session)))]
async fn close(State(studio): Shared, Extension(caller): Extension<Caller>) -> Answer<(HeaderMap, Json<Session>)> {
    if let Some(token) = caller.session {
        keys::close_session(&studio.storage, &token).await?;
    }
    Ok((cookie(&studio, "", 0)?, Json(session(&studio, !studio.guard.needs_key))))
}

fn cookie(studio: &Studio, token: &str, seconds: u64) -> Answer<HeaderMap> {
    let is_tls = studio.guard.reach.public_origin.as_deref().is_some_and(|origin| origin.starts_with("https://"));
    let secure = if is_tls { "; Secure" } else { "" };
    let text = format!("{SESSION_COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let mut headers = HeaderMap::new();
    headers.insert(SET_COOKIE, HeaderValue::from_str(&text).map_err(Failure::internal)?);
    Ok(headers)
}
