//! `cargo xtask demo`: the main job on real input, start to end, with the program that a person
//! would use: check the data, measure, fine-tune, stop at the best step, measure again, ask.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const BASE: &str = "fixtures/demo/base";
const HELD_OUT: &str = "fixtures/demo/held-out.jsonl";
const RECIPE: &str = "recipes/demo.toml";
/// The demo promises at least this fall of the held-out loss.
const FALL_AT_LEAST: f64 = 0.1;
/// Longest answer to one of the three questions, in tokens.
const ANSWER_TOKENS: &str = "64";

/// Builds the program, runs the demo with it and checks what it promises.
pub(crate) fn run(root: &Path) -> Result<()> {
    let program = Program::build(root)?;
    let begin = Instant::now();
    let questions = std::fs::read_to_string(root.join("fixtures/demo/ask.txt")).context("demo: cannot read fixtures/demo/ask.txt")?;
    let questions: Vec<&str> = questions.lines().collect();

    heading("1. Before: a base model that read the almanac of a small harbour town, and never saw a question");
    let before = program.evaluate(BASE)?;
    for question in &questions {
        program.ask(BASE, question)?;
    }

    heading("2. The questions are checked row by row, and the model is fine-tuned until held-out loss stops falling");
    let name = program.free_name()?;
    let run = program.train(&name)?;
    let folder = run["dir"].as_str().context("demo: train --json: expected `dir`")?;

    heading("3. After: the best step, on questions that no step has seen");
    let after = program.evaluate(&name)?;
    let fall = 1.0 - after / before;
    println!("loss {before:.3} before, {after:.3} after: {:.0} % less", fall * 100.0);

    heading("4. The same three questions, answered by the tuned model");
    for question in &questions {
        program.ask(&name, question)?;
    }

    let (steps, best_step) = (whole(&run, "steps")?, whole(&run, "best_step")?);
    ensure!(fall >= FALL_AT_LEAST, "demo: expected the loss to fall by a tenth, found {fall:.3}");
    ensure!(best_step < steps, "demo: expected the best step before the last, found {best_step} of {steps}");

    heading(&format!("Done in {} s: best step {best_step} of {steps}", begin.elapsed().as_secs()));
    println!("Report:  {folder}/report.html");
    println!("Curves:  {folder}/results.png\n");
    let program = program.shown();
    println!("Type next:");
    println!("  {program} run {name} \"How do I tie a reef knot?\"");
    println!("  {program} eval model={name} data={HELD_OUT}");
    println!("  {program} train model={BASE} data=YOUR-QUESTIONS.jsonl method=full");
    Ok(())
}

/// The release binary, called from the root of the workspace.
pub(crate) struct Program {
    path: PathBuf,
    root: PathBuf,
}

impl Program {
    pub(crate) fn build(root: &Path) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--release", "--package", "apertis-cli"])
            .current_dir(root)
            .status()
            .context("cannot start cargo")?;
        ensure!(status.success(), "the release build failed");
        Ok(Self::built(root))
    }

    /// The program that a build of the whole workspace left: asking for the one package alone would
    /// build much of it again, with the features that this package alone wants.
    pub(crate) fn built(root: &Path) -> Self {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let path = target.join("release").join(format!("apertis{}", std::env::consts::EXE_SUFFIX));
        Self { path, root: root.to_path_buf() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The program as a person in the root of the workspace types it.
    fn shown(&self) -> String {
        let path = self.path.strip_prefix(&self.root).unwrap_or(&self.path);
        path.display().to_string()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// Runs a command, keeps its standard output, and leaves its messages on the terminal.
    fn output(&self, arguments: &[&str]) -> Result<String> {
        let output =
            self.command(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("demo: cannot start apertis")?;
        ensure!(output.status.success(), "demo: `apertis {}` failed", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The JSON object on the last line of a command's output.
    pub(crate) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.output(arguments)?;
        let last = output.lines().last().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("demo: `apertis {}`: expected JSON, found `{last}`", arguments.join(" ")))
    }

    /// Mean loss a target token of a model on the held-out questions.
    fn evaluate(&self, model: &str) -> Result<f64> {
        let arguments = ["eval", &format!("model={model}"), &format!("data={HELD_OUT}"), "--json"];
        println!("$ apertis {}", arguments[..3].join(" "));
        let result = self.json(&arguments)?;
        let loss = result["nll_per_token"].as_f64().context("demo: eval --json: expected `nll_per_token`")?;
        println!("loss {loss:.3}, perplexity {:.1}, on {} rows\n", loss.exp(), whole(&result, "rows")?);
        Ok(loss)
    }

    fn train(&self, name: &str) -> Result<Value> {
        let arguments = ["train", &format!("recipe={RECIPE}"), "--name", name, "--json"];
        println!("$ apertis {}", arguments[..4].join(" "));
        self.json(&arguments)
    }

    fn ask(&self, model: &str, question: &str) -> Result<()> {
        let answer = self.output(&["run", model, question, "--temperature", "0", "--max-tokens", ANSWER_TOKENS])?;
        let answer: Vec<&str> = answer.split_whitespace().collect();
        println!("  {question}\n    {}", answer.join(" "));
        Ok(())
    }

    /// `demo`, or the first of `demo-2`, `demo-3`, … that is not taken in this home.
    fn free_name(&self) -> Result<String> {
        let listed = self.json(&["runs", "--json"])?;
        let runs = listed["runs"].as_array().context("demo: runs --json: expected `runs`")?;
        let taken: Vec<&str> = runs.iter().filter_map(|run| run["name"].as_str()).collect();
        let mut names = std::iter::once("demo".to_owned()).chain((2..).map(|n| format!("demo-{n}")));
        names.find(|name| !taken.contains(&name.as_str())).context("demo: no free name")
    }
}

fn heading(text: &str) {
    println!("\n{text}\n");
}

fn whole(object: &Value, field: &str) -> Result<u64> {
    object[field].as_u64().with_context(|| format!("demo: expected `{field}` as a whole number"))
}
