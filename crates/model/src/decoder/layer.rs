//! One layer: norm, mixer, add; norm, channel, add; or both beside each other.
//!
//! Shape letters: t tokens, d width.

use apertis_kernels::{Dtype, Tensor};

use super::arena::Arena;
use super::batch::DeviceBatch;
use super::cache::LayerCache;
use super::channel::SavedDense;
use super::experts::SavedExperts;
use super::mixer::SavedAttention;
use super::pass::{Pass, SavedCall};
use crate::spec::{ChannelSpec, LayerSpec, MixerSpec, ModuleId, NormSpec};

/// What a layer keeps for its backward.
pub(super) struct SavedLayer {
    mixer: Option<SavedAttention>,
    mixer_input: SavedInput,
    mixer_result: Option<SavedResult>,
    channel: SavedChannel,
    /// None when the channel shares the mixer's input.
    channel_input: Option<SavedInput>,
    channel_result: Option<SavedResult>,
}

enum SavedChannel {
    None,
    Dense(SavedDense),
    Experts(SavedExperts),
}

/// The residual stream where a part read it.
struct SavedInput {
    x_td: Tensor,
    stats: Option<Tensor>,
}

/// A part's result before the norm that follows it.
struct SavedResult {
    result_td: Tensor,
    stats: Tensor,
}

impl SavedLayer {
    pub(super) fn take(pass: &Pass<'_>, arena: &mut Arena, layer: &LayerSpec) -> SavedLayer {
        let mixer_input = SavedInput::take(pass, arena, &layer.mixer_norm);
        let mixer = match &layer.mixer {
            MixerSpec::Attention(attention) => Some(SavedAttention::take(pass, arena, attention)),
            MixerSpec::None => None,
        };
        let shares_input = layer.is_parallel && layer.channel_norm.is_none();
        let channel_input = (!shares_input).then(|| SavedInput::take(pass, arena, &layer.channel_norm));
        let channel = match &layer.channel {
            ChannelSpec::Dense(dense) => SavedChannel::Dense(SavedDense::take(pass, arena, dense)),
            ChannelSpec::Experts(experts) => SavedChannel::Experts(SavedExperts::take(pass, arena, experts)),
            ChannelSpec::None => SavedChannel::None,
        };
        SavedLayer {
            mixer,
            mixer_input,
            mixer_result: SavedResult::take(pass, arena, &layer.mixer_post_norm),
            channel,
            channel_input,
            channel_result: SavedResult::take(pass, arena, &layer.channel_post_norm),
        }
    }

    /// Adds the layer to the residual stream `x_td` (F32).
    pub(super) fn forward(
        &mut self,
        pass: &Pass<'_>,
        arena: &mut Arena,
        layer: &LayerSpec,
        batch: &DeviceBatch,
        cache: Option<&LayerCache>,
        x_td: Tensor,
    ) {
        let mark = arena.mark();
        let normed = arena.take(pass.tokens, pass.spec.width, pass.activation);
        self.mixer_input.forward(pass, &layer.mixer_norm, x_td, normed);
        // Beside each other: the channel reads the stream before the mixer adds to it.
        let channel_normed = match (&self.channel_input, layer.is_parallel) {
            (Some(input), true) => {
                let own = arena.take(pass.tokens, pass.spec.width, pass.activation);
                input.forward(pass, &layer.channel_norm, x_td, own);
                own
            }
            _ => normed,
        };
        if let (MixerSpec::Attention(attention), Some(saved)) = (&layer.mixer, &self.mixer) {
            saved.forward(pass, arena, attention, batch, cache, normed);
            let (attended, call) = saved.output();
            let part = Part {
                module: attention.output,
                call,
                norm: &layer.mixer_post_norm,
                result: &self.mixer_result,
                scale: layer.residual_scale,
            };
            part.add(pass, arena, attended, x_td);
        }
        if let (Some(input), false) = (&self.channel_input, layer.is_parallel) {
            input.forward(pass, &layer.channel_norm, x_td, channel_normed);
        }
        match (&layer.channel, &mut self.channel) {
            (ChannelSpec::Dense(dense), SavedChannel::Dense(saved)) => {
                let hidden = arena.take(pass.tokens, dense.hidden, pass.activation);
                saved.forward(pass, arena, dense, channel_normed, hidden);
                let part = Part {
                    module: dense.output,
                    call: saved.output_call(),
                    norm: &layer.channel_post_norm,
                    result: &self.channel_result,
                    scale: layer.residual_scale,
                };
                part.add(pass, arena, hidden, x_td);
            }
            (ChannelSpec::Experts(experts), SavedChannel::Experts(saved)) => {
                let result = arena.take(pass.tokens, pass.spec.width, Dtype::F32);
                saved.forward(pass, arena, experts, channel_normed, result);
                add_result(pass, arena, &layer.channel_post_norm, &self.channel_result, layer.residual_scale, result, x_td);
            }
            _ => {}
        }
        arena.release(mark);
    }

