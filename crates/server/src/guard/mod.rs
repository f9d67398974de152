//! The one layer outside routes and sockets: who may ask what, from which page, and what every
//! answer carries. Nothing behind it decides about that again.

mod access;
mod codes;
mod headers;
mod origin;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use apertis_protocol::error::ErrorCode;
use apertis_storage::Storage;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

pub(crate) use access::{Caller, SESSION_COOKIE, SESSION_SECONDS};
pub(crate) use codes::{CODE_SECONDS, Codes};
pub(crate) use origin::Reach;

use crate::failure::{Answer, Failure};
use crate::keys;
use crate::random;

/// Body type of an upload.
pub(crate) const UPLOAD_TYPE: &str = "application/octet-stream";
/// Where uploads go.
pub(crate) const UPLOAD_PATH: &str = "/api/v1/data";
/// Where sockets are.
pub(crate) const SOCKET_PATH: &str = "/socket.io";
/// The one address of the API that answers without a key.
pub(crate) const SESSION_PATH: &str = "/api/v1/session";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request without its body, which cannot be shared while the database is asked.
struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    peer: Option<IpAddr>,
}

impl Asked {
    fn of(request: &Request) -> Asked {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        Asked { method: request.method().clone(), uri: request.uri().clone(), headers: request.headers().clone(), peer }
    }
}

/// What the layer decides by.
pub(crate) struct Guard {
    pub(crate) reach: Reach,
    pub(crate) needs_key: bool,
    proxies: Vec<IpAddr>,
    tries: access::Tries,
    pub(crate) codes: Codes,
    storage: Arc<Storage>,
}

impl Guard {
    pub(crate) fn new(reach: Reach, needs_key: bool, proxies: Vec<IpAddr>, storage: Arc<Storage>) -> Guard {
        Guard { reach, needs_key, proxies, tries: access::Tries::default(), codes: Codes::default(), storage }
    }

    /// Whether a request may go on to routes and sockets, and who sent it.
    async fn admit(&self, request: &Asked) -> Answer<Caller> {
        let headers = &request.headers;
        self.reach.check_host(&request.uri, headers)?;
        self.reach.check_origin(headers)?;
        check_fetch_site(headers)?;
        check_write(request)?;
        let caller = self.caller(self.address(request), headers).await?;
        if needs_access(request.uri.path()) && !caller.is_open {
            return Err(match caller.was_wrong {
                true => self.wrong_key(caller.address),
                false => Failure::new(ErrorCode::KeyNeeded, "This server needs a key."),
            });
        }
        Ok(caller)
    }

    /// Who sends this, as far as key and session tell.
    async fn caller(&self, address: Option<IpAddr>, headers: &HeaderMap) -> Answer<Caller> {
        let caller = Caller { address, is_open: !self.needs_key, was_wrong: false, session: access::session_of(headers) };
        if !self.needs_key {
            return Ok(caller);
        }
        if let Some(key) = access::bearer_of(headers) {
            let is_open = !self.tries.is_too_many(address) && keys::find(&self.storage, &key).await?.is_some();
            return Ok(Caller { is_open, was_wrong: !is_open, ..caller });
        }
        let is_open = match &caller.session {
            Some(token) => keys::knows_session(&self.storage, token).await?,
            None => false,
        };
        Ok(Caller { is_open, ..caller })
    }

    /// Counts a wrong key, and says so.
    pub(crate) fn wrong_key(&self, address: Option<IpAddr>) -> Failure {
        match self.tries.count(address) {
            true => Failure::new(ErrorCode::TooManyTries, "There were ten wrong keys within a minute.")
                .details(serde_json::json!({ "wait_seconds": 60 })),
            false => Failure::new(ErrorCode::KeyWrong, "This key is not known."),
        }
    }

    /// Whether an address has used its tries up.
    pub(crate) fn check_tries(&self, address: Option<IpAddr>) -> Answer<()> {
        match self.tries.is_too_many(address) {
            true => Err(Failure::new(ErrorCode::TooManyTries, "There were ten wrong keys within a minute.")
                .details(serde_json::json!({ "wait_seconds": 60 }))),
            false => Ok(()),
        }
    }

