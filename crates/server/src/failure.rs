//! Everything a request can end with but an answer: one catalogue, one shape.
//!
//! A failure travels as an extension of its response; the guard, which knows the request's id,
//! writes the body. So the shape of errors is made in one place, axum's own included.

use std::io;

use apertis_dataset::DatasetError;
use apertis_domain::RecipeError;
use apertis_library::LibraryError;
use apertis_protocol::error::{ApiError, ErrorCode};
use apertis_runs::{RunsError, is_disk_full};
use apertis_storage::StorageError;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) details: Value,
    /// What only the log is told.
    pub(crate) cause: Option<String>,
}

/// An answer, or why there is none.
pub(crate) type Answer<T> = Result<T, Failure>;

impl Failure {
    /// A failure of the catalogue with its own sentence.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), hint: None, details: Value::Null, cause: None }
    }

    /// The request cannot be understood.
    pub(crate) fn bad(message: impl Into<String>) -> Failure {
        Failure::new(ErrorCode::BadRequest, message)
    }

    /// Nothing of that name.
    pub(crate) fn missing(what: &str, name: &str) -> Failure {
        Failure::new(ErrorCode::NotFound, format!("There is no {what} `{}`.", shown(name)))
    }

    /// Something broke here. The sentence says nothing about it: the log does.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Failure {
        Failure { cause: Some(cause.to_string()), ..Failure::new(ErrorCode::Internal, "Something went wrong in the server.") }
    }

    /// With a better hint than the catalogue's.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// With what belongs to the code.
    pub(crate) fn details(mut self, details: Value) -> Failure {
        self.details = details;
        self
    }

    /// As it stands on the wire.
    pub(crate) fn on_wire(&self, request_id: &str) -> ApiError {
        ApiError {
            code: self.code,
            message: self.message.clone(),
            hint: self.hint.clone().unwrap_or_else(|| self.code.hint().to_owned()),
            details: self.details.clone(),
            request_id: request_id.to_owned(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The beginning of a text that somebody sent, on one line.
fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(80).collect()
}

impl From<RecipeError> for Failure {
    fn from(error: RecipeError) -> Failure {
        let field = match &error {
            RecipeError::UnknownField { name, .. } => name.clone(),
            RecipeError::WrongType { field, .. }
            | RecipeError::UnknownChoice { field, .. }
            | RecipeError::OutOfRange { field, .. }
            | RecipeError::Missing { field, .. } => (*field).to_owned(),
            RecipeError::NotAssignment { .. } | RecipeError::Syntax { .. } | RecipeError::Conflict { .. } => String::new(),
        };
        let hint = error.hint();
        let failure = Failure::new(ErrorCode::RecipeInvalid, error.to_string()).details(json!({ "field": field }));
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Failure {
        let hint = error.hint();
        let failure = match error {
            StorageError::Conflict { value, found, .. } => {
                let details = json!({ "present": value, "etag": found.to_string() });
                return Failure::new(ErrorCode::Conflict, "It was changed since this page read it.").details(details);
            }
            StorageError::Query { message } => return Failure::bad(message),
            StorageError::File { source, .. } if is_disk_full(&source) => return Failure::new(ErrorCode::DiskFull, "The disk is full."),
            error @ (StorageError::Damaged { .. } | StorageError::PlaceMoved { .. }) => Failure::internal(error),
            error => Failure { cause: Some(error.to_string()), ..Failure::new(ErrorCode::Unavailable, "The database does not answer.") },
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<RunsError> for Failure {
    fn from(error: RunsError) -> Failure {
        let error = match error {
            RunsError::Storage(error) => return error.into(),
            error => error,
        };
        let hint = error.hint();
        let code = match &error {
            RunsError::NotFound { .. } => ErrorCode::NotFound,
            RunsError::NameTaken { .. } => ErrorCode::NameTaken,
            RunsError::Name(_) => ErrorCode::BadRequest,
            RunsError::AlreadyRunning { .. } | RunsError::StoppedInQueue { .. } => ErrorCode::NotPossibleNow,
            RunsError::Recipe(_) => ErrorCode::RecipeInvalid,
            RunsError::File { source, .. } if is_disk_full(source) => ErrorCode::DiskFull,
            RunsError::Sink(error) if error.is_disk_full => ErrorCode::DiskFull,
            RunsError::File { .. } | RunsError::Damaged { .. } | RunsError::Sink(_) | RunsError::Storage(_) | RunsError::Chart { .. } => {
                return Failure::internal(error);
            }
        };
        let failure = Failure::new(code, error.to_string());
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<LibraryError> for Failure {
    fn from(error: LibraryError) -> Failure {
        let code = match &error {
            LibraryError::NotFound { .. } | LibraryError::NoCheckpoint { .. } => ErrorCode::NotFound,
            LibraryError::NotModel { .. } | LibraryError::Damaged { .. } => ErrorCode::ModelInvalid,
            LibraryError::File { .. } => return Failure::internal(error),
        };
        let failure = Failure::new(code, error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<DatasetError> for Failure {
    fn from(error: DatasetError) -> Failure {
        Failure::new(ErrorCode::DataInvalid, error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match is_disk_full(&error) {
            true => Failure::new(ErrorCode::DiskFull, "The disk is full."),
            false => Failure::internal(error),
        }
    }
}
