//! `cargo xtask tidy`: the invariants of DESIGN §4 and the habits of the code, checked.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Which crates of ours each crate may use; dependencies point down only.
const EDGES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("kernels", &[]),
    ("tokenizer", &[]),
    ("dataset", &["domain", "tokenizer"]),
    ("model", &["domain", "kernels", "tokenizer"]),
    ("trainer", &["domain", "kernels", "tokenizer", "dataset", "model"]),
    ("library", &["domain", "model"]),
    ("storage", &["domain"]),
    ("chats", &[]),
    ("runs", &["domain", "storage", "trainer", "library"]),
    ("protocol", &[]),
    ("server", &["chats", "domain", "dataset", "library", "protocol", "runs", "storage", "tokenizer"]),
    ("testkit", &["domain", "kernels", "tokenizer", "dataset", "model", "trainer", "library", "runs"]),
    ("cli", &["domain", "kernels", "tokenizer", "dataset", "model", "trainer", "library", "runs", "server", "storage", "chats"]),
];

/// Crates that read no environment, print nothing, and know no network, SQL or async.
const ENGINE: &[&str] = &["kernels", "tokenizer", "dataset", "model", "trainer"];

/// What engine crates must not contain, outside of tests and examples.
const ENGINE_WORDS: &[&str] = &["println!", "eprintln!", "print!(", "std::env::var", "env::var(", "async fn", "tokio", "reqwest", "sqlx"];

/// Words of unfinished work, each cut in two so that this file does not hold them.
const UNFINISHED: &[(&str, &str)] = &[("todo", "!("), ("unimplemented", "!("), ("TO", "DO"), ("FIX", "ME")];

/// Checks every rule and names each place that breaks one.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut broken = Vec::new();
    edges(root, &mut broken)?;
    for file in rust_files(root)? {
        let text = std::fs::read_to_string(&file).with_context(|| format!("tidy: {}", file.display()))?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        check_file(&shown, &text, &mut broken);
    }
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "docs/benchmarks.md", "docs/experiments.md"]
    {
        if !root.join(name).is_file() {
            broken.push(format!("{name} is missing"));
        }
    }
    match broken.is_empty() {
        true => Ok(()),
        false => bail!("tidy:\n  {}", broken.join("\n  ")),
    }
}

fn check_file(shown: &str, text: &str, broken: &mut Vec<String>) {
    if !text.starts_with("//!") && !text.starts_with("#!") {
        broken.push(format!("{shown}: expected a first line of //! that says what lives here"));
    }
    for (first, second) in UNFINISHED {
        let word = format!("{first}{second}");
        if text.contains(&word) {
            broken.push(format!("{shown}: contains {word}"));
        }
    }
    let is_source = shown.contains("/src/");
    if shown.starts_with("crates/") && !shown.starts_with("crates/storage/") && text.contains("sqlx::") {
        broken.push(format!("{shown}: only storage contains SQL"));
    }
    if ENGINE.iter().any(|name| shown.starts_with(&format!("crates/{name}/src/"))) && is_source {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in ENGINE_WORDS {
            let found = code.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            if found {
                broken.push(format!("{shown}: engine crates contain no `{word}`"));
            }
        }
    }
}

fn edges(root: &Path, broken: &mut Vec<String>) -> Result<()> {
    for (name, allowed) in EDGES {
        let path = root.join("crates").join(name).join("Cargo.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("tidy: {}", path.display()))?;
        let normal = text.split("[dev-dependencies]").next().unwrap_or_default();
        for (other, _) in EDGES {
            if normal.contains(&format!("apertis-{other}.workspace")) && !allowed.contains(other) {
                broken.push(format!("crates/{name}/Cargo.toml: must not depend on apertis-{other}"));
            }
        }
    }
    Ok(())
}

fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = vec![root.join("crates"), root.join("xtask")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("tidy: {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
