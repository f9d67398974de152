//! `cargo xtask studio`: builds page and program, gives the home the demo's model and data where it
//! has none, and opens the studio. The demo's run is in it where there was one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::demo::Program;
use crate::web;

/// Builds everything and serves until Ctrl-C; `arguments` go to `apertis serve`.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    web::build(root)?;
    let program = Program::build(root)?;
    let doctor = program.json(&["doctor", "--json"])?;
    let home = doctor["home"].as_str().context("studio: doctor --json: expected `home`")?;
    furnish(root, Path::new(home))?;
    let status = program.command(&[&["serve"], arguments].concat()).status().context("studio: cannot start apertis")?;
    ensure!(status.success(), "studio: apertis serve ended with {status}");
    Ok(())
}

/// Lays the starter model and the sample into a home that lacks them.
fn furnish(root: &Path, home: &Path) -> Result<()> {
    let demo = root.join("fixtures/demo");
    let starter = home.join("models/starter");
    if !starter.exists() {
        copy(&demo.join("base"), &starter)?;
    }
    let sample = home.join("data/sample/v1");
    if !sample.exists() {
        fs::create_dir_all(&sample).with_context(|| format!("studio: cannot make {}", sample.display()))?;
        let bytes = fs::copy(demo.join("questions.jsonl"), sample.join("rows.jsonl")).context("studio: cannot copy the sample")?;
        let about = format!("name = \"Sample: an almanac's questions\"\nfile = \"rows.jsonl\"\nbytes = {bytes}\n");
        fs::write(sample.join("dataset.toml"), about).context("studio: cannot describe the sample")?;
    }
    Ok(())
}

/// Copies the files of a folder under another name that appears when all of them are there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let parts = to.with_extension("part");
    fs::create_dir_all(&parts).with_context(|| format!("studio: cannot make {}", parts.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("studio: cannot read {}", from.display()))? {
        let path = entry?.path();
        let name = path.file_name().context("studio: a file has a name")?;
        fs::copy(&path, parts.join(name)).with_context(|| format!("studio: cannot copy {}", path.display()))?;
    }
    fs::rename(&parts, to).with_context(|| format!("studio: cannot make {}", to.display()))
}
