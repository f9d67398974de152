//! What no config may promise, whatever its family: checked before a mapping makes room for it,
//! and again on what the mapping made, so that nothing above it meets an impossible size.

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{AttentionSpec, ChannelSpec, MixerSpec, ModelSpec};

/// More layers than any model has.
const LAYERS_MAX: usize = 10_000;
/// More heads or experts, of all layers together, than any model has.
const PIECES_MAX: usize = 1 << 18;
/// More numbers than any model has; keeps counts of bytes inside 64 bits.
const NUMBERS_MAX: usize = 1 << 46;

/// Refuses a config whose lists alone would fill the memory.
pub(super) fn check_config(config: &ModelConfig) -> Result<(), ModelError> {
    let largest = |keys: &[&str]| -> Result<usize, ModelError> {
        keys.iter().try_fold(0, |largest: usize, key| Ok(largest.max(config.optional_count(key)?.unwrap_or(0))))
    };
    let layers = largest(&["num_hidden_layers", "n_layer"])?;
    if layers > LAYERS_MAX {
        return Err(ModelError::config(format!("number of layers: found {layers}, expected at most {LAYERS_MAX}")));
    }
    let pieces = largest(&["num_attention_heads", "n_head", "num_key_value_heads", "num_experts", "num_local_experts"])?;
    if pieces.saturating_mul(layers.max(1)) > PIECES_MAX {
        return Err(ModelError::config(format!(
            "found {pieces} heads or experts in each of {layers} layers, expected at most {PIECES_MAX} of them together"
        )));
    }
    Ok(())
}

/// Refuses a model that cannot be computed: sizes of zero, counts that overflow, parts that do
/// not fit into each other.
pub(super) fn check_spec(spec: &ModelSpec) -> Result<(), ModelError> {
    if spec.layers.is_empty() || spec.context == 0 {
        let (layers, context) = (spec.layers.len(), spec.context);
        return Err(ModelError::config(format!("found {layers} layers and a context of {context}, expected at least 1 of each")));
    }
    let mut numbers = 0usize;
    for parameter in &spec.parameters {
        let count = parameter.rows.checked_mul(parameter.columns).filter(|count| (1..=NUMBERS_MAX).contains(count));
        numbers = numbers.saturating_add(count.unwrap_or(NUMBERS_MAX));
        if count.is_none() || numbers > NUMBERS_MAX {
            let (name, rows, columns) = (parameter.name(), parameter.rows, parameter.columns);
            return Err(ModelError::config(format!("{name} would have {rows} rows of {columns} numbers, which no model has")));
        }
    }
    let factors = [Some(spec.embedding_scale), Some(spec.logit_scale), spec.logit_soft_cap];
    check_factors("the whole model", &factors, spec.logit_soft_cap)?;
    for (index, layer) in spec.layers.iter().enumerate() {
        if let MixerSpec::Attention(attention) = &layer.mixer {
            check_attention(spec, index, attention)?;
        }
        if let ChannelSpec::Experts(experts) = &layer.channel
            && (experts.choices == 0 || experts.choices > experts.experts.len())
        {
            let (choices, count) = (experts.choices, experts.experts.len());
            return Err(ModelError::config(format!("layer {index}: found {choices} choices among {count} experts")));
        }
        check_factors(&format!("layer {index}"), &[Some(layer.residual_scale)], None)?;
    }
    Ok(())
}

fn check_attention(spec: &ModelSpec, index: usize, attention: &AttentionSpec) -> Result<(), ModelError> {
    let AttentionSpec { heads, kv_heads, head_width, .. } = *attention;
    let parts = [(&attention.query, heads), (&attention.key, kv_heads), (&attention.value, kv_heads)];
    let fits = parts.iter().all(|(part, count)| {
        let end = (count.max(&1) - 1).checked_mul(part.head_stride).and_then(|start| start.checked_add(part.column_start + head_width));
        let width = attention.inputs.get(part.input).map(|input| spec.module(*input).output_width);
        end.is_some_and(|end| width.is_some_and(|width| end <= width))
    });
    if heads == 0
        || kv_heads == 0
        || head_width == 0
        || !heads.is_multiple_of(kv_heads)
        || !fits
        || spec.module(attention.output).input_width != heads * head_width
    {
        return Err(ModelError::config(format!(
            "layer {index}: found {heads} heads of width {head_width} and {kv_heads} of keys, which do not fit a width of {}",
            spec.width
        )));
    }
    if attention.window == Some(0) {
        return Err(ModelError::config(format!("layer {index}: found a sliding_window of 0, expected at least 1")));
    }
    if let Some(rope) = attention.rope.and_then(|rope| spec.ropes.get(rope))
        && (rope.rotary_width == 0 || rope.rotary_width % 2 == 1 || rope.rotary_width > head_width)
    {
        let found = rope.rotary_width;
        return Err(ModelError::config(format!("rope: found a rotary width of {found}, expected an even number of at most {head_width}")));
    }
    check_factors(&format!("layer {index}"), &[Some(attention.scale), attention.soft_cap], attention.soft_cap)
}

/// Factors are finite, and a cap divides, so it is above zero.
fn check_factors(place: &str, factors: &[Option<f32>], cap: Option<f32>) -> Result<(), ModelError> {
    if let Some(factor) = factors.iter().flatten().find(|factor| !factor.is_finite()) {
        return Err(ModelError::config(format!("{place}: a multiplier comes to {factor}, expected a finite number")));
    }
    match cap {
        Some(cap) if cap <= 0.0 => Err(ModelError::config(format!("{place}: found a soft cap of {cap}, expected a number above 0"))),
        _ => Ok(()),
    }
}
