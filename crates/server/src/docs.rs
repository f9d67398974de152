//! `/docs`: the OpenAPI document as a page to read. Made here, without scripts, so that nothing is
//! asked of anybody else.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Map, Value};
use utoipa::openapi::OpenApi;

use crate::studio::Studio;

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1f1f1f;--quiet:#444746;--page:#fff;--panel:#f8fafd;--line:#e1e3e1;--accent:#0b57d0}\
@media(prefers-color-scheme:dark){:root{--text:#e3e3e3;--quiet:#c4c7c5;--page:#131314;--panel:#1b1b1b;--line:#333537;--accent:#a8c7fa}}\
body{margin:0 auto;max-width:960px;padding:24px;background:var(--page);color:var(--text);font:14px/20px system-ui,sans-serif}\
h1{font-size:22px;line-height:28px;font-weight:500}h2{font-size:16px;line-height:24px;font-weight:500;margin-top:40px}\
h3{font-size:14px;font-weight:500;margin:0}a{color:var(--accent)}p{margin:4px 0}\
section{border:1px solid var(--line);border-radius:12px;background:var(--panel);padding:12px 16px;margin:8px 0;overflow-x:auto}\
code{font:13px/20px ui-monospace,monospace}table{border-collapse:collapse;margin:8px 0}\
td{border-top:1px solid var(--line);padding:4px 16px 4px 0;vertical-align:top}.quiet{color:var(--quiet)}\
nav{display:flex;flex-wrap:wrap;gap:4px 16px}";

/// The page and its style.
pub(crate) fn router(document: Arc<OpenApi>) -> Router<Arc<Studio>> {
    let page = async move || ([(CONTENT_TYPE, "text/html; charset=utf-8")], render(&document)).into_response();
    Router::new()
        .route("/docs", get(page))
        .route("/docs/style.css", get(async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()))
}

fn render(document: &OpenApi) -> String {
    let document = serde_json::to_value(document).unwrap_or_default();
    let mut page = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Apertis API</title>";
    page += "<link rel=\"stylesheet\" href=\"/docs/style.css\"></head><body><main>";
    let info = &document["info"];
    let _ = write!(page, "<h1>{} {}</h1><p>{}</p>", escaped(&info["title"]), escaped(&info["version"]), escaped(&info["description"]));
    page += "<p><a href=\"/api/v1/openapi.json\">The same as OpenAPI 3.1</a></p>";
    let tags: Vec<&Value> = document["tags"].as_array().into_iter().flatten().collect();
    page += "<nav aria-label=\"Parts\">";
    for tag in &tags {
        let name = escaped(&tag["name"]);
        let _ = write!(page, "<a href=\"#{name}\">{name}</a>");
    }
    page += "<a href=\"#shapes\">shapes</a></nav>";
    for tag in tags {
        let name = escaped(&tag["name"]);
        let _ = write!(page, "<h2 id=\"{name}\">{name}</h2><p class=\"quiet\">{}</p>", escaped(&tag["description"]));
        for (path, operations) in object(&document["paths"]) {
            for (method, operation) in object(operations) {
                if operation["tags"][0] == tag["name"] {
                    operation_section(&mut page, path, method, operation);
                }
            }
        }
    }
    page += "<h2 id=\"shapes\">Shapes</h2>";
    for (name, schema) in object(&document["components"]["schemas"]) {
        schema_section(&mut page, name, schema);
    }
    page + "</main></body></html>"
}

fn operation_section(page: &mut String, path: &str, method: &str, operation: &Value) {
    let title = format!("{} {path}", method.to_uppercase());
    let _ = write!(page, "<section><h3><code>{}</code></h3><p>{}</p>", text(&title), escaped(&operation["summary"]));
    let body = object(&operation["requestBody"]["content"]).next();
    if let Some((kind, content)) = body {
        let _ = write!(page, "<p>Takes {} <span class=\"quiet\">{}</span></p>", type_of(&content["schema"]), text(kind));
    }
    for (status, response) in object(&operation["responses"]).filter(|(status, _)| *status != "default") {
        let content = object(&response["content"]).next();
        let shape = content.map_or_else(|| "nothing".to_owned(), |(_, content)| type_of(&content["schema"]));
        let _ = write!(page, "<p>Answers {shape} <span class=\"quiet\">{}</span></p>", text(status));
    }
    let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
    if !parameters.is_empty() {
        *page += "<table>";
        for parameter in parameters {
            let (name, place) = (escaped(&parameter["name"]), escaped(&parameter["in"]));
            let (kind, words) = (type_of(&parameter["schema"]), escaped(&parameter["description"]));
            let _ = write!(page, "<tr><td><code>{name}</code><td class=\"quiet\">{place}<td>{kind}<td>{words}</tr>");
        }
        *page += "</table>";
    }
    *page += "</section>";
}

fn schema_section(page: &mut String, name: &str, schema: &Value) {
    let name = text(name);
    let _ = write!(page, "<section id=\"{name}\"><h3><code>{name}</code></h3><p>{}</p>", escaped(&schema["description"]));
    let words = schema["enum"].as_array().into_iter().flatten().map(escaped).collect::<Vec<String>>();
    if !words.is_empty() {
        let _ = write!(page, "<p>One of <code>{}</code></p>", words.join("</code>, <code>"));
    }
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    for part in std::iter::once(schema).chain(variants) {
        let fields: Vec<(&String, &Value)> = object(&part["properties"]).collect();
        if fields.is_empty() {
            continue;
        }
        *page += "<table>";
        for (field, schema) in fields {
            let _ = write!(page, "<tr><td><code>{}</code><td>{}<td>{}</tr>", text(field), type_of(schema), escaped(&schema["description"]));
        }
        *page += "</table>";
    }
    *page += "</section>";
}

/// The type of a schema in a few words, with a link where it has a name.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let name = text(name);
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    if let Some(choices) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        return choices.iter().map(type_of).collect::<Vec<String>>().join(" or ");
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", type_of(&schema["items"])),
        Value::String(kind) => text(kind),
        Value::Array(kinds) => kinds.iter().map(escaped).collect::<Vec<String>>().join(" or "),
        _ => match schema["enum"].as_array() {
            Some(words) => words.iter().map(escaped).collect::<Vec<String>>().join(", "),
            None => "anything".to_owned(),
        },
    }
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn escaped(value: &Value) -> String {
    text(value.as_str().unwrap_or_default())
}

/// Words of the document, never taken for markup.
fn text(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
