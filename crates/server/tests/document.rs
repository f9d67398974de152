//! The committed OpenAPI document, from which the page's types are made, is what the routes say.

use std::path::Path;

#[test]
fn the_committed_document_is_what_the_routes_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let now = apertis_server::openapi_document() + "\n";
    if std::env::var_os("APERTIS_UPDATE").is_some() {
        std::fs::write(&path, &now).expect("the document can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == now, "docs/reference/openapi.json is stale: run this test with APERTIS_UPDATE=1, then make the page's types again");
}
