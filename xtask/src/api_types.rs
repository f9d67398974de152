//! `cargo xtask api-types`: the server's OpenAPI document, and from it the page's types.
//!
//! The document is written by the test that compares it, so that nothing here has to build a server.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Writes `web/openapi.json`, and `web/src/api/schema.d.ts` from it.
pub(crate) fn run(root: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut write = Command::new(cargo);
    write.args(["test", "--release", "--quiet", "-p", "apertis-server", "--test", "document"]).env("APERTIS_UPDATE", "1");
    check(write.current_dir(root), "cargo test")?;
    let web = root.join("web");
    ensure!(web.join("node_modules").is_dir(), "web/openapi.json is written; for the types run `npm ci` in web, then this again");
    let npx = if cfg!(windows) { "npx.cmd" } else { "npx" };
    let mut types = Command::new(npx);
    types.args([
        "--no-install",
        "openapi-typescript",
        "openapi.json",
        "--default-non-nullable",
        "false",
        "--output",
        "src/api/schema.d.ts",
    ]);
    check(types.current_dir(&web), "openapi-typescript")
}

fn check(command: &mut Command, name: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {name}"))?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}
