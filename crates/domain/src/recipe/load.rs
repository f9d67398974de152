//! Filling a recipe: `key=value` texts, TOML files and JSON objects, in the documented
//! precedence, remembering where each value came from.

use std::collections::BTreeMap;

use super::field::field;
use super::{Field, Recipe, RecipeError, Value, fields, nearest};

/// Where a value came from; later ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The catalogue.
    Default,
    /// A recipe file.
    File,
    /// The command line or a form.
    Argument,
}

/// Which fields somebody set, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given(BTreeMap<&'static str, Source>);

impl Given {
    /// Where the value of a field came from.
    pub fn source(&self, name: &str) -> Source {
        self.0.get(name).copied().unwrap_or(Source::Default)
    }

    /// The fields that somebody set, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }
}

impl Recipe {
    /// Defaults, then a recipe file, then `key=value` arguments.
    ///
    /// Types, words, ranges and names are checked here; whether the fields fit each other is
    /// [`Recipe::check`]'s question.
    ///
    /// # Errors
    /// The first field that is unknown or has an unusable value.
    pub fn from_sources<S: AsRef<str>>(file: Option<&str>, arguments: &[S]) -> Result<(Recipe, Given), RecipeError> {
        let mut recipe = Recipe::default();
        let mut given = Given::default();
        if let Some(text) = file {
            for name in recipe.apply_toml(text)? {
                given.0.insert(name, Source::File);
            }
        }
        for argument in arguments {
            let field = recipe.apply_argument(argument.as_ref())?;
            given.0.insert(field.name, Source::Argument);
        }
        Ok((recipe, given))
    }

    /// Sets one field from a `key=value` text and returns it.
    ///
    /// # Errors
    /// No `=`, no such field, or a value it does not take.
    pub fn apply_argument(&mut self, argument: &str) -> Result<&'static Field, RecipeError> {
        let (name, text) = argument.split_once('=').ok_or_else(|| RecipeError::NotAssignment { found: argument.to_owned() })?;
        let field = find(name.trim())?;
        let value = field.parse(text)?;
        self.store(field, value);
        Ok(field)
    }

    /// Sets one field by name.
    ///
    /// # Errors
    /// No such field, or a value it does not take.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), RecipeError> {
        let field = find(name)?;
        let value = field.accept(value)?;
        self.store(field, value);
        Ok(())
    }

    /// One field by name; `None` if there is no such field.
    pub fn get(&self, name: &str) -> Option<Value> {
        field(name).map(|field| field.get(self))
    }

    /// Every field with its value, in the order of the catalogue.
    pub fn values(&self) -> impl Iterator<Item = (&'static Field, Value)> + '_ {
        fields().iter().map(|field| (field, field.get(self)))
    }

    /// The fields that differ between two recipes, with both values.
    pub fn difference(&self, other: &Recipe) -> Vec<(&'static Field, Value, Value)> {
        self.values()
            .zip(other.values())
            .filter(|((_, mine), (_, theirs))| mine != theirs)
            .map(|((field, mine), (_, theirs))| (field, mine, theirs))
            .collect()
    }

    pub(super) fn store(&mut self, field: &'static Field, value: Value) {
        let stored = (field.set)(self, value);
        assert!(stored, "`{}` accepts only values of its own type", field.name);
    }
}

pub(super) fn find(name: &str) -> Result<&'static Field, RecipeError> {
    field(name).ok_or_else(|| RecipeError::UnknownField { name: name.to_owned(), nearest: nearest(name) })
}
