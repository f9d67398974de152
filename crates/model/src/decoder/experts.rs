//! Channels of experts: routing, the experts each on its own rows, and the shared channel.
//!
//! Shape letters: t tokens, d width, e experts, c choices, p pairs (t · c) sorted by expert,
//! f hidden width.

use apertis_kernels::{Dtype, ExpertRouting, Tensor};

use super::arena::Arena;
use super::channel::SavedDense;
use super::pass::{Pass, SavedCall};
use crate::spec::{ExpertsSpec, ModuleId};

/// What a channel of experts keeps for its backward.
pub(super) struct SavedExperts {
    router_call: SavedCall,
    probabilities_te: Tensor,
    experts_tc: Tensor,
    weights_tc: Tensor,
    order: Tensor,
    counts: Vec<usize>,
    gate_up_pf: Tensor,
    output_pd: Tensor,
    input_low: Vec<Tensor>,
    output_low: Vec<Tensor>,
    shared: Option<SavedShared>,
}

struct SavedShared {
    dense: SavedDense,
    gate_call: SavedCall,
    sigmoid_t: Tensor,
    output_td: Tensor,
}

impl SavedExperts {
    pub(super) fn take(pass: &Pass<'_>, arena: &mut Arena, experts: &ExpertsSpec) -> SavedExperts {
        let (tokens, count) = (pass.tokens, experts.experts.len());
        let pairs = tokens * experts.choices;
        let shared = experts.shared.as_ref().zip(experts.shared_gate).map(|(dense, gate)| SavedShared {
            dense: SavedDense::take(pass, arena, dense),
            gate_call: pass.take_call(arena, gate, tokens),
            sigmoid_t: arena.take(tokens, 1, Dtype::F32),
            output_td: arena.take(tokens, pass.spec.width, pass.activation),
        });
        let modules = |side: fn(&(ModuleId, ModuleId)) -> ModuleId| experts.experts.iter().map(side).collect::<Vec<_>>();
        SavedExperts {
            router_call: pass.take_call(arena, experts.router, tokens),
            probabilities_te: arena.take(tokens, count, Dtype::F32),
            experts_tc: arena.take(tokens, experts.choices, Dtype::U32),
            weights_tc: arena.take(tokens, experts.choices, Dtype::F32),
            order: arena.take(1, pairs, Dtype::U32),
            counts: Vec::new(),
            gate_up_pf: arena.take(pairs, 2 * experts.hidden, pass.activation),
            output_pd: arena.take(pairs, pass.spec.width, pass.activation),
            input_low: pass.take_shared_low(arena, &modules(|pair| pair.0), pairs),
            output_low: pass.take_shared_low(arena, &modules(|pair| pair.1), pairs),
            shared,
        }
    }

    /// `result_td` (F32) receives the weighted sum of the chosen experts and the shared channel.
    pub(super) fn forward(&mut self, pass: &Pass<'_>, arena: &mut Arena, experts: &ExpertsSpec, normed_td: Tensor, result_td: Tensor) {
        let mark = arena.mark();
        let logits = arena.take(pass.tokens, experts.experts.len(), Dtype::F32);
        pass.module_forward(arena, experts.router, &self.router_call, normed_td, logits, 1.0, false);
        let routing = ExpertRouting { choices: experts.choices, normalize: experts.normalize };
        self.counts = pass.backend.route(self.probabilities_te, self.experts_tc, self.weights_tc, self.order, logits, &routing);
        let gathered = arena.take(self.output_pd.rows, pass.spec.width, pass.activation);
        pass.backend.gather_pairs(gathered, normed_td, self.order, experts.choices);
        for (start, count, (input, output)) in self.groups(experts) {
            let inner = arena.mark();
            let gate_up = self.gate_up_pf.row_range(start, count);
            pass.module_forward(
                arena,
                input,
                &pass.call_on(&self.input_low, input, start, count),
                gathered.row_range(start, count),
                gate_up,
                1.0,
                false,
            );
            let hidden = arena.take(count, experts.hidden, pass.activation);
            let (gate, up) = (gate_up.column_range(0, experts.hidden), gate_up.column_range(experts.hidden, experts.hidden));
            pass.backend.activate(hidden, gate, Some(up), experts.activation);
            pass.module_forward(
                arena,
                output,
                &pass.call_on(&self.output_low, output, start, count),
                hidden,
                self.output_pd.row_range(start, count),
                1.0,
                false,
            );
            arena.release(inner);
        }
        pass.backend.combine_pairs(result_td, self.output_pd, self.order, Some(self.weights_tc), experts.choices, false);
        if let (Some(shared), Some(dense), Some(gate)) = (&self.shared, &experts.shared, experts.shared_gate) {
            let hidden = arena.take(pass.tokens, dense.hidden, pass.activation);
            shared.dense.forward(pass, arena, dense, normed_td, hidden);
            pass.module_forward(arena, dense.output, shared.dense.output_call(), hidden, shared.output_td, 1.0, false);
            let logit = arena.take(pass.tokens, 1, Dtype::F32);
            pass.module_forward(arena, gate, &shared.gate_call, normed_td, logit, 1.0, false);
            pass.backend.sigmoid(shared.sigmoid_t, logit);
            pass.backend.scale_rows(result_td, shared.output_td, shared.sigmoid_t, true);
        }
        arena.release(mark);
    }

