//! What routes take out of requests, with failures of our catalogue; and work that would hold up
//! other requests.

use apertis_protocol::error::ErrorCode;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::failure::{Answer, Failure};

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Answer<Body<T>> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Body(body)),
            Err(JsonRejection::BytesRejection(error)) if error.status() == 413 => {
                Err(Failure::new(ErrorCode::TooLarge, "The body is larger than 4 MiB."))
            }
            Err(error) => Err(Failure::bad(format!("The body is not what this address takes: {}", error.body_text()))),
        }
    }
}

/// The part of an address after `?`.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Params<T>> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Params(query)),
            Err(error) => Err(Failure::bad(format!("The part after `?` is not what this address takes: {}", error.body_text()))),
        }
    }
}

/// Placeholders of an address.
pub(crate) struct Place<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Place<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Place<T>> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(place)) => Ok(Place(place)),
            Err(error) => Err(Failure::bad(format!("The address cannot be read: {}", error.body_text()))),
        }
    }
}

/// The state that a change was made from: the header `If-Match`.
pub(crate) struct IfMatch(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<IfMatch> {
        let tag = parts.headers.get(IF_MATCH).and_then(|tag| tag.to_str().ok());
        Ok(IfMatch(tag.map(|tag| tag.trim().trim_matches('"').to_owned())))
    }
}

impl IfMatch {
    /// Refuses a change that was made from another state than the present one.
    pub(crate) fn check(&self, etag: &str, present: impl serde::Serialize) -> Answer<()> {
        match &self.0 {
            Some(tag) if tag != "*" && tag != etag => {
                let details = json!({ "present": present, "etag": etag });
                Err(Failure::new(ErrorCode::Conflict, "It was changed since this page read it.").details(details))
            }
            _ => Ok(()),
        }
    }
}

/// Runs work that waits for a disk or computes, beside the threads that answer.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Answer<T> + Send + 'static) -> Answer<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(Failure::internal(format!("work ended: {error}"))),
    }
}

/// A short name of a state, for `If-Match`.
pub(crate) fn etag(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}
