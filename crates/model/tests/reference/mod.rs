//! Reads the recorded references of `fixtures/families` and `fixtures/adapters`.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of this module")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use apertis_kernels::{Backend, Context, CpuBackend, DeferredBackend, InstructionSet};
use apertis_model::decoder::{Batch, Targets};
use apertis_model::spec::ParameterSpec;
use safetensors::SafeTensors;
use serde_json::Value;

/// The processor's backend by each instruction set it has, slowest first, then the one that keeps
/// weights in a layout of its own and puts work off: the same numbers on it show that the model
/// touches no bytes and waits for no result but at named reads.
pub fn backends() -> Vec<Arc<dyn Backend>> {
    let processor = InstructionSet::available()
        .into_iter()
        .map(|set| CpuBackend::new(Arc::new(Context::new(2, set).expect("this set is available"))) as Arc<dyn Backend>);
    processor.chain([DeferredBackend::new() as Arc<dyn Backend>]).collect()
}

/// The last two of [`backends`].
pub fn fastest_and_deferred() -> Vec<Arc<dyn Backend>> {
    let mut backends = backends();
    backends.split_off(backends.len() - 2)
}

/// One recorded case.
pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    pub ids: Vec<u32>,
    pub offsets: Vec<u32>,
    /// (token number, id to predict).
    pub targets: Vec<(u32, u32)>,
    pub vocabulary: usize,
    pub logits: Vec<f32>,
    pub loss: f64,
    pub greedy: Greedy,
    pub tensors: BTreeMap<String, Vec<f32>>,
    /// What stands before the names of gradients.
    pub gradient_prefix: &'static str,
    /// `tie_word_embeddings` after merging, where recorded.
    pub merged_tie: Option<bool>,
}

/// A recorded continuation.
pub struct Greedy {
    pub prompt: Vec<u32>,
    pub ids: Vec<u32>,
    pub margins: Vec<f64>,
}

/// One row of a case.
pub struct Row {
    pub start: usize,
    pub ids: Vec<u32>,
}

impl Case {
    /// Every recorded case; there must be some.
    pub fn all() -> Vec<Case> {
        let root = apertis_testkit::fixtures().join("families");
        let mut folders: Vec<PathBuf> =
            std::fs::read_dir(&root).expect("fixtures are committed").map(|entry| entry.expect("readable").path()).collect();
        folders.sort();
        assert!(folders.len() >= 40, "found {} cases in {}", folders.len(), root.display());
        let only = std::env::var("CASE").ok();
        folders.into_iter().map(Case::read).filter(|case| only.as_ref().is_none_or(|only| case.name == *only)).collect()
    }

    /// The same rows with the case's own adapter.
    pub fn with_adapter(mut self) -> Case {
        let text = std::fs::read_to_string(self.folder.join("expected.json")).expect("expected.json");
        let document: Value = serde_json::from_str(&text).expect("a JSON document");
        self.loss = document["lora"]["loss"].as_f64().expect("a loss");
        self.logits = self.tensors["lora_logits"].clone();
        self.gradient_prefix = "lora_grad.";
        self
    }

    /// A case of `fixtures/adapters`, and the path of its base among the fixtures.
    pub fn read_adapter(folder: PathBuf) -> (Case, String) {
        let text = std::fs::read_to_string(folder.join("expected.json")).expect("expected.json");
        let document: Value = serde_json::from_str(&text).expect("a JSON document");
        let base = document["base"].as_str().expect("a base").to_string();
        let case = Case { merged_tie: document["merged_tie_word_embeddings"].as_bool(), ..Case::read(folder) };
        (case, base)
    }

    /// Recorded gradients alone.
    pub fn of_gradients(name: &str, tensors: BTreeMap<String, Vec<f32>>) -> Case {
        Case {
            name: name.to_string(),
            folder: PathBuf::new(),
            ids: Vec::new(),
            offsets: Vec::new(),
            targets: Vec::new(),
            vocabulary: 0,
            logits: Vec::new(),
            loss: 0.0,
            greedy: Greedy { prompt: Vec::new(), ids: Vec::new(), margins: Vec::new() },
            tensors,
            gradient_prefix: "grad.",
            merged_tie: None,
        }
    }

