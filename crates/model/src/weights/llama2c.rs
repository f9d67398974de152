//! llama2.c's `.bin`, a common teaching format: a header of sizes, then the numbers in a fixed
//! order. Read as a Llama: rotary pairs are brought from neighbours to halves.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::checkpoint::{StoredDtype, StoredTensor, TensorFile};
use crate::config::ModelConfig;
use crate::error::ModelError;

/// `ak42`, which versions 1 and 2 begin with.
const MAGIC: u32 = 0x616b_3432;
/// Bytes before the numbers in those versions.
const HEADER_BYTES: usize = 256;
/// Larger sizes than any such model's; keeps products of three sizes inside 64 bits.
const LARGEST_SIZE: i32 = 1 << 20;

/// Sizes of a model, from its header.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    width: usize,
    hidden: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    vocabulary: usize,
    context: usize,
    is_tied: bool,
    version: i32,
    group: usize,
}

/// A file's tensors by a Llama's names, in memory.
pub(super) struct Llama2cFile {
    tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
}

/// Reads a model file: its configuration as a Llama's, and its tensors.
///
/// # Errors
/// When the header does not fit the file.
pub(super) fn open(path: &Path) -> Result<(ModelConfig, Llama2cFile), ModelError> {
    let bytes = std::fs::read(path).map_err(ModelError::io(path))?;
    let fail = |message: String| ModelError::weights(path, format!("not a llama2.c model: {message}"));
    let shape = header(&bytes).map_err(fail)?;
    let tensors = read(&bytes, &shape).map_err(fail)?;
    Ok((ModelConfig::from_document(config(&shape)), Llama2cFile { tensors }))
}

/// The one model file of a folder without `config.json`, when there is one.
///
/// # Errors
/// When several files could be it.
pub(super) fn find(folder: &Path) -> Result<Option<PathBuf>, ModelError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(ModelError::io(folder))? {
        let path = entry.map_err(ModelError::io(folder))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(".bin") && !name.starts_with("tok") && !name.starts_with("pytorch_model") {
            found.push(path);
        }
    }
    found.sort();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        several => {
            let names: Vec<String> = several.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
            Err(ModelError::weights(folder, format!("holds no config.json but {}; name one of these files", names.join(" and "))))
        }
    }
}

fn header(bytes: &[u8]) -> Result<Shape, String> {
    let word = |at: usize| -> Result<i32, String> {
        let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>()).ok_or("it ends inside its header")?;
        Ok(i32::from_le_bytes(*bytes))
    };
    let has_magic = word(0)? as u32 == MAGIC;
    let (version, start) = if has_magic { (word(4)?, 8) } else { (0, 0) };
    if !(0..=2).contains(&version) {
        return Err(format!("found version {version}, expected 0, 1 or 2"));
    }
    let mut sizes = [0; 7];
    for (index, size) in sizes.iter_mut().enumerate() {
        *size = word(start + 4 * index)?;
    }
    // Before version 1 a negative vocabulary says that the head is a matrix of its own.
    let mut is_tied = version != 0 || sizes[5] > 0;
    if version == 0 {
        sizes[5] = sizes[5].saturating_abs();
    } else {
        is_tied = bytes.get(36).is_some_and(|flag| *flag != 0);
    }
    let group = if version == 2 { bytes.get(37..41).map_or(0, |b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])) } else { 1 };
    if group < 1 || sizes.iter().any(|size| !(1..=LARGEST_SIZE).contains(size)) {
        return Err(format!("its header says {sizes:?}, expected seven sizes"));
    }
    let [width, hidden, layers, heads, kv_heads, vocabulary, context] = sizes.map(|size| size as usize);
    if width % heads != 0 || heads % kv_heads != 0 || (width / heads) % 2 != 0 {
        return Err(format!("its header says {heads} heads and {kv_heads} of keys in a width of {width}"));
    }
    Ok(Shape { width, hidden, layers, heads, kv_heads, vocabulary, context, is_tied, version, group: group as usize })
}

fn config(shape: &Shape) -> serde_json::Map<String, Value> {
    let document = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": shape.width, "intermediate_size": shape.hidden, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads, "head_dim": shape.width / shape.heads,
        "vocab_size": shape.vocabulary, "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "attention_bias": false, "mlp_bias": false,
        "tie_word_embeddings": shape.is_tied, "bos_token_id": 1, "eos_token_id": 2, "use_cache": true, "dtype": "float32",
    });
    match document {
        Value::Object(document) => document,
        _ => serde_json::Map::new(),
    }
}