    /// Turns the gradient of the stream after the layer into that before it, in place (F32).
    pub(super) fn backward(&self, pass: &Pass<'_>, arena: &mut Arena, layer: &LayerSpec, batch: &DeviceBatch, dx_td: Tensor) {
        let mark = arena.mark();
        let width = pass.spec.width;
        let normed = arena.take(pass.tokens, width, pass.activation);
        let dout = arena.take(pass.tokens, width, pass.activation);
        let dnormed = arena.take(pass.tokens, width, pass.activation);
        // A part without another beside it adds to the stream's gradient at once.
        let are_beside = layer.is_parallel && self.mixer.is_some() && !matches!(self.channel, SavedChannel::None);
        let channel_dnormed = if are_beside { arena.take(pass.tokens, width, pass.activation) } else { dnormed };

        if !matches!(self.channel, SavedChannel::None) {
            let inner = arena.mark();
            let (input, norm) = match &self.channel_input {
                Some(input) => (input, &layer.channel_norm),
                None => (&self.mixer_input, &layer.mixer_norm),
            };
            input.repeat(pass, norm, normed);
            result_gradient(pass, arena, &layer.channel_post_norm, &self.channel_result, layer.residual_scale, dx_td, dout);
            match (&layer.channel, &self.channel) {
                (ChannelSpec::Dense(dense), SavedChannel::Dense(saved)) => {
                    saved.backward(pass, arena, dense, dout, normed, channel_dnormed)
                }
                (ChannelSpec::Experts(experts), SavedChannel::Experts(saved)) => {
                    saved.backward(pass, arena, experts, dout, normed, channel_dnormed)
                }
                _ => {}
            }
            if !are_beside {
                input.backward(pass, norm, channel_dnormed, dx_td);
            }
            arena.release(inner);
        }
        if let (MixerSpec::Attention(attention), Some(saved)) = (&layer.mixer, &self.mixer) {
            self.mixer_input.repeat(pass, &layer.mixer_norm, normed);
            result_gradient(pass, arena, &layer.mixer_post_norm, &self.mixer_result, layer.residual_scale, dx_td, dout);
            saved.backward(pass, arena, attention, batch, dout, normed, dnormed);
            if are_beside {
                match &self.channel_input {
                    Some(input) => input.backward(pass, &layer.channel_norm, channel_dnormed, dx_td),
                    None => pass.backend.copy(dnormed, channel_dnormed, 1.0, true),
                }
            }
            self.mixer_input.backward(pass, &layer.mixer_norm, dnormed, dx_td);
        }
        arena.release(mark);
    }
}

impl SavedInput {
    fn take(pass: &Pass<'_>, arena: &mut Arena, norm: &Option<NormSpec>) -> SavedInput {
        SavedInput {
            x_td: arena.take(pass.tokens, pass.spec.width, pass.activation),
            stats: norm.as_ref().map(|norm| pass.norm_stats(arena, norm, pass.tokens, pass.spec.width)),
        }
    }

