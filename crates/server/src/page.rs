//! The page: embedded, compressed, its hashed names kept by browsers for ever, its HTML never.

use std::io::Read;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::failure::Failure;

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/page"]
#[allow_missing = true]
struct Files;

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Apertis</title>\
<h1>The page is not built into this program</h1>\
<p>The server works: its API is described at <a href=\"/docs\">/docs</a>.</p>\
<p>To have the studio here, build its page (this needs Node) and then the program:</p>\
<pre>cd web\nnpm ci\nnpm run build\ncargo build --release -p apertis-cli</pre></html>";

/// Whatever is no other address: a file of the page, or the page itself, which reads the address.
pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let is_of_program =
        ["api", "socket.io", "docs", "v1", "metrics"].iter().any(|root| path == *root || path.starts_with(&format!("{root}/")));
    if is_of_program {
        return Failure::missing("address", uri.path()).into_response();
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if let Some(response) = file(path, &headers) {
        return response;
    }
    // A missing file is missing; an address without an ending is the page's own.
    let has_ending = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    match file("index.html", &headers).filter(|_| !has_ending) {
        Some(response) => response,
        None if has_ending => Failure::missing("file", uri.path()).into_response(),
        None => ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-cache")], NOT_BUILT).into_response(),
    }
}

fn file(path: &str, headers: &HeaderMap) -> Option<Response> {
    let (file, is_compressed) = match Files::get(&format!("{path}.gz")) {
        Some(file) => (file, true),
        None => (Files::get(path)?, false),
    };
    let hash: String = file.metadata.sha256_hash()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{hash}\"");
    // Vite puts hashed names, and nothing else, under assets.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let is_known = headers.get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok()).is_some_and(|tags| tags.contains(&etag));
    let accepts = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("gzip"));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else if is_compressed && !accepts {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file.data.as_ref()).read_to_end(&mut bytes).ok()?;
        Body::from(bytes).into_response()
    } else {
        Body::from(file.data).into_response()
    };
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(type_of(path)));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    answer.insert(VARY, HeaderValue::from_static("accept-encoding"));
    answer.insert(ETAG, HeaderValue::from_str(&etag).ok()?);
    if is_compressed && accepts && !is_known {
        answer.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(response)
}

fn type_of(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether the page is built into this program.
pub(crate) fn is_built() -> bool {
    Files::get("index.html.gz").is_some() || Files::get("index.html").is_some()
}