/// The stacks of a file in its order: what they are, tensors, rows and columns of each.
type Stack = (&'static str, usize, usize, usize);

fn stacks(shape: &Shape) -> (Vec<Stack>, usize) {
    let Shape { width, hidden, layers, vocabulary, .. } = *shape;
    let kv_width = shape.kv_heads * (width / shape.heads);
    let embedding = ("model.embed_tokens", 1, vocabulary, width);
    let norms = [("input_layernorm", layers, 1, width), ("post_attention_layernorm", layers, 1, width), ("model.norm", 1, 1, width)];
    let attention = [
        ("self_attn.q_proj", layers, width, width),
        ("self_attn.k_proj", layers, kv_width, width),
        ("self_attn.v_proj", layers, kv_width, width),
        ("self_attn.o_proj", layers, width, width),
    ];
    let channel =
        [("mlp.gate_proj", layers, hidden, width), ("mlp.down_proj", layers, width, hidden), ("mlp.up_proj", layers, hidden, width)];
    let head = (!shape.is_tied).then_some(("lm_head", 1, vocabulary, width));
    if shape.version == 0 {
        // Between the last norm and the head stand tables of cosines and sines, which are not read.
        let table = 2 * shape.context * (width / shape.heads / 2);
        let mut all = vec![embedding, norms[0]];
        all.extend(attention);
        all.push(norms[1]);
        all.extend(channel);
        all.push(norms[2]);
        all.extend(head);
        return (all, table);
    }
    let mut all: Vec<Stack> = norms.to_vec();
    all.push(embedding);
    all.extend(attention);
    all.extend(channel);
    all.extend(head);
    (all, 0)
}

fn read(bytes: &[u8], shape: &Shape) -> Result<BTreeMap<String, (Vec<usize>, Vec<u8>)>, String> {
    let (stacks, skipped) = stacks(shape);
    let start = if shape.version == 0 { 28 } else { HEADER_BYTES };
    let is_packed = |rows: usize| shape.version == 2 && rows > 1;
    let size = |rows: usize, columns: usize| match is_packed(rows) {
        true => rows * columns + 4 * (rows * columns / shape.group),
        false => 4 * rows * columns,
    };
    // One stack fits 64 bits, all of them together may not.
    let numbers: u128 = stacks.iter().map(|(_, count, rows, columns)| *count as u128 * size(*rows, *columns) as u128).sum();
    let expected = (start + 4 * skipped) as u128 + numbers;
    if expected != bytes.len() as u128 {
        return Err(format!("found {} bytes, expected {expected} from its header", bytes.len()));
    }
    let mut tensors = BTreeMap::new();
    let mut position = start;
    for (name, count, rows, columns) in stacks {
        if name == "lm_head" {
            position += 4 * skipped;
        }
        for layer in 0..count {
            let piece = &bytes[position..position + size(rows, columns)];
            position += piece.len();
            let mut values = if is_packed(rows) { unpacked(piece, rows * columns, shape.group)? } else { floats(piece) };
            if matches!(name, "self_attn.q_proj" | "self_attn.k_proj") {
                values = halves(&values, shape.width / shape.heads, columns);
            }
            let full =
                if name.starts_with("model.") || name == "lm_head" { name.to_string() } else { format!("model.layers.{layer}.{name}") };
            let axes = if rows == 1 { vec![columns] } else { vec![rows, columns] };
            tensors.insert(format!("{full}.weight"), (axes, values.into_iter().flat_map(f32::to_le_bytes).collect()));
        }
    }
    Ok(tensors)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Eight-bit numbers, then one factor for each group of them.
fn unpacked(bytes: &[u8], count: usize, group: usize) -> Result<Vec<f32>, String> {
    if !count.is_multiple_of(group) {
        return Err(format!("its header says groups of {group}, which do not divide {count} numbers"));
    }
    let scales = floats(&bytes[count..]);
    Ok(bytes[..count].iter().enumerate().map(|(at, byte)| f32::from(*byte as i8) * scales[at / group]).collect())
}

/// Rows of each head in the order of a Llama: first of all pairs, then second of all pairs.
fn halves(values: &[f32], head_width: usize, columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    (0..rows)
        .flat_map(|row| {
            let (head, within) = (row / head_width, row % head_width);
            let half = head_width / 2;
            let source = head * head_width + 2 * (within % half) + within / half;
            values[source * columns..(source + 1) * columns].iter().copied()
        })
        .collect()
}

impl TensorFile for Llama2cFile {
    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn tensor(&self, name: &str) -> Result<StoredTensor<'_>, ModelError> {
        let (shape, bytes) = self.tensors.get(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_string() })?;
        Ok(StoredTensor { shape: shape.clone(), dtype: StoredDtype::F32, bytes: Cow::Borrowed(bytes) })
    }

    fn release(&self) {}
}
