//! Dense channels: gate and up, a pointwise function, down.
//!
//! Shape letters: t tokens, d width, f hidden width.

use apertis_kernels::Tensor;

use super::arena::Arena;
use super::pass::{Pass, SavedCall};
use crate::spec::DenseSpec;

/// What a dense channel keeps for its backward.
pub(super) struct SavedDense {
    inputs: Vec<Tensor>,
    calls: Vec<SavedCall>,
    output_call: SavedCall,
}

impl SavedDense {
    pub(super) fn take(pass: &Pass<'_>, arena: &mut Arena, dense: &DenseSpec) -> SavedDense {
        let inputs =
            dense.inputs.iter().map(|module| arena.take(pass.tokens, pass.spec.module(*module).output_width, pass.activation)).collect();
        let calls = dense.inputs.iter().map(|module| pass.take_call(arena, *module, pass.tokens)).collect();
        SavedDense { inputs, calls, output_call: pass.take_call(arena, dense.output, pass.tokens) }
    }

    /// Into `hidden_tf`, the input of the output module.
    pub(super) fn forward(&self, pass: &Pass<'_>, arena: &mut Arena, dense: &DenseSpec, normed_td: Tensor, hidden_tf: Tensor) {
        for ((module, out), call) in dense.inputs.iter().zip(&self.inputs).zip(&self.calls) {
            pass.module_forward(arena, *module, call, normed_td, *out, 1.0, false);
        }
        self.activate(pass, dense, hidden_tf);
    }

    pub(super) fn output_call(&self) -> &SavedCall {
        &self.output_call
    }

    /// From the gradient of the channel's result to the gradient of its input.
    pub(super) fn backward(
        &self,
        pass: &Pass<'_>,
        arena: &mut Arena,
        dense: &DenseSpec,
        dout_td: Tensor,
        normed_td: Tensor,
        dnormed_td: Tensor,
    ) {
        let mark = arena.mark();
        let dhidden = arena.take(pass.tokens, dense.hidden, pass.activation);
        let inner = arena.mark();
        let hidden = arena.take(pass.tokens, dense.hidden, pass.activation);
        self.activate(pass, dense, hidden);
        let (mut terms, mut masked) = (Vec::new(), Vec::new());
        pass.module_backward(arena, dense.output, &self.output_call, dout_td, hidden, &mut terms, &mut masked);
        pass.sum_input_gradient(arena, dhidden, &terms, &masked);
        arena.release(inner);
        let (gate, up) = self.gate_and_up(dense);
        // Gate and up are not read again: their gradients take their place.
        pass.backend.activate_backward(gate, up, dhidden, gate, up, dense.activation);
        let (mut terms, mut masked) = (Vec::new(), Vec::new());
        for ((module, dout), call) in dense.inputs.iter().zip(&self.inputs).zip(&self.calls) {
            pass.module_backward(arena, *module, call, *dout, normed_td, &mut terms, &mut masked);
        }
        pass.sum_input_gradient(arena, dnormed_td, &terms, &masked);
        arena.release(mark);
    }

    fn activate(&self, pass: &Pass<'_>, dense: &DenseSpec, hidden_tf: Tensor) {
        let (gate, up) = self.gate_and_up(dense);
        pass.backend.activate(hidden_tf, gate, up, dense.activation);
    }

    fn gate_and_up(&self, dense: &DenseSpec) -> (Tensor, Option<Tensor>) {
        match (dense.is_gated, self.inputs.len()) {
            (false, _) => (self.inputs[0], None),
            (true, 1) => (self.inputs[0].column_range(0, dense.hidden), Some(self.inputs[0].column_range(dense.hidden, dense.hidden))),
            (true, _) => (self.inputs[0], Some(self.inputs[1])),
        }
    }
}
