//! Mixtures of experts: Qwen2-MoE, Qwen3-MoE and Mixtral.

use super::blocks::{Frame, SeparateAttention, Sizes, activation, embedding, gated, pre_norm_layer, windows};
use super::qwen::add_head_norms;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{ChannelSpec, ExpertsSpec, ModelSpec, SpecBuilder};

pub(super) fn qwen2_moe(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let layers = config.count("num_hidden_layers")?;
    let last_windowed = config.count_or("max_window_layers", 28)?;
    let window = config.optional_count("sliding_window")?.filter(|_| config.flag_or("use_sliding_window", false).unwrap_or(false));
    let windows = windows(config, layers, window, |layer| (layer + 1) % 2 == 1 && layer < last_windowed)?;
    let style = Style { input_bias: config.flag_or("qkv_bias", true)?, names: QWEN_NAMES, has_shared: true, windows };
    build(config, style)
}

pub(super) fn qwen3_moe(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let layers = config.count("num_hidden_layers")?;
    let window = config.optional_count("sliding_window")?.filter(|_| config.flag_or("use_sliding_window", false).unwrap_or(false));
    let style =
        Style { input_bias: config.flag_or("attention_bias", false)?, names: QWEN_NAMES, has_shared: false, windows: vec![window; layers] };
    let mut spec = build(config, style)?;
    add_head_norms(config, &mut spec)?;
    Ok(spec)
}

pub(super) fn mixtral(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let layers = config.count("num_hidden_layers")?;
    let window = config.optional_count("sliding_window")?;
    build(config, Style { input_bias: false, names: MIXTRAL_NAMES, has_shared: false, windows: vec![window; layers] })
}

struct Names {
    block: &'static str,
    gate: &'static str,
    up: &'static str,
    down: &'static str,
}

const QWEN_NAMES: Names = Names { block: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj" };
const MIXTRAL_NAMES: Names = Names { block: "block_sparse_moe", gate: "w1", up: "w3", down: "w2" };

struct Style {
    input_bias: bool,
    names: Names,
    has_shared: bool,
    windows: Vec<Option<usize>>,
}

fn build(config: &ModelConfig, style: Style) -> Result<ModelSpec, ModelError> {
    let sizes = Sizes::read(config)?;
    let width = sizes.width;
    let is_mixtral = style.names.block == MIXTRAL_NAMES.block;
    let function = activation(config.word_or("hidden_act", "silu")?)?;
    let epsilon = config.number_or("rms_norm_eps", if is_mixtral { 1e-5 } else { 1e-6 })? as f32;
    let rope = config.rope(None, if is_mixtral { 1_000_000.0 } else { 10_000.0 }, sizes.head_width)?;
    let output_bias = !style.has_shared && style.input_bias;
    let mut builder = SpecBuilder::default();
    let (embedding, head) = embedding(&mut builder, config, &sizes, false)?;
    let mut layers = Vec::with_capacity(sizes.layers);
    for (index, window) in style.windows.iter().enumerate() {
        let layer = format!("model.layers.{index}");
        let mixer_norm = builder.rms_norm(format!("{layer}.input_layernorm"), width, epsilon);
        let attention = SeparateAttention {
            sizes: &sizes,
            layer: &layer,
            input_bias: style.input_bias,
            output_bias,
            rope: Some(0),
            window: *window,
            scale: sizes.score_scale(),
        }
        .build(&mut builder);
        let channel_norm = builder.rms_norm(format!("{layer}.post_attention_layernorm"), width, epsilon);
        let channel = if is_mixtral || is_sparse(config, index)? {
            ChannelSpec::Experts(experts(config, &mut builder, &layer, &style, width, function)?)
        } else {
            ChannelSpec::Dense(gated(&mut builder, &format!("{layer}.mlp"), width, config.size("intermediate_size")?, function, false))
        };
        layers.push(pre_norm_layer(mixer_norm, attention, channel_norm, channel));
    }
    let final_norm = builder.rms_norm("model.norm", width, epsilon);
    Frame { embedding, head, final_norm, ropes: vec![rope] }.finish(config, &sizes, layers, builder)
}

/// The number goes by either name, whatever the family.
fn expert_count(config: &ModelConfig) -> Result<usize, ModelError> {
    Ok(config.optional_count("num_experts")?.or(config.optional_count("num_local_experts")?).unwrap_or(0))
}

fn is_sparse(config: &ModelConfig, layer: usize) -> Result<bool, ModelError> {
    let dense_only = config.counts("mlp_only_layers")?.unwrap_or_default();
    let step = config.count_or("decoder_sparse_step", 1)?.max(1);
    Ok(!dense_only.contains(&layer) && expert_count(config)? > 0 && (layer + 1) % step == 0)
}

fn experts(
    config: &ModelConfig,
    builder: &mut SpecBuilder,
    layer: &str,
    style: &Style,
    width: usize,
    activation: apertis_kernels::Activation,
) -> Result<ExpertsSpec, ModelError> {
    let is_mixtral = style.names.block == MIXTRAL_NAMES.block;
    let count = expert_count(config)?;
    let hidden = if is_mixtral { config.size("intermediate_size")? } else { config.size("moe_intermediate_size")? };
    let choices = config.size("num_experts_per_tok")?;
    if choices > count || count > 65_536 {
        return Err(ModelError::config(format!("experts: found {choices} choices among {count}, expected at most as many as experts")));
    }
    let block = format!("{layer}.{}", style.names.block);
    let router = builder.linear(format!("{block}.gate"), count, width, false);
    let Names { gate, up, down, .. } = style.names;
    let experts = (0..count)
        .map(|expert| {
            let name = format!("{block}.experts.{expert}");
            let inputs = [format!("{name}.{gate}"), format!("{name}.{up}")];
            let input = builder.stacked_linear(format!("{name}.gate_up_proj"), &inputs, hidden, width);
            (input, builder.linear(format!("{name}.{down}"), width, hidden, false))
        })
        .collect();
    let (shared, shared_gate) = if style.has_shared {
        let shared_hidden = config.size("shared_expert_intermediate_size")?;
        let shared = gated(builder, &format!("{block}.shared_expert"), width, shared_hidden, activation, false);
        (Some(shared), Some(builder.linear(format!("{block}.shared_expert_gate"), 1, width, false)))
    } else {
        (None, None)
    };
    Ok(ExpertsSpec {
        router,
        experts,
        hidden,
        choices,
        normalize: is_mixtral || config.flag_or("norm_topk_prob", false)?,
        activation,
        shared,
        shared_gate,
        stacked_input_name: format!("{layer}.mlp.experts.gate_up_proj"),
        stacked_output_name: format!("{layer}.mlp.experts.down_proj"),
    })
}
