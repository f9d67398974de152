//! GPT-2: learned positions, layer norms, transposed weights, a plain channel.

use apertis_kernels::NormKind;

use super::blocks::{activation, pre_norm_layer, tied_embeddings};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{AttentionSpec, ChannelSpec, DenseSpec, HeadsSpec, ModelSpec, NormSpec, SpecBuilder};

pub(super) fn map(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let width = config.size("n_embd")?;
    let heads = config.size("n_head")?;
    let layers_count = config.count("n_layer")?;
    let context = config.count_or("n_positions", 1024)?;
    let vocabulary = config.size("vocab_size")?;
    let hidden = config.count_or("n_inner", 4 * width)?;
    let epsilon = config.number_or("layer_norm_epsilon", 1e-5)? as f32;
    let function = activation(config.word_or("activation_function", "gelu_new")?)?;
    let scales_scores = config.flag_or("scale_attn_weights", true)?;
    let scales_by_layer = config.flag_or("scale_attn_by_inverse_layer_idx", false)?;
    if !width.is_multiple_of(heads) {
        return Err(ModelError::config(format!("n_head: found {heads}, expected a divisor of n_embd {width}")));
    }
    let head_width = width / heads;
    let mut builder = SpecBuilder::default();
    let embedding = builder.matrix("transformer.wte.weight", vocabulary, width);
    let positions = builder.matrix("transformer.wpe.weight", context, width);
    let mut layers = Vec::with_capacity(layers_count);
    for index in 0..layers_count {
        let layer = format!("transformer.h.{index}");
        let mixer_norm = layer_norm(&mut builder, &format!("{layer}.ln_1"), width, epsilon);
        let all = builder.transposed_linear(format!("{layer}.attn.c_attn"), 3 * width, width);
        let output = builder.transposed_linear(format!("{layer}.attn.c_proj"), width, width);
        let heads_at = |column_start| HeadsSpec { input: 0, column_start, head_stride: head_width };
        let mut scale = if scales_scores { (head_width as f64).powf(-0.5) as f32 } else { 1.0 };
        if scales_by_layer {
            scale /= (index + 1) as f32;
        }
        let attention = AttentionSpec {
            heads,
            kv_heads: heads,
            head_width,
            inputs: vec![all],
            query: heads_at(0),
            key: heads_at(width),
            value: heads_at(2 * width),
            query_norm: None,
            key_norm: None,
            rope: None,
            window: None,
            soft_cap: None,
            scale,
            output,
        };
        let channel_norm = layer_norm(&mut builder, &format!("{layer}.ln_2"), width, epsilon);
        let up = builder.transposed_linear(format!("{layer}.mlp.c_fc"), hidden, width);
        let down = builder.transposed_linear(format!("{layer}.mlp.c_proj"), width, hidden);
        let channel = DenseSpec { inputs: vec![up], hidden, is_gated: false, activation: function, output: down };
        layers.push(pre_norm_layer(mixer_norm, attention, channel_norm, ChannelSpec::Dense(channel)));
    }
    let final_norm = layer_norm(&mut builder, "transformer.ln_f", width, epsilon);
    let head = if tied_embeddings(config, true)? { embedding } else { builder.matrix("lm_head.weight", vocabulary, width) };
    Ok(ModelSpec {
        family: config.family()?,
        vocabulary,
        width,
        context,
        embedding,
        embedding_scale: 1.0,
        position_embedding: Some(positions),
        layers,
        final_norm: Some(final_norm),
        head,
        logit_scale: 1.0,
        logit_soft_cap: None,
        ropes: Vec::new(),
        parameters: builder.parameters,
        modules: builder.modules,
    })
}

fn layer_norm(builder: &mut SpecBuilder, name: &str, width: usize, epsilon: f32) -> NormSpec {
    let norm = builder.layer_norm(name, width, epsilon, true);
    debug_assert_eq!(norm.kind, NormKind::Layer);
    norm
}