    /// From the gradient of the result to the gradient of the channel's input.
    pub(super) fn backward(
        &self,
        pass: &Pass<'_>,
        arena: &mut Arena,
        experts: &ExpertsSpec,
        dout_td: Tensor,
        normed_td: Tensor,
        dnormed_td: Tensor,
    ) {
        let mark = arena.mark();
        let (pairs, width, choices) = (self.output_pd.rows, pass.spec.width, experts.choices);
        let doutput = arena.take(pairs, width, pass.activation);
        let dweights = arena.take(pass.tokens, choices, Dtype::F32);
        pass.backend.combine_pairs_backward(doutput, dweights, dout_td, self.output_pd, self.order, self.weights_tc, choices);

        // Router first: its product replaces what the input's gradient held.
        let dlogits = arena.take(pass.tokens, experts.experts.len(), Dtype::F32);
        let routing = ExpertRouting { choices, normalize: experts.normalize };
        pass.backend.route_backward(dlogits, dweights, self.probabilities_te, self.experts_tc, self.weights_tc, &routing);
        let dlogits_activation = arena.take(pass.tokens, experts.experts.len(), pass.activation);
        pass.backend.copy(dlogits_activation, dlogits, 1.0, false);
        let (mut terms, mut masked) = (Vec::new(), Vec::new());
        pass.module_backward(arena, experts.router, &self.router_call, dlogits_activation, normed_td, &mut terms, &mut masked);
        pass.sum_input_gradient(arena, dnormed_td, &terms, &masked);

        let gathered = arena.take(pairs, width, pass.activation);
        pass.backend.gather_pairs(gathered, normed_td, self.order, choices);
        let dgathered = arena.take(pairs, width, pass.activation);
        for (start, count, (input, output)) in self.groups(experts) {
            let inner = arena.mark();
            let gate_up = self.gate_up_pf.row_range(start, count);
            let (gate, up) = (gate_up.column_range(0, experts.hidden), gate_up.column_range(experts.hidden, experts.hidden));
            let hidden = arena.take(count, experts.hidden, pass.activation);
            pass.backend.activate(hidden, gate, Some(up), experts.activation);
            let dhidden = arena.take(count, experts.hidden, pass.activation);
            let call = pass.call_on(&self.output_low, output, start, count);
            let (mut terms, mut masked) = (Vec::new(), Vec::new());
            pass.module_backward(arena, output, &call, doutput.row_range(start, count), hidden, &mut terms, &mut masked);
            pass.sum_input_gradient(arena, dhidden, &terms, &masked);
            pass.backend.activate_backward(gate, Some(up), dhidden, gate, Some(up), experts.activation);
            let call = pass.call_on(&self.input_low, input, start, count);
            let (mut terms, mut masked) = (Vec::new(), Vec::new());
            pass.module_backward(arena, input, &call, gate_up, gathered.row_range(start, count), &mut terms, &mut masked);
            pass.sum_input_gradient(arena, dgathered.row_range(start, count), &terms, &masked);
            arena.release(inner);
        }
        pass.backend.combine_pairs(dnormed_td, dgathered, self.order, None, choices, true);
        if let (Some(shared), Some(dense), Some(gate)) = (&self.shared, &experts.shared, experts.shared_gate) {
            self.shared_backward(pass, arena, shared, (dense, gate), dout_td, normed_td, dnormed_td);
        }
        arena.release(mark);
    }

