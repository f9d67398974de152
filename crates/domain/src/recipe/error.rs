//! What can be wrong with a recipe, in one sentence each, with what to try next.

use thiserror::Error;

/// A recipe that cannot be used.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RecipeError {
    /// No field has that name.
    #[error("recipe: there is no field `{name}`")]
    UnknownField {
        /// What was written.
        name: String,
        /// The field whose name is closest, if one is close.
        nearest: Option<&'static str>,
    },
    /// The value has the wrong type.
    #[error("recipe: `{field}` expects {expected}, found {found}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it takes.
        expected: String,
        /// What was written.
        found: String,
    },
    /// The value is none of the field's words.
    #[error("recipe: `{field}` is one of {choices}, found `{found}`")]
    UnknownChoice {
        /// The field.
        field: &'static str,
        /// What was written.
        found: String,
        /// The words it takes.
        choices: String,
        /// The word that is closest, if one is close.
        nearest: Option<&'static str>,
    },
    /// The number lies outside the field's range.
    #[error("recipe: `{field}` must be {range}, found {found}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The range in words.
        range: String,
        /// What was written.
        found: String,
    },
    /// An argument of the command line is not `key=value`.
    #[error("recipe: expected key=value, found `{found}`")]
    NotAssignment {
        /// What was written.
        found: String,
    },
    /// The file is not TOML.
    #[error("recipe file, line {line}: {message}")]
    Syntax {
        /// Line of the file, counted from 1.
        line: usize,
        /// What the TOML reader expected.
        message: String,
    },
    /// A field that the chosen method needs is missing.
    #[error("recipe: `{field}` is missing; method={method} needs it")]
    Missing {
        /// The field.
        field: &'static str,
        /// The chosen method.
        method: &'static str,
    },
    /// Two fields contradict each other.
    #[error("recipe: {message}")]
    Conflict {
        /// Which fields, and why.
        message: String,
        /// What to change.
        hint: String,
    },
}

impl RecipeError {
    /// What to try next, if there is something better than the message itself.
    pub fn hint(&self) -> Option<String> {
        match self {
            RecipeError::UnknownField { nearest, .. } => Some(match nearest {
                Some(name) => format!("did you mean `{name}`?"),
                None => "`apertis train --help` lists every field".to_owned(),
            }),
            RecipeError::UnknownChoice { nearest: Some(name), field, .. } => Some(format!("did you mean {field}={name}?")),
            RecipeError::NotAssignment { found } => Some(match super::nearest(found) {
                Some(name) => format!("did you mean {name}=…?"),
                None => "settings are written as epochs=3 lora.rank=16".to_owned(),
            }),
            RecipeError::Missing { field, .. } => Some(match *field {
                "model" => "add model=FOLDER, or method=scratch to start from nothing".to_owned(),
                field => format!("add {field}=…"),
            }),
            RecipeError::Conflict { hint, .. } => Some(hint.clone()),
            RecipeError::UnknownChoice { .. }
            | RecipeError::WrongType { .. }
            | RecipeError::OutOfRange { .. }
            | RecipeError::Syntax { .. } => None,
        }
    }
}
