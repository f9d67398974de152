//! The catalogue as a JSON schema: what forms and other programs read.

use serde_json::{Map, Value as Json, json};

use super::{Field, Kind, Level, Zero, fields};

/// A JSON schema (draft 2020-12) of the flat form of a recipe.
pub fn json_schema() -> Json {
    let properties: Map<String, Json> = fields().iter().map(|field| (field.name.to_owned(), property(field))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Apertis recipe",
        "description": "Every setting of a training run; fields that are left out have their defaults.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(field: &Field) -> Json {
    let mut schema = match field.kind {
        Kind::Text | Kind::Path => json!({ "type": "string" }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::List(_) => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Choice(choices) => json!({
            "type": "string",
            "enum": choices.iter().map(|choice| choice.name).collect::<Vec<_>>(),
            "x-meanings": choices.iter().map(|choice| choice.meaning).collect::<Vec<_>>(),
        }),
        Kind::Integer { min, max, zero } => {
            let mut schema = json!({ "type": "integer", "minimum": min });
            if max != i64::MAX {
                schema["maximum"] = json!(max);
            }
            with_zero(schema, zero)
        }
        Kind::Number { min, max, zero } => {
            let mut schema = json!({ "type": "number", "minimum": min });
            if max != f64::MAX {
                schema["maximum"] = json!(max);
            }
            with_zero(schema, zero)
        }
    };
    schema["description"] = json!(field.meaning);
    schema["default"] = serde_json::to_value(field.default_value()).expect("defaults are finite");
    schema["x-group"] = json!(field.group.title());
    schema["x-level"] = json!(match field.level {
        Level::Simple => "simple",
        Level::Expert => "expert",
    });
    if !field.unit.is_empty() {
        schema["x-unit"] = json!(field.unit);
    }
    if field.kind == Kind::Path {
        schema["format"] = json!("path");
    }
    schema
}

fn with_zero(mut schema: Json, zero: Zero) -> Json {
    match zero {
        Zero::Plain => {}
        Zero::Auto(rule) => schema["x-zero"] = json!(format!("auto: {rule}")),
        Zero::AutoWord(rule) => {
            schema["type"] = json!(["integer", "string"]);
            schema["pattern"] = json!("^auto$");
            schema["x-auto"] = json!(rule);
        }
        Zero::Off => schema["x-zero"] = json!("off"),
    }
    schema
}
