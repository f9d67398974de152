//! The matrix products of the SmolLM2-135M layers, as shares of the processor's peak and beside
//! PyTorch's: forward, gradient of the input, gradient of the weight.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::options::Options;
use super::programs::{figure, folder};
use super::table::median;

/// Names of the example's shapes, with what is asked of each: its share of the peak, or nothing.
const SHAPES: &[(&str, Option<f64>)] = &[
    ("attention", Some(0.8)),
    ("key-value", Some(0.8)),
    ("up", Some(0.8)),
    ("down", Some(0.8)),
    ("head", Some(0.7)),
    ("rank-in", None),
    ("rank-out", None),
    ("rank-in-down", None),
    ("rank-out-up", None),
];

/// Measurements of one shape within a round; the median of them counts.
const TIMES_A_ROUND: usize = 5;

const SCRIPT: &str = include_str!("products.py");

/// The figures of one product over the rounds.
#[derive(Default)]
struct Figures {
    ours: Vec<f64>,
    of_peak: Vec<f64>,
    peer: Vec<f64>,
}

/// Place in [`SHAPES`], rows, inner axis, columns, direction.
type Case = (usize, u64, u64, u64, String);

pub(super) fn run(root: &Path, options: &Options) -> Result<()> {
    let mut figures: BTreeMap<(usize, Case), Figures> = BTreeMap::new();
    for _ in 0..options.rounds {
        let lines = ours(root, options)?;
        let rates = if options.has_torch { peer(root, options, &lines)? } else { Vec::new() };
        for (place, line) in lines.iter().enumerate() {
            let entry = figures.entry((place, case(line)?)).or_default();
            entry.ours.push(figure(line, "gflops")?);
            entry.of_peak.push(figure(line, "of_peak")?);
            entry.peer.extend(rates.get(place));
        }
    }
    println!("{} threads, bf16; GFLOP/s, medians of {} rounds.\n", options.threads, options.rounds);
    println!("| product | ours | of peak | asked | PyTorch | ours / PyTorch (each round) |\n|---|---|---|---|---|---|");
    for ((_, (shape, m, k, n, direction)), figures) in &figures {
        println!("| {m} × {k} → {n}, {direction} | {} |", row(figures, SHAPES[*shape].1));
    }
    Ok(())
}

/// The figures of one product, as the cells of a row.
fn row(figures: &Figures, asked: Option<f64>) -> String {
    let asked = asked.map_or_else(String::new, |share| format!("≥ {:.0}%", 100.0 * share));
    let ratios: Vec<f64> = figures.ours.iter().zip(&figures.peer).map(|(ours, peer)| ours / peer).collect();
    let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    let (peer, ratio) = match ratios.is_empty() {
        true => ("not run".to_owned(), String::new()),
        false => (format!("{:.0}", median(&figures.peer)), format!("{:.2} ({})", median(&ratios), each.join(", "))),
    };
    format!("{:.0} | {:.1}% | {asked} | {peer} | {ratio}", median(&figures.ours), 100.0 * median(&figures.of_peak))
}

fn case(line: &Value) -> Result<Case> {
    let name = line["name"].as_str().context("bench: a product without a name")?;
    let shape = SHAPES.iter().position(|(known, _)| *known == name).with_context(|| format!("bench: unknown product {name}"))?;
    let size = |key: &str| line[key].as_u64().with_context(|| format!("bench: product {name} without {key}"));
    let direction = match line["direction"].as_str() {
        Some("Forward") => "forward",
        Some("InputGradient") => "dX",
        Some("WeightGradient") => "dW",
        other => other.unwrap_or_default(),
    };
    Ok((shape, size("m")?, size("k")?, size("n")?, direction.to_owned()))
}

/// Runs the example of the kernels.
fn ours(root: &Path, options: &Options) -> Result<Vec<Value>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--release", "--package", "apertis-kernels", "--example", "bench_products", "--", "--json"]);
    command.args(["--threads", &options.threads.to_string(), "--rounds", &TIMES_A_ROUND.to_string()]);
    command.args(SHAPES.iter().map(|(name, _)| *name)).current_dir(root);
    lines(&mut command)
}

/// Times PyTorch on the same shapes, in the same order.
fn peer(root: &Path, options: &Options, cases: &[Value]) -> Result<Vec<f64>> {
    let script = folder(root).join("products.py");
    std::fs::create_dir_all(folder(root)).context("bench: cannot make target/bench")?;
    std::fs::write(&script, SCRIPT).with_context(|| format!("bench: cannot write {}", script.display()))?;
    let mut command = Command::new(&options.python);
    command.arg(script).arg(options.threads.to_string()).arg(TIMES_A_ROUND.to_string());
    command.arg(Value::from(cases).to_string()).env("OMP_NUM_THREADS", options.threads.to_string());
    let answers = lines(&mut command)?;
    ensure!(answers.len() == cases.len(), "bench: PyTorch answered {} of {} products", answers.len(), cases.len());
    answers.iter().map(|answer| figure(answer, "gflops")).collect()
}

/// The JSON lines that a program prints.
fn lines(command: &mut Command) -> Result<Vec<Value>> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("bench: cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "bench: {command:?} failed:\n{said}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("bench: expected JSON, found `{line}`"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_was_measured() {
        let mut figures = Figures { ours: vec![400.0, 390.0, 410.0], of_peak: vec![0.9, 0.8, 0.95], peer: Vec::new() };
        assert_eq!(row(&figures, Some(0.8)), "400 | 90.0% | ≥ 80% | not run | ");
        figures.peer = vec![200.0, 195.0, 410.0];
        assert_eq!(row(&figures, None), "400 | 90.0% |  | 200 | 2.00 (2.00, 2.00, 1.00)");
    }

    #[test]
    fn products_are_known_by_their_names() {
        let line = serde_json::json!({"name": "up", "m": 1340, "k": 576, "n": 1536, "direction": "WeightGradient"});
        assert_eq!(case(&line).unwrap(), (2, 1340, 576, 1536, "dW".to_owned()));
        assert!(case(&serde_json::json!({"name": "sideways"})).unwrap_err().to_string().contains("unknown product sideways"));
    }
}
