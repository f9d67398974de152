//! Gemma 1, 2 and 3 (text): scaled embeddings, norms around both parts, caps, two rotations.

use super::blocks::{Frame, SeparateAttention, Sizes, activation, embedding, gated, prefix, windows};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{ChannelSpec, LayerSpec, MixerSpec, ModelSpec, NormSpec, SpecBuilder};

pub(super) fn gemma1(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    // "gelu" is a legacy word for the tanh approximation in this family.
    let word = match config.word_or("hidden_activation", config.word_or("hidden_act", "gelu_pytorch_tanh")?)? {
        "gelu" => "gelu_pytorch_tanh",
        other => other,
    };
    build(config, word, Generation::One)
}

pub(super) fn gemma2(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    build(config, config.word_or("hidden_activation", "gelu_pytorch_tanh")?, Generation::Two)
}

pub(super) fn gemma3(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    if config.flag_or("use_bidirectional_attention", false)? {
        return Err(ModelError::config("use_bidirectional_attention: found true; encoders are not supported"));
    }
    build(config, config.word_or("hidden_activation", "gelu_pytorch_tanh")?, Generation::Three)
}

#[derive(Clone, Copy, PartialEq)]
enum Generation {
    One,
    Two,
    Three,
}

fn build(config: &ModelConfig, activation_word: &str, generation: Generation) -> Result<ModelSpec, ModelError> {
    let mut sizes = Sizes::read(config)?;
    if config.optional_count("head_dim")?.is_none() {
        sizes.head_width = 256; // The class default.
    }
    let width = sizes.width;
    let hidden = config.size("intermediate_size")?;
    let function = activation(activation_word)?;
    let bias = config.flag_or("attention_bias", false)?;
    let window = config.count_or("sliding_window", 4096)?;
    let pattern = match generation {
        Generation::Three => config.count_or("sliding_window_pattern", 6)?.max(1),
        _ => 2,
    };
    let has_windows = generation != Generation::One;
    let windows = windows(config, sizes.layers, Some(window).filter(|_| has_windows), |layer| (layer + 1) % pattern != 0)?;
    let ropes = match generation {
        Generation::Three => {
            let full = config.rope(Some("full_attention"), 1_000_000.0, sizes.head_width)?;
            let mut local = config.rope(Some("sliding_attention"), 10_000.0, sizes.head_width)?;
            let is_keyed = config.value("rope_parameters").is_some_and(|settings| settings.get("sliding_attention").is_some());
            if !is_keyed {
                // The older form scales the full layers only and names the local base apart.
                local.theta = config.number_or("rope_local_base_freq", 10_000.0)?;
                local.scaling = crate::rope::RopeScaling::None;
                local.attention_factor = 1.0;
            }
            vec![full, local]
        }
        _ => vec![config.rope(None, 10_000.0, sizes.head_width)?],
    };
    let score_scale = match generation {
        Generation::One => sizes.score_scale(),
        _ => config.number_or("query_pre_attn_scalar", 256.0)?.powf(-0.5) as f32,
    };
    let has_around_norms = generation != Generation::One;
    let mut builder = SpecBuilder::default();
    let (embedding, head) = embedding(&mut builder, config, &sizes, true)?;
    let root = prefix(config);
    let mut layers = Vec::with_capacity(sizes.layers);
    for (index, window) in windows.into_iter().enumerate() {
        let layer = format!("{root}layers.{index}");
        let mut norm = |name: &str| offset_norm(&mut builder, format!("{layer}.{name}"), width, sizes.epsilon);
        let mixer_norm = Some(norm("input_layernorm"));
        let after_mixer = Some(norm("post_attention_layernorm"));
        let (mixer_post_norm, channel_norm, channel_post_norm) = if has_around_norms {
            (after_mixer, Some(norm("pre_feedforward_layernorm")), Some(norm("post_feedforward_layernorm")))
        } else {
            (None, after_mixer, None)
        };
        let rope = usize::from(generation == Generation::Three && window.is_some());
        let mut attention = SeparateAttention {
            sizes: &sizes,
            layer: &layer,
            input_bias: bias,
            output_bias: bias,
            rope: Some(rope),
            window,
            scale: score_scale,
        }
        .build(&mut builder);
        match generation {
            Generation::One => {}
            Generation::Two => attention.soft_cap = config.optional_number("attn_logit_softcapping")?.map(|cap| cap as f32),
            Generation::Three => {
                attention.query_norm =
                    Some(offset_norm(&mut builder, format!("{layer}.self_attn.q_norm"), sizes.head_width, sizes.epsilon));
                attention.key_norm = Some(offset_norm(&mut builder, format!("{layer}.self_attn.k_norm"), sizes.head_width, sizes.epsilon));
            }
        }
        let channel = gated(&mut builder, &format!("{layer}.mlp"), width, hidden, function, false);
        layers.push(LayerSpec {
            mixer_norm,
            mixer: MixerSpec::Attention(attention),
            mixer_post_norm,
            channel_norm,
            channel: ChannelSpec::Dense(channel),
            channel_post_norm,
            is_parallel: false,
            residual_scale: 1.0,
        });
    }
    let final_norm = offset_norm(&mut builder, format!("{root}norm"), width, sizes.epsilon);
    let mut spec = Frame { embedding, head, final_norm, ropes }.finish(config, &sizes, layers, builder)?;
    spec.embedding_scale = (width as f32).sqrt();
    if generation != Generation::One {
        spec.logit_soft_cap = config.optional_number("final_logit_softcapping")?.map(|cap| cap as f32);
    }
    Ok(spec)
}

/// Gemma keeps the weight of a norm as its distance from one.
fn offset_norm(builder: &mut SpecBuilder, name: String, width: usize, epsilon: f32) -> NormSpec {
    NormSpec { weight_offset: 1.0, ..builder.rms_norm(name, width, epsilon) }
}
