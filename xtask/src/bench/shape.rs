//! A model folder of SmolLM2-135M's shape with random weights: its text is noise, its cost is real.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

const LAYERS: usize = 30;
const WIDTH: usize = 576;
const HIDDEN: usize = 1536;
const KV_WIDTH: usize = 192;
const VOCABULARY: usize = 49_152;
/// Standard deviation of the weights, as the architecture is initialised.
const DEVIATION: f64 = 0.02;

/// Makes the folder with the tokenizer of another, where it is not there yet.
pub(super) fn smollm2_135m(tokenizer: &Path, folder: &Path) -> Result<PathBuf> {
    let weights = folder.join("model.safetensors");
    if weights.exists() {
        return Ok(folder.to_path_buf());
    }
    std::fs::create_dir_all(folder).with_context(|| format!("bench: cannot make {}", folder.display()))?;
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(tokenizer.join(name), folder.join(name)).with_context(|| format!("bench: cannot copy {name}"))?;
    }
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": HIDDEN,
        "num_hidden_layers": LAYERS, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "vocab_size": VOCABULARY,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 100_000.0, "tie_word_embeddings": true,
        "hidden_act": "silu", "dtype": "bfloat16"
    });
    std::fs::write(folder.join("config.json"), serde_json::to_string_pretty(&config)?).context("bench: cannot write config.json")?;
    write_weights(&weights).with_context(|| format!("bench: cannot write {}", weights.display()))?;
    Ok(folder.to_path_buf())
}

/// Names and shapes of every tensor.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut tensors =
        vec![("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, WIDTH]), ("model.norm.weight".to_owned(), vec![WIDTH])];
    for layer in 0..LAYERS {
        let parts: [(&str, Vec<usize>); 9] = [
            ("input_layernorm", vec![WIDTH]),
            ("self_attn.q_proj", vec![WIDTH, WIDTH]),
            ("self_attn.k_proj", vec![KV_WIDTH, WIDTH]),
            ("self_attn.v_proj", vec![KV_WIDTH, WIDTH]),
            ("self_attn.o_proj", vec![WIDTH, WIDTH]),
            ("post_attention_layernorm", vec![WIDTH]),
            ("mlp.gate_proj", vec![HIDDEN, WIDTH]),
            ("mlp.up_proj", vec![HIDDEN, WIDTH]),
            ("mlp.down_proj", vec![WIDTH, HIDDEN]),
        ];
        tensors.extend(parts.into_iter().map(|(part, shape)| (format!("model.layers.{layer}.{part}.weight"), shape)));
    }
    tensors
}

/// A safetensors file: the length of the header, the header, and the values as bf16.
fn write_weights(path: &Path) -> Result<()> {
    let tensors = tensors();
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
