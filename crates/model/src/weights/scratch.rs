//! Models that start from nothing: a config for a shape, and random first weights.

use std::sync::Arc;

use apertis_kernels::{Backend, Dtype, Owned};
use serde_json::{Value, json};

use crate::config::ModelConfig;
use crate::decoder::ModelWeights;
use crate::error::ModelError;
use crate::spec::{ChannelSpec, LayerSpec, MixerSpec, ModelSpec, ModuleId, NormSpec, ParameterId};

/// Spread of first weights. Radford et al. 2019.
const STANDARD_DEVIATION: f32 = 0.02;

/// The shape of a new model.
#[derive(Clone, Debug, PartialEq)]
pub struct ScratchShape {
    /// A supported `model_type`.
    pub family: String,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; 0 for as many as query heads.
    pub kv_heads: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Width inside the channel; 0 for the usual one.
    pub hidden: usize,
    /// Longest sequence.
    pub context: usize,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Begins a text.
    pub bos_id: Option<u32>,
    /// Ends a text.
    pub eos_id: Option<u32>,
    /// Fills rows in programs that pad.
    pub pad_id: Option<u32>,
}

/// Families that can start from nothing, with the class that Transformers gives them.
const FAMILIES: &[(&str, &str)] = &[
    ("llama", "LlamaForCausalLM"),
    ("mistral", "MistralForCausalLM"),
    ("qwen2", "Qwen2ForCausalLM"),
    ("qwen3", "Qwen3ForCausalLM"),
    ("olmo2", "Olmo2ForCausalLM"),
    ("gpt2", "GPT2LMHeadModel"),
    ("gpt_neox", "GPTNeoXForCausalLM"),
];

/// The `config.json` of a new model, with tied embeddings.
///
/// # Errors
/// When the family cannot start from nothing, or the widths do not fit each other.
pub fn config_for_scratch(shape: &ScratchShape) -> Result<ModelConfig, ModelError> {
    let ScratchShape { layers, heads, width, context, vocabulary, .. } = *shape;
    let class = FAMILIES.iter().find(|(family, _)| *family == shape.family).map(|(_, class)| *class).ok_or_else(|| {
        let names: Vec<&str> = FAMILIES.iter().map(|(family, _)| *family).collect();
        ModelError::config(format!("model.family: found {:?}, expected one of {} for method=scratch", shape.family, names.join(", ")))
    })?;
    let kv_heads = if shape.kv_heads == 0 { heads } else { shape.kv_heads };
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(ModelError::config(format!("model.width: found {width}, expected a multiple of model.heads {heads}")));
    }
    if !(width / heads).is_multiple_of(2) {
        return Err(ModelError::config(format!("model.width: {width} / {heads} heads is {}, expected an even number", width / heads)));
    }
    if !heads.is_multiple_of(kv_heads) {
        return Err(ModelError::config(format!("model.kv_heads: found {kv_heads}, expected a divisor of model.heads {heads}")));
    }
    let is_plain = matches!(shape.family.as_str(), "gpt2" | "gpt_neox");
    let hidden = match shape.hidden {
        0 if is_plain => 4 * width,
        0 => (8 * width).div_ceil(3).next_multiple_of(8),
        given => given,
    };
    let mut document = if shape.family == "gpt2" {
        json!({
            "n_embd": width, "n_head": heads, "n_layer": layers, "n_positions": context, "n_inner": hidden,
            "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
            "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
        })
    } else {
        json!({
            "hidden_size": width, "intermediate_size": hidden, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": width / heads,
            "max_position_embeddings": context, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
            "hidden_act": if is_plain { "gelu" } else { "silu" },
        })
    };
    let extras = json!({
        "architectures": [class], "model_type": shape.family, "vocab_size": vocabulary, "tie_word_embeddings": true,
        "bos_token_id": shape.bos_id, "eos_token_id": shape.eos_id, "pad_token_id": shape.pad_id, "use_cache": true,
    });
    let family_extras = match shape.family.as_str() {
        "mistral" => json!({ "sliding_window": Value::Null }),
        "gpt_neox" => json!({ "layer_norm_eps": 1e-5, "rotary_pct": 1.0, "use_parallel_residual": true, "attention_bias": true }),
        _ => json!({}),
    };
    let mut all = serde_json::Map::new();
    for part in [extras, document.take(), family_extras] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Ok(ModelConfig::from_document(all))
}

