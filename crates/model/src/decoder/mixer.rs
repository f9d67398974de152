//! Attention as a mixer: projections, norms of heads, rotation, attention, output.
//!
//! Shape letters: t tokens, d width, h query heads, g key/value heads, k head width.

use apertis_kernels::{AttentionShape, Dtype, Heads, ProductTerm, RotaryOptions, Tensor};

use super::arena::Arena;
use super::batch::DeviceBatch;
use super::cache::LayerCache;
use super::pass::{Pass, SavedCall};
use crate::spec::{AttentionSpec, HeadsSpec, NormSpec};

/// What attention keeps for its backward.
pub(super) struct SavedAttention {
    outputs: Vec<Tensor>,
    calls: Vec<SavedCall>,
    query: HeadPart,
    key: HeadPart,
    value: Heads,
    attended: Tensor,
    lse_th: Tensor,
    output_call: SavedCall,
}

/// Queries or keys: rotated heads, and what came before a norm.
struct HeadPart {
    heads: Heads,
    before_norm: Option<(Tensor, Tensor)>,
}

impl SavedAttention {
    pub(super) fn take(pass: &Pass<'_>, arena: &mut Arena, attention: &AttentionSpec) -> SavedAttention {
        let tokens = pass.tokens;
        let outputs: Vec<Tensor> =
            attention.inputs.iter().map(|module| arena.take(tokens, pass.spec.module(*module).output_width, pass.activation)).collect();
        let calls = attention.inputs.iter().map(|module| pass.take_call(arena, *module, tokens)).collect();
        let part = |arena: &mut Arena, heads: usize, place: &HeadsSpec, norm: &Option<NormSpec>| {
            let view = view(&outputs, place, heads, attention.head_width);
            match norm {
                None => HeadPart { heads: view, before_norm: None },
                Some(norm) => {
                    let columns = heads * attention.head_width;
                    let normed = arena.take(tokens, columns, pass.activation);
                    let stats = pass.norm_stats(arena, norm, tokens, columns);
                    HeadPart {
                        heads: Heads { tensor: normed, heads, head_width: attention.head_width, head_stride: attention.head_width },
                        before_norm: Some((view.tensor.column_range(0, columns), stats)),
                    }
                }
            }
        };
        let query = part(arena, attention.heads, &attention.query, &attention.query_norm);
        let key = part(arena, attention.kv_heads, &attention.key, &attention.key_norm);
        let value = view(&outputs, &attention.value, attention.kv_heads, attention.head_width);
        let attended = arena.take(tokens, attention.heads * attention.head_width, pass.activation);
        let lse_th = arena.take(tokens, attention.heads, Dtype::F32);
        let output_call = pass.take_call(arena, attention.output, tokens);
        SavedAttention { outputs, calls, query, key, value, attended, lse_th, output_call }
    }

    /// Everything up to the output module; `normed_td` is the mixer's input.
    pub(super) fn forward(
        &self,
        pass: &Pass<'_>,
        arena: &mut Arena,
        attention: &AttentionSpec,
        batch: &DeviceBatch,
        cache: Option<&LayerCache>,
        normed_td: Tensor,
    ) {
        for ((module, out), call) in attention.inputs.iter().zip(&self.outputs).zip(&self.calls) {
            pass.module_forward(arena, *module, call, normed_td, *out, 1.0, false);
        }
        for (part, norm) in [(&self.query, &attention.query_norm), (&self.key, &attention.key_norm)] {
            if let (Some(norm), Some((before, stats))) = (norm, part.before_norm) {
                pass.norm_forward(norm, part.heads.tensor, stats, before);
            }
            rotate(pass, attention, batch, part.heads, false);
        }
        let (key, value) = match cache {
            None => (self.key.heads, self.value),
            Some(cache) => cache.extend(pass.backend, batch, self.key.heads, self.value),
        };
        let shape = shape(attention, batch);
        pass.backend.attention(self.attended_heads(attention), self.lse_th, self.query.heads, key, value, &shape);
    }

    /// The input of the output module and its call, for [`super::layer`].
    pub(super) fn output(&self) -> (Tensor, &SavedCall) {
        (self.attended, &self.output_call)
    }

