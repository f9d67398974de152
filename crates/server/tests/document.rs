//! The committed OpenAPI document, from which the page's types are made, is what the routes say.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

#[test]
fn the_committed_document_is_what_the_routes_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/openapi.json");
    let now = apertis_server::openapi_document() + "\n";
    if std::env::var_os("APERTIS_UPDATE").is_some() {
        std::fs::write(&path, &now).expect("the document can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == now, "web/openapi.json is stale: run `cargo xtask api-types`");
}

#[test]
fn names_of_operations_and_schemas_are_each_one_thing() {
    let document: Value = serde_json::from_str(&apertis_server::openapi_document()).expect("JSON");
    let mut names = BTreeSet::new();
    let mut references = BTreeSet::new();
    for operations in document["paths"].as_object().expect("paths").values() {
        for operation in operations.as_object().expect("operations").values() {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(operation["responses"]["default"].is_object(), "{name} says nothing of errors");
        }
    }
    collect(&document, &mut references);
    assert!(references.len() > 60, "{}", references.len());
    for reference in references {
        let name = reference.strip_prefix("#/components/schemas/").expect("a schema");
        assert!(document["components"]["schemas"][name].is_object(), "{name} is missing");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