    /// The address that asks; what a proxy says about it is believed of known proxies only.
    fn address(&self, request: &Asked) -> Option<IpAddr> {
        let peer = request.peer.map(|peer| peer.to_canonical());
        if peer.is_some_and(|peer| self.proxies.contains(&peer)) {
            let forwarded = request.headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
            let chain: Vec<IpAddr> = forwarded.flat_map(|value| value.split(',')).filter_map(|part| part.trim().parse().ok()).collect();
            // The nearest that is no proxy of ours: what stands before it, anybody can write.
            return chain.into_iter().rev().find(|address| !self.proxies.contains(address)).or(peer);
        }
        peer
    }
}

/// The layer.
pub(crate) async fn layer(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let request_id = random::hex::<8>();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = match guard.admit(&Asked::of(&request)).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    };
    let mut response = with_body(response, &method, &path, &request_id);
    headers::add(response.headers_mut(), &path);
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let status = response.status().as_u16();
    // The part after `?` and every header stay out: they may hold what is nobody's business.
    tracing::info!(%method, path, status, duration_ms = began.elapsed().as_secs_f64() * 1e3, request_id, "answered");
    response
}

/// Gives every failure its body, the framework's own included.
fn with_body(response: Response, method: &Method, path: &str, request_id: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let failure = match response.extensions().get::<Failure>() {
        Some(failure) => failure.clone(),
        // The sockets' own words are part of their protocol.
        None if is_socket(path) => return response,
        None => match status {
            StatusCode::NOT_FOUND => Failure::missing("address", path),
            StatusCode::METHOD_NOT_ALLOWED => Failure::new(ErrorCode::MethodNotAllowed, format!("{method} is not taken here.")),
            StatusCode::PAYLOAD_TOO_LARGE => Failure::new(ErrorCode::TooLarge, "The body is too large."),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Failure::new(ErrorCode::TypeNotTaken, "This kind of body is not taken."),
            status if status.is_client_error() => Failure::bad("The request cannot be understood."),
            status => Failure::internal(format!("an answer of {status} without a reason")),
        },
    };
    if let Some(cause) = &failure.cause {
        tracing::error!(request_id, cause, "failed");
    }
    let mut answer = (failure_status(&failure), axum::Json(failure.on_wire(request_id))).into_response();
    if let Some(allow) = response.headers().get("allow") {
        answer.headers_mut().insert("allow", allow.clone());
    }
    if *method == Method::HEAD {
        *answer.body_mut() = Body::empty();
    }
    answer
}

fn failure_status(failure: &Failure) -> StatusCode {
    StatusCode::from_u16(failure.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A page elsewhere must not make a browser ask here, whatever the method.
fn check_fetch_site(headers: &HeaderMap) -> Answer<()> {
    let refused = headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin" && site != "none");
    match refused {
        true => Err(Failure::new(ErrorCode::Refused, "This was asked by another page.")),
        false => Ok(()),
    }
}

/// What changes something carries JSON, or is an upload: a form of another page can send neither.
fn check_write(request: &Asked) -> Answer<()> {
    let path = request.uri.path();
    if matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) || is_socket(path) {
        return Ok(());
    }
    let expected = if path == UPLOAD_PATH { UPLOAD_TYPE } else { "application/json" };
    let found = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case(expected) {
        true => Ok(()),
        false => Err(Failure::new(ErrorCode::TypeNotTaken, format!("A change here has `content-type: {expected}`."))
            .hint(format!("Send `content-type: {expected}`."))),
    }
}

/// Whether an address shows or does anything: the page itself holds nothing of anybody's.
fn needs_access(path: &str) -> bool {
    let is_part = |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    path != SESSION_PATH && (is_part("/api") || is_part("/docs") || is_socket(path))
}

fn is_socket(path: &str) -> bool {
    path.starts_with(SOCKET_PATH)
}
