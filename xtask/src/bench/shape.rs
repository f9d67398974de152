//! Model folders of a named shape with random weights: their text is noise, their cost is real.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Sizes of a Llama model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    layers: usize,
    width: usize,
    hidden: usize,
    heads: usize,
    kv_heads: usize,
}

/// The sizes of SmolLM2-135M.
pub(super) const SMOLLM2_135M: Shape = Shape { layers: 30, width: 576, hidden: 1536, heads: 9, kv_heads: 3 };
/// So small that everything but the model shows: 3.3 million weights, nearly all of them the vocabulary.
pub(super) const TINY: Shape = Shape { layers: 4, width: 64, hidden: 176, heads: 4, kv_heads: 2 };

const VOCABULARY: usize = 49_152;
/// Standard deviation of the weights, as the architecture is initialised.
const DEVIATION: f64 = 0.02;

/// Makes the folder with the tokenizer of another, where it is not there yet.
pub(super) fn make(shape: Shape, tokenizer: &Path, folder: &Path) -> Result<PathBuf> {
    let weights = folder.join("model.safetensors");
    if weights.exists() {
        return Ok(folder.to_path_buf());
    }
    std::fs::create_dir_all(folder).with_context(|| format!("bench: cannot make {}", folder.display()))?;
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(tokenizer.join(name), folder.join(name)).with_context(|| format!("bench: cannot copy {name}"))?;
    }
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": shape.width, "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.width / shape.heads, "vocab_size": VOCABULARY,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 100_000.0, "tie_word_embeddings": true,
        "hidden_act": "silu", "dtype": "bfloat16"
    });
    std::fs::write(folder.join("config.json"), serde_json::to_string_pretty(&config)?).context("bench: cannot write config.json")?;
    write_weights(shape, &weights).with_context(|| format!("bench: cannot write {}", weights.display()))?;
    Ok(folder.to_path_buf())
}

/// Names and shapes of every tensor.
fn tensors(sizes: Shape) -> Vec<(String, Vec<usize>)> {
    let Shape { layers, width, hidden, heads, kv_heads } = sizes;
    let kv_width = width / heads * kv_heads;
    let mut tensors =
        vec![("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, width]), ("model.norm.weight".to_owned(), vec![width])];
    for layer in 0..layers {
        let parts: [(&str, Vec<usize>); 9] = [
            ("input_layernorm", vec![width]),
            ("self_attn.q_proj", vec![width, width]),
            ("self_attn.k_proj", vec![kv_width, width]),
            ("self_attn.v_proj", vec![kv_width, width]),
            ("self_attn.o_proj", vec![width, width]),
            ("post_attention_layernorm", vec![width]),
            ("mlp.gate_proj", vec![hidden, width]),
            ("mlp.up_proj", vec![hidden, width]),
            ("mlp.down_proj", vec![width, hidden]),
        ];
        tensors.extend(parts.into_iter().map(|(part, shape)| (format!("model.layers.{layer}.{part}.weight"), shape)));
    }
    tensors
}

/// A safetensors file: the length of the header, the header, and the values as bf16.
fn write_weights(shape: Shape, path: &Path) -> Result<()> {
    let tensors = tensors(shape);
    let mut header = Map::new();
    let mut at = 0;
    for (name, shape) in &tensors {
        let end = at + 2 * shape.iter().product::<usize>();
        header.insert(name.clone(), json!({ "dtype": "BF16", "shape": shape, "data_offsets": [at, end] }));
        at = end;
    }
    let header = serde_json::to_string(&Value::Object(header))?;
    let partial = path.with_extension("partial");
    let mut file = BufWriter::new(std::fs::File::create(&partial)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for (_, shape) in &tensors {
        let is_norm = shape.len() == 1;
        for _ in 0..shape.iter().product::<usize>() {
            let value = if is_norm { 1.0 } else { (noise.normal() * DEVIATION) as f32 };
            file.write_all(&((value.to_bits() >> 16) as u16).to_le_bytes())?;
        }
    }
    file.flush()?;
    drop(file);
    std::fs::rename(&partial, path)?;
    Ok(())
}

/// A stream of random numbers that is the same on every machine (splitmix64).
struct Noise(u64);

impl Noise {
    /// Uniform in 0..1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal with deviation 1: the sum of twelve uniform numbers less six.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}
