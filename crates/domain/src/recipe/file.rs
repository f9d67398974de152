//! Recipes as TOML files and JSON objects.
//!
//! `model` is both a field (the folder to start from) and a table (`model.layers`), which TOML
//! cannot hold under one plain key. Files that we write quote the latter: `"model.layers" = 6`;
//! a `[model]` table is read too, with the folder as `path` if there is one.

use super::load::find;
use super::{Group, Kind, Recipe, RecipeError, Value, fields};

impl Recipe {
    /// Reads a recipe file over this recipe and returns the names of the fields it set.
    ///
    /// # Errors
    /// The text is not TOML, a field is unknown, or a value is not what its field takes.
    pub fn apply_toml(&mut self, text: &str) -> Result<Vec<&'static str>, RecipeError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            RecipeError::Syntax { line: text[..start.min(text.len())].matches('\n').count() + 1, message: error.message().to_owned() }
        })?;
        let mut flat = Vec::new();
        flatten_toml("", table, &mut flat);
        let mut names = Vec::with_capacity(flat.len());
        for (name, value) in flat {
            let field = find(&name)?;
            let value =
                value_of_toml(value).map_err(|found| RecipeError::WrongType { field: field.name, expected: field.expected(), found })?;
            let value = field.accept(value)?;
            self.store(field, value);
            names.push(field.name);
        }
        Ok(names)
    }

    /// Reads a JSON object, flat (`"lora.rank": 8`) or nested, over this recipe.
    ///
    /// # Errors
    /// A field is unknown, or a value is not what its field takes.
    pub fn apply_json(&mut self, object: &serde_json::Map<String, serde_json::Value>) -> Result<Vec<&'static str>, RecipeError> {
        let mut flat = Vec::new();
        flatten_json("", object, &mut flat);
        let mut names = Vec::with_capacity(flat.len());
        for (name, value) in flat {
            let field = find(&name)?;
            let value = serde_json::from_value::<Value>(value.clone()).map_err(|_| RecipeError::WrongType {
                field: field.name,
                expected: field.expected(),
                found: value.to_string(),
            })?;
            let value = field.accept(value)?;
            self.store(field, value);
            names.push(field.name);
        }
        Ok(names)
    }

    /// Every field as a flat JSON object, in the order of the catalogue.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        self.values()
            .map(|(field, value)| {
                let value = serde_json::to_value(value).expect("recipe numbers are finite");
                (field.name.to_owned(), value)
            })
            .collect()
    }

    /// Every field as a TOML file with its meaning beside it; reading it gives this recipe.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("# Every field of this run, resolved. `apertis train recipe=<this file>` repeats it.\n");
        for group in Group::ALL {
            let mut lines = String::new();
            for field in fields().iter().filter(|field| field.group == group && table_of(field.name).is_none()) {
                lines += &line(field.name, &field.kind, field.get(self));
            }
            if !lines.is_empty() {
                text += &format!("\n# {}\n{lines}", group.title());
            }
        }
        for table in ["lora", "columns"] {
            text += &format!("\n[{table}]\n");
            for field in fields().iter().filter(|field| table_of(field.name) == Some(table)) {
                text += &line(&field.name[table.len() + 1..], &field.kind, field.get(self));
            }
        }
        text
    }
}

/// The TOML table a field is written into; those of `model.*` are quoted keys of the top level.
fn table_of(name: &'static str) -> Option<&'static str> {
    name.split_once('.').map(|(table, _)| table).filter(|table| *table != "model")
}

fn line(key: &str, kind: &Kind, value: Value) -> String {
    let key = if key.contains('.') { format!("\"{key}\"") } else { key.to_owned() };
    let value = match value {
        Value::Text(text) => toml::Value::String(text).to_string(),
        Value::List(list) => toml::Value::Array(list.into_iter().map(toml::Value::String).collect()).to_string(),
        other => other.to_string(),
    };
    let words = match kind {
        Kind::Choice(choices) => {
            let names: Vec<_> = choices.iter().map(|choice| choice.name).collect();
            format!("  # {}", names.join(" | "))
        }
        Kind::Integer { zero: super::Zero::Auto(_), .. } | Kind::Number { zero: super::Zero::Auto(_), .. } if value.parse() == Ok(0.0) => {
            "  # auto".to_owned()
        }
        _ => String::new(),
    };
    format!("{key} = {value}{words}\n")
}

fn flatten_toml(prefix: &str, table: toml::Table, flat: &mut Vec<(String, toml::Value)>) {
    for (key, value) in table {
        let name = match (prefix, key.as_str()) {
            ("", _) => key,
            ("model", "path") => "model".to_owned(),
            (prefix, key) => format!("{prefix}.{key}"),
        };
        match value {
            toml::Value::Table(inner) => flatten_toml(&name, inner, flat),
            value => flat.push((name, value)),
        }
    }
}

fn flatten_json<'a>(prefix: &str, object: &'a serde_json::Map<String, serde_json::Value>, flat: &mut Vec<(String, &'a serde_json::Value)>) {
    for (key, value) in object {
        let name = match (prefix, key.as_str()) {
            ("", _) => key.clone(),
            ("model", "path") => "model".to_owned(),
            (prefix, key) => format!("{prefix}.{key}"),
        };
        match value {
            serde_json::Value::Object(inner) => flatten_json(&name, inner, flat),
            value => flat.push((name, value)),
        }
    }
}

/// The value, or the words for what was found instead.
fn value_of_toml(value: toml::Value) -> Result<Value, String> {
    match value {
        toml::Value::String(text) => Ok(Value::Text(text)),
        toml::Value::Integer(integer) => Ok(Value::Integer(integer)),
        toml::Value::Float(number) => Ok(Value::Number(number)),
        toml::Value::Boolean(switch) => Ok(Value::Switch(switch)),
        toml::Value::Array(array) => array
            .into_iter()
            .map(|item| match item {
                toml::Value::String(text) => Ok(text),
                other => Err(format!("a list with {other}")),
            })
            .collect::<Result<_, _>>()
            .map(Value::List),
        toml::Value::Datetime(date) => Err(format!("the date {date}")),
        toml::Value::Table(_) => Err("a table".to_owned()),
    }
}
