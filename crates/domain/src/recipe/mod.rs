//! The recipe: every setting of a training run, written down once in `catalogue.rs`.
//!
//! Command line, recipe file, JSON schema, reference page and the typed struct all come from
//! that one list. Precedence: defaults, then the recipe file, then the command line.

mod catalogue;
mod check;
mod choices;
mod error;
mod field;
mod file;
mod load;
mod reference;
mod schema;
mod value;

pub use catalogue::{ColumnsRecipe, LoraRecipe, Recipe, ShapeRecipe, fields};
pub use choices::{Choice, InstructionSet, Method, OnBadRow, Optimizer, Precision, Recompute, Schedule, TokenizerKind, TooLong, TrainOn};
pub use error::RecipeError;
pub use field::{Field, Group, Kind, Level, Zero, field, nearest};
pub use load::{Given, Source};
pub use reference::reference_markdown;
pub use schema::json_schema;
pub use value::Value;
