//! Recipes as forms, files and commands.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Every field that a recipe can have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Catalogue {
    /// Groups in the order of forms.
    pub groups: Vec<String>,
    /// Fields in the order of forms.
    pub fields: Vec<CatalogueField>,
    /// Words that fields and screens use, each with one sentence.
    pub glossary: BTreeMap<String, String>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CatalogueField {
    /// Full name: `lora.rank`.
    pub name: String,
    /// What a form calls it.
    pub label: String,
    /// What it does.
    pub meaning: String,
    /// Unit, or empty.
    pub unit: String,
    /// One of `groups`.
    pub group: String,
    /// Whether everybody sees it.
    pub is_simple: bool,
    /// text, path, switch, integer, number, choice or list.
    pub kind: String,
    /// Least value of a number.
    pub min: Option<f64>,
    /// Greatest value of a number.
    pub max: Option<f64>,
    /// Whether a slider moves by factors.
    pub is_logarithmic: bool,
    /// What 0 says: "", "off", or the rule by which the value is chosen.
    pub zero: String,
    /// Choices, each with its meaning.
    pub choices: Vec<FieldChoice>,
    /// The default, as it stands in a file.
    pub default: String,
    /// Methods that read it; empty where all do.
    pub methods: Vec<String>,
}

/// A word that a field can have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldChoice {
    /// The word.
    pub name: String,
    /// What it does.
    pub meaning: String,
}

/// A recipe in one of its three forms. Exactly one of them is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RecipeDraft {
    /// Values by field, as they stand in a file or on a command line.
    pub fields: Option<BTreeMap<String, String>>,
    /// A recipe file.
    pub toml: Option<String>,
    /// A command: `apertis train model=… data=…`.
    pub command: Option<String>,
}

/// A recipe in all of its forms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecipeForm {
    /// Every field's value.
    pub fields: BTreeMap<String, String>,
    /// Names of those that are not the default.
    pub changed: Vec<String>,
    /// As a file.
    pub toml: String,
    /// As a command.
    pub command: String,
    /// What is wrong, by field; empty where it can be started.
    pub problems: Vec<FieldProblem>,
}

/// A field that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Full name; empty where it is about the whole.
    pub field: String,
    /// One sentence.
    pub message: String,
    /// What to try.
    pub hint: String,
}

/// A recipe with a purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Preset {
    /// Part of its address.
    pub name: String,
    /// What its card says: "Teach it my facts".
    pub title: String,
    /// What it does.
    pub what: String,
    /// When not to take it.
    pub not_for: String,
    /// The fields that it sets.
    pub fields: BTreeMap<String, String>,
    /// Whether a person saved it.
    pub is_own: bool,
}

/// A preset to save under the name in its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewPreset {
    /// What its card says.
    pub title: String,
    /// What it does.
    #[serde(default)]
    pub what: String,
    /// When not to take it.
    #[serde(default)]
    pub not_for: String,
    /// The fields that it sets.
    pub fields: BTreeMap<String, String>,
}