    fn read(folder: PathBuf) -> Case {
        let bytes = std::fs::read(folder.join("expected.safetensors")).expect("expected.safetensors");
        let file = SafeTensors::deserialize(&bytes).expect("a sound file");
        let integers = |name: &str| -> Vec<i64> {
            let tensor = file.tensor(name).expect("recorded");
            tensor.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("eight bytes"))).collect()
        };
        let mut tensors: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (name, tensor) in file.tensors() {
            if tensor.dtype() == safetensors::Dtype::F32 {
                let values: Vec<f32> =
                    tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect();
                tensors.insert(name, values);
            }
        }
        let document: Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).expect("expected.json")).expect("a JSON document");
        let list = |value: &Value| -> Vec<u32> {
            value.as_array().expect("a list").iter().map(|item| item.as_u64().expect("an id") as u32).collect()
        };
        // Recorded for models, not for adapters.
        let greedy = document.get("greedy").cloned().unwrap_or_else(|| serde_json::json!({ "prompt": [], "ids": [], "margins": [] }));
        let ids: Vec<u32> = integers("ids").into_iter().map(|id| id as u32).collect();
        let logits: Vec<f32> = tensors["logits"].clone();
        Case {
            name: folder.file_name().expect("a name").to_string_lossy().into_owned(),
            vocabulary: logits.len() / ids.len(),
            offsets: integers("offsets").into_iter().map(|offset| offset as u32).collect(),
            targets: integers("targets")
                .into_iter()
                .enumerate()
                .filter(|(_, id)| *id >= 0)
                .map(|(row, id)| (row as u32, id as u32))
                .collect(),
            loss: document["loss"].as_f64().expect("a loss"),
            greedy: Greedy {
                prompt: list(&greedy["prompt"]),
                ids: list(&greedy["ids"]),
                margins: greedy["margins"].as_array().expect("margins").iter().map(|margin| margin.as_f64().expect("a number")).collect(),
            },
            ids,
            logits,
            tensors,
            gradient_prefix: "grad.",
            merged_tie: None,
            folder,
        }
    }

    /// `config.json` and its other spellings.
    pub fn configs(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.folder)
            .expect("the case's folder")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("config.") && name.ends_with(".json"))
            .collect();
        names.sort();
        names
    }

    pub fn batch(&self) -> Batch {
        Batch { ids: self.ids.clone(), offsets: self.offsets.clone(), ..Batch::default() }
    }

    pub fn batch_rows(&self) -> Vec<Row> {
        self.offsets
            .windows(2)
            .map(|row| Row { start: row[0] as usize, ids: self.ids[row[0] as usize..row[1] as usize].to_vec() })
            .collect()
    }

    pub fn row_lengths(&self) -> Vec<usize> {
        self.offsets.windows(2).map(|row| (row[1] - row[0]) as usize).collect()
    }

    pub fn mean_nll(&self) -> Targets {
        let (rows, ids) = self.targets.iter().copied().unzip();
        Targets::mean_nll(rows, ids, self.targets.len() as f32)
    }

    /// Compares gradients by name; names that the reference leaves out must be zero or absent.
    pub fn check_gradients(&self, prefix: &str, ours: &BTreeMap<String, Vec<f32>>) {
        let expected: BTreeMap<&str, &Vec<f32>> =
            self.tensors.iter().filter_map(|(name, values)| name.strip_prefix(prefix).map(|name| (name, values))).collect();
        assert!(!expected.is_empty(), "{}: no recorded gradients", self.name);
        let all: f64 = expected.values().map(|values| squared(values)).sum::<f64>().sqrt();
        for (name, theirs) in &expected {
            let values = ours.get(*name).unwrap_or_else(|| panic!("{}: no gradient of {name}", self.name));
            assert_eq!(values.len(), theirs.len(), "{}: {name}", self.name);
            let difference: f64 = values.iter().zip(*theirs).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
            let allowed = 1e-4 * squared(theirs).sqrt() + 1e-7 * all;
            assert!(difference <= allowed, "{}: gradient of {name} is off by {difference:e}, allowed {allowed:e}", self.name);
        }
    }
}

/// ‖a − b‖ / ‖b‖.
pub fn relative_error(ours: &[f32], theirs: &[f32]) -> f64 {
    let difference: f64 = ours.iter().zip(theirs).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    difference / squared(theirs).sqrt()
}

/// A parameter's gradient in the pieces and orientation of the checkpoint.
pub fn split_parts(parameter: &ParameterSpec, values: &[f32]) -> Vec<(String, Vec<f32>)> {
    let mut start = 0;
    parameter
        .parts
        .iter()
        .map(|part| {
            let piece = &values[start..start + part.rows * parameter.columns];
            start += piece.len();
            let oriented = if part.transposed {
                (0..parameter.columns)
                    .flat_map(|column| (0..part.rows).map(move |row| (row, column)))
                    .map(|(row, column)| piece[row * parameter.columns + column])
                    .collect()
            } else {
                piece.to_vec()
            };
            (part.name.clone(), oriented)
        })
        .collect()
}

fn squared(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum()
}
