//! Fine-tuning a model of 135 million parameters: speed, memory, and losses that agree.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};

use super::options::Options;
use super::programs::{Programs, figure, folder, losses};
use super::shape;
use super::table::{Row, head};

/// One way of training, on both sides.
struct Comparison {
    name: &'static str,
    method: &'static str,
    /// Fields of our recipe beyond the common ones.
    ours: &'static [&'static str],
    peer_precision: &'static str,
    speed: &'static str,
    memory: &'static str,
}

const COMPARISONS: &[Comparison] = &[
    Comparison { name: "LoRA", method: "lora", ours: &[], peer_precision: "bf16", speed: "≥ 3.0", memory: "≤ 0.25" },
    Comparison { name: "full", method: "full", ours: &[], peer_precision: "bf16", speed: "≥ 2.5", memory: "≤ 0.35" },
    Comparison { name: "LoRA, its f32 default", method: "lora", ours: &[], peer_precision: "f32", speed: "≥ 4.0", memory: "" },
    Comparison {
        name: "LoRA without bf16 products (AVX-512), its f32",
        method: "lora",
        ours: &["instruction_set=avx512"],
        peer_precision: "f32",
        speed: "≥ 1.5",
        memory: "",
    },
    Comparison {
        name: "LoRA without AVX-512 (AVX2), its f32",
        method: "lora",
        ours: &["instruction_set=avx2"],
        peer_precision: "f32",
        speed: "≥ 1.5",
        memory: "",
    },
];

pub(super) fn run(root: &Path, programs: &Programs, options: &Options) -> Result<()> {
    let model = match &options.model {
        Some(model) => model.clone(),
        None => shape::make(shape::SMOLLM2_135M, &root.join("fixtures/demo/base"), &folder(root).join("smollm2-135m"))?,
    };
    let data = options.data.clone().unwrap_or_else(|| root.join("fixtures/demo/questions.jsonl"));
    let mut figures: Vec<Figures> = COMPARISONS.iter().map(|_| Figures::default()).collect();
    for round in 1..=options.rounds {
        for (index, comparison) in COMPARISONS.iter().enumerate() {
            // The same run of the peer stands beside each of our paths that is held to its f32.
            let earlier = COMPARISONS[..index]
                .iter()
                .rposition(|other| (other.method, other.peer_precision) == (comparison.method, comparison.peer_precision));
            let peer = match earlier.and_then(|earlier| figures[earlier].peer.last().cloned()) {
                Some(peer) => Some(peer),
                None => peer(programs, comparison, &model, &data)?,
            };
            let ours = ours(programs, comparison, &model, &data)?;
            eprintln!(
                "round {round}: {}: {:.1} tokens/s, peer {:.1}",
                comparison.name,
                ours.speed,
                peer.as_ref().map_or(f64::NAN, |peer| peer.speed)
            );
            figures[index].ours.push(ours);
            figures[index].peer.extend(peer);
        }
    }
    head();
    for (comparison, figures) in COMPARISONS.iter().zip(&figures) {
        figures.print(comparison);
    }
    Ok(())
}

fn ours(programs: &Programs, comparison: &Comparison, model: &Path, data: &Path) -> Result<Figure> {
    let mut fields: Vec<String> =
        [format!("model={}", model.display()), format!("data={}", data.display()), format!("method={}", comparison.method)].into();
    let common =
        "learning_rate=2e-4 eval_fraction=0 shuffle=false batch_size=8 max_steps=8 max_length=1024 schedule=constant warmup_steps=0";
    fields.extend(common.split(' ').chain(comparison.ours.iter().copied()).map(str::to_owned));
    let (answer, _) = programs.train(&fields)?;
    Figure::new(&answer, "train_losses")
}

fn peer(programs: &Programs, comparison: &Comparison, model: &Path, data: &Path) -> Result<Option<Figure>> {
    let arguments: Vec<OsString> = [
        model.as_os_str(),
        data.as_os_str(),
        "--method".as_ref(),
        comparison.method.as_ref(),
        "--precision".as_ref(),
        comparison.peer_precision.as_ref(),
    ]
    .map(OsString::from)
    .into();
    let answer = programs.peer("peer_train.py", &arguments)?;
    answer.map(|(answer, _)| Figure::new(&answer, "losses")).transpose()
}

/// What one run showed.
#[derive(Clone)]
struct Figure {
    /// Real tokens a second.
    speed: f64,
    memory_gb: f64,
    losses: Vec<f64>,
}

impl Figure {
    fn new(answer: &serde_json::Value, name: &str) -> Result<Self> {
        let memory_gb = figure(answer, "peak_rss_bytes").context("memory")? / 1e9;
        Ok(Self { speed: figure(answer, "tokens_per_second")?, memory_gb, losses: losses(answer, name) })
    }
}

/// What the rounds of one comparison showed.
#[derive(Default)]
struct Figures {
    ours: Vec<Figure>,
    peer: Vec<Figure>,
}

impl Figures {
    fn print(&self, comparison: &Comparison) {
        let row = |what: &str, unit: &str, asked: &str, of: fn(&Figure) -> f64| {
            let (ours, peer): (Vec<f64>, Vec<f64>) = (self.ours.iter().map(of).collect(), self.peer.iter().map(of).collect());
            Row { name: &format!("{}, {what}", comparison.name), unit, ours: &ours, peer: &peer, asked }.print();
        };
        row("tokens/s", "", comparison.speed, |figure| figure.speed);
        row("peak memory", "GB", comparison.memory, |figure| figure.memory_gb);
        if let (Some(ours), Some(peer)) = (self.ours.first(), self.peer.first()) {
            let apart = ours.losses.iter().zip(&peer.losses).map(|(ours, peer)| (ours / peer - 1.0).abs());
            println!("| {}, losses apart at most | {:.3} % | | | ≤ 1 % |", comparison.name, 100.0 * apart.fold(0.0, f64::max));
        }
    }
}