    /// From the gradient of the output module's result to summands of the mixer's input.
    #[expect(clippy::too_many_arguments, reason = "one backward step names what it reads and what it adds to")]
    pub(super) fn backward(
        &self,
        pass: &Pass<'_>,
        arena: &mut Arena,
        attention: &AttentionSpec,
        batch: &DeviceBatch,
        dout_td: Tensor,
        normed_td: Tensor,
        dnormed_td: Tensor,
    ) {
        let mark = arena.mark();
        let dattended = arena.take(pass.tokens, self.attended.columns, pass.activation);
        let inner = arena.mark();
        let (mut terms, mut masked) = (Vec::new(), Vec::new());
        pass.module_backward(arena, attention.output, &self.output_call, dout_td, self.attended, &mut terms, &mut masked);
        pass.sum_input_gradient(arena, dattended, &terms, &masked);
        arena.release(inner);

        let doutputs: Vec<Tensor> = self.outputs.iter().map(|out| arena.take(out.rows, out.columns, pass.activation)).collect();
        let gradient_of = |arena: &mut Arena, part: &HeadPart, place: &HeadsSpec| match part.before_norm {
            None => view(&doutputs, place, part.heads.heads, part.heads.head_width),
            Some(_) => Heads { tensor: arena.take(pass.tokens, part.heads.tensor.columns, pass.activation), ..part.heads },
        };
        let dquery = gradient_of(arena, &self.query, &attention.query);
        let dkey = gradient_of(arena, &self.key, &attention.key);
        let dvalue = view(&doutputs, &attention.value, attention.kv_heads, attention.head_width);
        let attended = self.attended_heads(attention);
        let dattended_heads = Heads { tensor: dattended, ..attended };
        let shape = shape(attention, batch);
        pass.backend.attention_backward(
            dquery,
            dkey,
            dvalue,
            dattended_heads,
            attended,
            self.lse_th,
            self.query.heads,
            self.key.heads,
            self.value,
            &shape,
        );
        let sides =
            [(&self.query, dquery, &attention.query_norm, &attention.query), (&self.key, dkey, &attention.key_norm, &attention.key)];
        for (part, gradient, norm, place) in sides {
            rotate(pass, attention, batch, gradient, true);
            if let (Some(norm), Some((before, stats))) = (norm, part.before_norm) {
                let target = view(&doutputs, place, part.heads.heads, part.heads.head_width).tensor.column_range(0, before.columns);
                pass.norm_backward(norm, target, false, gradient.tensor, before, stats);
            }
        }
        let (mut terms, mut masked): (Vec<ProductTerm>, _) = (Vec::new(), Vec::new());
        for ((module, dout), call) in attention.inputs.iter().zip(&doutputs).zip(&self.calls) {
            pass.module_backward(arena, *module, call, *dout, normed_td, &mut terms, &mut masked);
        }
        pass.sum_input_gradient(arena, dnormed_td, &terms, &masked);
        arena.release(mark);
    }

    fn attended_heads(&self, attention: &AttentionSpec) -> Heads {
        Heads { tensor: self.attended, heads: attention.heads, head_width: attention.head_width, head_stride: attention.head_width }
    }
}

fn view(outputs: &[Tensor], place: &HeadsSpec, heads: usize, head_width: usize) -> Heads {
    let output = outputs[place.input];
    let columns = (heads - 1) * place.head_stride + head_width;
    Heads { tensor: output.column_range(place.column_start, columns), heads, head_width, head_stride: place.head_stride }
}

fn rotate(pass: &Pass<'_>, attention: &AttentionSpec, batch: &DeviceBatch, heads: Heads, inverse: bool) {
    if let Some(index) = attention.rope {
        let rope = &pass.spec.ropes[index];
        let (table, rows) = batch.ropes[index];
        pass.backend.rotary(heads, table, rows, &RotaryOptions { rotary_width: rope.rotary_width, interleaved: rope.interleaved, inverse });
    }
}

fn shape<'a>(attention: &AttentionSpec, batch: &'a DeviceBatch) -> AttentionShape<'a> {
    AttentionShape {
        scale: attention.scale,
        window: attention.window,
        soft_cap: attention.soft_cap,
        sequences: &batch.sequences,
        visible: &batch.visible,
    }
}