    fn forward(&self, pass: &Pass<'_>, norm: &Option<NormSpec>, x_td: Tensor, normed_td: Tensor) {
        pass.backend.copy(self.x_td, x_td, 1.0, false);
        match (norm, self.stats) {
            (Some(norm), Some(stats)) => pass.norm_forward(norm, normed_td, stats, x_td),
            _ => pass.backend.copy(normed_td, x_td, 1.0, false),
        }
    }

    /// Computes the normed input again from what was kept.
    fn repeat(&self, pass: &Pass<'_>, norm: &Option<NormSpec>, normed_td: Tensor) {
        match (norm, self.stats) {
            (Some(norm), Some(stats)) => pass.norm_forward(norm, normed_td, stats, self.x_td),
            _ => pass.backend.copy(normed_td, self.x_td, 1.0, false),
        }
    }

    fn backward(&self, pass: &Pass<'_>, norm: &Option<NormSpec>, dnormed_td: Tensor, dx_td: Tensor) {
        match (norm, self.stats) {
            (Some(norm), Some(stats)) => pass.norm_backward(norm, dx_td, true, dnormed_td, self.x_td, stats),
            _ => pass.backend.copy(dx_td, dnormed_td, 1.0, true),
        }
    }
}

impl SavedResult {
    fn take(pass: &Pass<'_>, arena: &mut Arena, norm: &Option<NormSpec>) -> Option<SavedResult> {
        norm.as_ref().map(|norm| SavedResult {
            result_td: arena.take(pass.tokens, pass.spec.width, pass.activation),
            stats: pass.norm_stats(arena, norm, pass.tokens, pass.spec.width),
        })
    }
}

/// The last module of a mixer or dense channel, and how its result joins the stream.
struct Part<'a> {
    module: ModuleId,
    call: &'a SavedCall,
    norm: &'a Option<NormSpec>,
    result: &'a Option<SavedResult>,
    scale: f32,
}

impl Part<'_> {
    fn add(&self, pass: &Pass<'_>, arena: &mut Arena, input: Tensor, x_td: Tensor) {
        match (self.norm, self.result) {
            (Some(norm), Some(saved)) => {
                let mark = arena.mark();
                pass.module_forward(arena, self.module, self.call, input, saved.result_td, 1.0, false);
                let normed = arena.take(pass.tokens, pass.spec.width, Dtype::F32);
                pass.norm_forward(norm, normed, saved.stats, saved.result_td);
                pass.backend.copy(x_td, normed, self.scale, true);
                arena.release(mark);
            }
            _ => pass.module_forward(arena, self.module, self.call, input, x_td, self.scale, true),
        }
    }
}

fn add_result(
    pass: &Pass<'_>,
    arena: &mut Arena,
    norm: &Option<NormSpec>,
    saved: &Option<SavedResult>,
    scale: f32,
    result_td: Tensor,
    x_td: Tensor,
) {
    match (norm, saved) {
        (Some(norm), Some(saved)) => {
            let mark = arena.mark();
            pass.backend.copy(saved.result_td, result_td, 1.0, false);
            let normed = arena.take(pass.tokens, pass.spec.width, Dtype::F32);
            pass.norm_forward(norm, normed, saved.stats, saved.result_td);
            pass.backend.copy(x_td, normed, scale, true);
            arena.release(mark);
        }
        _ => pass.backend.copy(x_td, result_td, scale, true),
    }
}

/// The gradient of a part's result from the gradient of the stream it was added to.
fn result_gradient(
    pass: &Pass<'_>,
    arena: &mut Arena,
    norm: &Option<NormSpec>,
    saved: &Option<SavedResult>,
    scale: f32,
    dx_td: Tensor,
    dout_td: Tensor,
) {
    match (norm, saved) {
        (Some(norm), Some(saved)) => {
            let mark = arena.mark();
            let scaled = arena.take(pass.tokens, pass.spec.width, Dtype::F32);
            pass.backend.copy(scaled, dx_td, scale, false);
            pass.norm_backward(norm, dout_td, false, scaled, saved.result_td, saved.stats);
            arena.release(mark);
        }
        _ => pass.backend.copy(dout_td, dx_td, scale, false),
    }
}