    #[expect(clippy::too_many_arguments, reason = "one backward step names what it reads and what it adds to")]
    fn shared_backward(
        &self,
        pass: &Pass<'_>,
        arena: &mut Arena,
        shared: &SavedShared,
        (dense, gate): (&crate::spec::DenseSpec, ModuleId),
        dout_td: Tensor,
        normed_td: Tensor,
        dnormed_td: Tensor,
    ) {
        let backend = pass.backend;
        let dsigmoid = arena.take(pass.tokens, 1, Dtype::F32);
        backend.row_dot(dsigmoid, dout_td, shared.output_td);
        // The sigmoid's derivative is s - s².
        let [once, twice, dlogit] = [(); 3].map(|()| arena.take(pass.tokens, 1, Dtype::F32));
        backend.multiply(once, dsigmoid, shared.sigmoid_t, false);
        backend.multiply(twice, once, shared.sigmoid_t, false);
        backend.copy(dlogit, once, 1.0, false);
        backend.copy(dlogit, twice, -1.0, true);
        let dlogit_activation = arena.take(pass.tokens, 1, pass.activation);
        backend.copy(dlogit_activation, dlogit, 1.0, false);
        let part = arena.take(pass.tokens, pass.spec.width, pass.activation);
        let (mut terms, mut masked) = (Vec::new(), Vec::new());
        pass.module_backward(arena, gate, &shared.gate_call, dlogit_activation, normed_td, &mut terms, &mut masked);
        pass.sum_input_gradient(arena, part, &terms, &masked);
        backend.copy(dnormed_td, part, 1.0, true);
        let doutput = arena.take(pass.tokens, pass.spec.width, pass.activation);
        backend.scale_rows(doutput, dout_td, shared.sigmoid_t, false);
        shared.dense.backward(pass, arena, dense, doutput, normed_td, part);
        backend.copy(dnormed_td, part, 1.0, true);
    }

    /// First row, number of rows and modules of each expert that has any.
    fn groups<'a>(&'a self, experts: &'a ExpertsSpec) -> impl Iterator<Item = (usize, usize, (ModuleId, ModuleId))> + 'a {
        let starts = self.counts.iter().scan(0, |next, count| {
            let start = *next;
            *next += count;
            Some(start)
        });
        starts
            .zip(&self.counts)
            .zip(&experts.experts)
            .filter(|((_, count), _)| **count > 0)
            .map(|((start, count), modules)| (start, *count, *modules))
    }
}

impl Pass<'_> {
    /// Memory for the additions of modules that each see some of `rows` rows: one slab for each
    /// addition that a module can have, as wide as the widest.
    fn take_shared_low(&self, arena: &mut Arena, modules: &[ModuleId], rows: usize) -> Vec<Tensor> {
        let Some(adapter) = self.adapter else { return Vec::new() };
        let mut ranks: Vec<usize> = Vec::new();
        for module in modules {
            for (slot, (_, addition)) in adapter.on(*module).enumerate() {
                match ranks.get_mut(slot) {
                    Some(rank) => *rank = (*rank).max(addition.spec.rank),
                    None => ranks.push(addition.spec.rank),
                }
            }
        }
        ranks.into_iter().map(|rank| arena.take(rows, rank, self.activation)).collect()
    }

    /// The part of shared slabs that one module's rows use.
    fn call_on(&self, slabs: &[Tensor], module: ModuleId, start: usize, count: usize) -> SavedCall {
        let Some(adapter) = self.adapter else { return SavedCall::default() };
        let low = adapter
            .on(module)
            .zip(slabs)
            .map(|((_, addition), slab)| slab.row_range(start, count).column_range(0, addition.spec.rank))
            .collect();
        SavedCall::of(low)
    }
}
