//! What a request that could not be served is told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every answer of 400 and above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApiError {
    /// A word for programs; [`ErrorCode`] lists them.
    pub code: ErrorCode,
    /// One sentence: what happened.
    pub message: String,
    /// What to try next.
    pub hint: String,
    /// What belongs to the code: for `recipe_invalid` the `field`, for `conflict` both values, …
    #[serde(default)]
    pub details: serde_json::Value,
    /// Names the request in the server's log.
    pub request_id: String,
}

macro_rules! errors {
    ($( $variant:ident $code:literal $status:literal $hint:literal; )+) => {
        /// Why a request was not served.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $( #[doc = $hint] $variant, )+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [ErrorCode] = &[ $( ErrorCode::$variant, )+ ];

            /// The code on the wire.
            pub fn code(self) -> &'static str {
                match self { $( ErrorCode::$variant => $code, )+ }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $( ErrorCode::$variant => $status, )+ }
            }

            /// What to try next, where nothing better is known.
            pub fn hint(self) -> &'static str {
                match self { $( ErrorCode::$variant => $hint, )+ }
            }
        }
    };
}

errors! {
    BadRequest "bad_request" 400 "Read the documentation of this address at /docs.";
    RecipeInvalid "recipe_invalid" 422 "Correct the field that is named.";
    KeyNeeded "key_needed" 401 "Open the login page, or send `Authorization: Bearer <key>`.";
    KeyWrong "key_wrong" 401 "Make a key with `apertis keys create` on the computer that runs the server.";
    TooManyTries "too_many_tries" 429 "Wait a minute.";
    Refused "refused" 403 "Open the studio under the address that the server printed.";
    PathNotAllowed "path_not_allowed" 403 "Add the folder under System, or move the file into the home.";
    NotFound "not_found" 404 "It may have been renamed or deleted.";
    MethodNotAllowed "method_not_allowed" 405 "Read the documentation of this address at /docs.";
    Conflict "conflict" 409 "Somebody else changed it: look at both values and save again.";
    NameTaken "name_taken" 409 "Choose another name.";
    NotPossibleNow "not_possible_now" 409 "Look at its state; the page shows what can be done.";
    TooLarge "too_large" 413 "Use a path on the computer that runs the server.";
    TypeNotTaken "type_not_taken" 415 "Send `content-type: application/json`.";
    ModelInvalid "model_invalid" 422 "Choose a folder with config.json, weights and tokenizer.";
    DataInvalid "data_invalid" 422 "Look at the rows that are listed.";
    DiskFull "disk_full" 507 "Free some space under System.";
    Unavailable "unavailable" 503 "Try again in a moment.";
    Internal "internal" 500 "Try again; the server's log has the request's id.";
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn codes_are_sent_as_they_are_documented() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).expect("a word"), code.code());
        }
    }
}
