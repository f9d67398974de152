//! `cargo xtask web`: the studio's page, built and checked with Node. The program builds without.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};

/// `none` leaves the page and its journeys out of `cargo xtask test`.
pub(crate) const VARIABLE: &str = "APERTIS_TEST_PAGE";

/// What the page's tools ask for.
const NODE_LEAST: (u32, u32) = (20, 19);

/// Installs the page's packages where they changed, and builds the page into `web/dist`.
pub(crate) fn build(root: &Path) -> Result<()> {
    install(root)?;
    npm(root, &["run", "build"])
}

/// Whether `cargo xtask test` has to leave the page out.
pub(crate) fn is_left_out() -> bool {
    std::env::var(VARIABLE).is_ok_and(|value| value == "none")
}

/// Installs exactly the packages of the lock file, unless that was done after it last changed.
pub(crate) fn install(root: &Path) -> Result<()> {
    check_node()?;
    let web = root.join("web");
    let changed = |path: &str| fs::metadata(web.join(path)).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    if changed("node_modules/.package-lock.json") > changed("package-lock.json") {
        return Ok(());
    }
    npm(root, &["ci", "--no-audit", "--no-fund"])
}

/// The rules of the page's code, and its tests over an invented server.
pub(crate) fn check(root: &Path) -> Result<()> {
    npm(root, &["run", "lint"])?;
    npm(root, &["test"])
}

/// Runs npm in `web`.
pub(crate) fn npm(root: &Path, arguments: &[&str]) -> Result<()> {
    let name = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let status =
        Command::new(name).args(arguments).current_dir(root.join("web")).status().context("cannot start npm, which comes with Node")?;
    ensure!(status.success(), "npm {} ended with {status}", arguments.join(" "));
    Ok(())
}

/// Says what is missing before anything else does, in words of its own.
fn check_node() -> Result<()> {
    let (major, minor) = NODE_LEAST;
    let hint = format!("install Node {major}.{minor} or newer with npm (nodejs.org), or set {VARIABLE}=none to test without the page");
    let Ok(asked) = Command::new("node").arg("--version").stderr(Stdio::null()).output() else {
        bail!("Node is missing, which builds the studio's page: {hint}");
    };
    let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    match parts(&version) {
        Some(found) if found >= NODE_LEAST => Ok(()),
        _ => bail!("Node is {version}, expected {major}.{minor} or newer: {hint}"),
    }
}

/// `v20.20.2` as its first two numbers.
fn parts(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::{NODE_LEAST, parts};

    #[test]
    fn versions_are_compared_as_numbers() {
        let check =
            |version: &str, expected: bool| assert_eq!(parts(version).is_some_and(|found| found >= NODE_LEAST), expected, "{version}");
        check("v20.20.2", true);
        check("v20.19.0", true);
        check("v100.0.0", true);
        check("v20.9.0", false);
        check("v9.100.0", false);
        check("", false);
    }
}