/// Random first weights: normal, smaller where a residual stream sums many of them; norms that
/// change nothing; biases of zero. A function of seed and parameter name.
///
/// # Errors
/// When memory is short.
pub fn initialize(spec: &Arc<ModelSpec>, backend: &Arc<dyn Backend>, dtype: Dtype, seed: u64) -> Result<Arc<ModelWeights>, ModelError> {
    let kinds = kinds(spec);
    let residual_deviation = STANDARD_DEVIATION / (2.0 * spec.layers.len().max(1) as f32).sqrt();
    let mut tensors = Vec::with_capacity(spec.parameters.len());
    for (parameter, kind) in spec.parameters.iter().zip(kinds) {
        let values: Vec<f32> = match kind {
            Kind::Constant(value) => vec![value; parameter.len()],
            Kind::Matrix => normals(parameter.len(), STANDARD_DEVIATION, seed ^ name_hash(parameter.name())),
            Kind::Residual => normals(parameter.len(), residual_deviation, seed ^ name_hash(parameter.name())),
        };
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = backend.load_weight(parameter.name(), Dtype::F32, dtype, parameter.rows, parameter.columns, &bytes)?;
        tensors.push(Arc::new(Owned::adopt(backend, tensor)));
    }
    Ok(Arc::new(ModelWeights { spec: Arc::clone(spec), tensors, dtype }))
}

#[derive(Clone, Copy)]
enum Kind {
    Constant(f32),
    Matrix,
    Residual,
}

fn kinds(spec: &ModelSpec) -> Vec<Kind> {
    let mut kinds: Vec<Kind> =
        spec.parameters.iter().map(|parameter| if parameter.is_vector { Kind::Constant(0.0) } else { Kind::Matrix }).collect();
    let mut residual = |id: ModuleId| kinds[spec.module(id).weight.0] = Kind::Residual;
    for layer in &spec.layers {
        if let MixerSpec::Attention(attention) = &layer.mixer {
            residual(attention.output);
        }
        match &layer.channel {
            ChannelSpec::Dense(dense) => residual(dense.output),
            ChannelSpec::Experts(experts) => {
                experts.experts.iter().for_each(|(_, output)| residual(*output));
                experts.shared.iter().for_each(|shared| residual(shared.output));
            }
            ChannelSpec::None => {}
        }
    }
    for norm in spec.layers.iter().flat_map(norms).chain(&spec.final_norm) {
        if let Some(ParameterId(index)) = norm.weight {
            kinds[index] = Kind::Constant(1.0 - norm.weight_offset);
        }
    }
    kinds
}

fn norms(layer: &LayerSpec) -> Vec<&NormSpec> {
    let mut norms = vec![&layer.mixer_norm, &layer.mixer_post_norm, &layer.channel_norm, &layer.channel_post_norm];
    if let MixerSpec::Attention(attention) = &layer.mixer {
        norms.extend([&attention.query_norm, &attention.key_norm]);
    }
    norms.into_iter().flatten().collect()
}

/// Normal numbers by Box and Muller's transform of a SplitMix64 stream (Steele et al. 2014).
fn normals(count: usize, deviation: f32, seed: u64) -> Vec<f32> {
    let mut random = Uniform::new(seed);
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = (-2.0 * (1.0 - random.next()).ln()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * random.next();
        values.push((radius * angle.cos()) as f32 * deviation);
        values.push((radius * angle.sin()) as f32 * deviation);
    }
    values.truncate(count);
    values
}

/// Uniform numbers in 0 .. 1.
pub(crate) struct Uniform {
    state: u64,
}

impl Uniform {
    pub(crate) fn new(seed: u64) -> Uniform {
        Uniform { state: seed }
    }

    pub(crate) fn next(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// FNV-1a, so that each parameter has a stream of its own.
pub(crate) fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
