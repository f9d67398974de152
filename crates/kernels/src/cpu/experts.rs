//! Sending tokens to experts and bringing their answers back.

use crate::backend::ExpertRouting;
use crate::cpu::buffers::{expect_apart, expect_apart_or_same, expect_shape};
use crate::cpu::functions::{Arithmetic, exp, with_arithmetic};
use crate::cpu::lanes::{self, sum_of, sum_of_products};
use crate::cpu::operand::CHUNK;
use crate::cpu::reference::experts as reference;
use crate::cpu::work::{Work, for_row_ranges, for_tiles};
use crate::instruction_set::vectorized;
use crate::tensor::Tensor;

pub(super) fn route(
    work: &Work<'_>,
    probabilities: Tensor,
    experts: Tensor,
    weights: Tensor,
    order: Tensor,
    logits: Tensor,
    routing: &ExpertRouting,
) -> Vec<usize> {
    const NAME: &str = "route";
    let (tokens, expert_count, choices) = (logits.rows, logits.columns, routing.choices);
    assert!(choices >= 1 && choices <= expert_count, "{NAME}: found {choices} choices, expected 1 to {expert_count}");
    expect_shape(NAME, "probabilities", probabilities, tokens, expert_count);
    expect_shape(NAME, "experts", experts, tokens, choices);
    expect_shape(NAME, "weights", weights, tokens, choices);
    expect_shape(NAME, "order", order, 1, tokens * choices);
    expect_apart(NAME, &[probabilities, experts, weights, order], &[logits]);
    if work.is_scalar() {
        let routed = reference::route(&work.matrix(NAME, logits), routing);
        work.put(NAME, probabilities, &routed.probabilities, false);
        work.put(NAME, weights, &routed.weights, false);
        write_integers(work, experts, &routed.experts);
        write_integers(work, order, &routed.order);
        return routed.counts;
    }
    let set = work.instruction_set();
    let (logits, probabilities) = (work.buffers.rows::<f32>(NAME, logits), work.buffers.rows_mut::<f32>(NAME, probabilities));
    let (experts, weights) = (work.buffers.rows_mut::<u32>(NAME, experts), work.buffers.rows_mut::<f32>(NAME, weights));
    for_row_ranges(work.context, tokens, expert_count * choices, |rows| {
        for row in rows {
            // SAFETY: each row is written by one task.
            let (probabilities, experts, weights) = unsafe { (probabilities.row(row), experts.row(row), weights.row(row)) };
            with_arithmetic!(softmax, set, probabilities, logits.row(row));
            choose(probabilities, experts, weights);
            if routing.normalize {
                let sum: f32 = weights.iter().sum();
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
        }
    });
    // Sorting by counting: a stable order, in time linear in the pairs.
    // SAFETY: the tasks above are done; one thread reads and writes from here.
    let expert_of = |pair: usize| unsafe { experts.row(pair / choices)[pair % choices] as usize };
    let mut counts = vec![0; expert_count];
    for pair in 0..tokens * choices {
        counts[expert_of(pair)] += 1;
    }
    let mut next: Vec<usize> = counts
        .iter()
        .scan(0, |start, count| {
            *start += count;
            Some(*start - count)
        })
        .collect();
    let mut sorted = vec![0; tokens * choices];
    for pair in 0..tokens * choices {
        let place = &mut next[expert_of(pair)];
        sorted[*place] = pair as u32;
        *place += 1;
    }
    write_integers(work, order, &sorted);
    counts
}

pub(super) fn route_backward(
    work: &Work<'_>,
    dlogits: Tensor,
    dweights: Tensor,
    probabilities: Tensor,
    experts: Tensor,
    weights: Tensor,
    routing: &ExpertRouting,
) {
    const NAME: &str = "route_backward";
    let (tokens, expert_count, choices) = (probabilities.rows, probabilities.columns, routing.choices);
    expect_shape(NAME, "dlogits", dlogits, tokens, expert_count);
    for (role, tensor) in [("dweights", dweights), ("experts", experts), ("weights", weights)] {
        expect_shape(NAME, role, tensor, tokens, choices);
    }
    expect_apart(NAME, &[dlogits], &[dweights, probabilities, experts, weights]);
    let chosen = work.integers(NAME, experts);
    assert!(chosen.iter().all(|expert| (*expert as usize) < expert_count), "{NAME}: found an expert beyond {expert_count}");
    if work.is_scalar() {
        let (dweights, weights) = (work.matrix(NAME, dweights), work.matrix(NAME, weights));
        let result = reference::route_backward(&dweights, &work.matrix(NAME, probabilities), &chosen, &weights, routing);
        return work.put(NAME, dlogits, &result, false);
    }
    let set = work.instruction_set();
    let sink = work.buffers.sink(NAME, dlogits);
    let (dweights, probabilities) = (work.buffers.rows::<f32>(NAME, dweights), work.buffers.rows::<f32>(NAME, probabilities));
    let weights = work.buffers.rows::<f32>(NAME, weights);
    for_row_ranges(work.context, tokens, expert_count, |rows| {
        let mut gradient = vec![0.0; expert_count];
        for row in rows {
            let (dweights, probabilities, weights) = (dweights.row(row), probabilities.row(row), weights.row(row));
            let chosen = &chosen[row * choices..(row + 1) * choices];
            let (mut level, mut scale) = (0.0, 1.0);
            if routing.normalize {
                level = dweights.iter().zip(weights).map(|(dweight, weight)| dweight * weight).sum();
                scale = 1.0 / chosen.iter().map(|expert| probabilities[*expert as usize]).sum::<f32>();
            }
            gradient.fill(0.0);
            for (expert, dweight) in chosen.iter().zip(dweights) {
                gradient[*expert as usize] = (dweight - level) * scale;
            }
            softmax_backward(set, &mut gradient, probabilities);
            // SAFETY: each row is written by one task.
            unsafe { sink.store(set, row, 0, &gradient) };
        }
    });
}

/// The order as numbers, after checking that it names each pair once.
fn permutation(work: &Work<'_>, operation: &str, order: Tensor, pairs: usize) -> (Vec<u32>, Vec<u32>) {
    expect_shape(operation, "order", order, 1, pairs);
    let order = work.integers(operation, order);
    let mut place_of = vec![u32::MAX; pairs];
    for (place, pair) in order.iter().enumerate() {
        let seen = place_of.get_mut(*pair as usize).unwrap_or_else(|| panic!("{operation}: found pair {pair} of {pairs}"));
        assert_eq!(*seen, u32::MAX, "{operation}: found pair {pair} twice");
        *seen = place as u32;
    }
    (order, place_of)
}

pub(super) fn gather_pairs(work: &Work<'_>, out: Tensor, x: Tensor, order: Tensor, choices: usize) {
    const NAME: &str = "gather_pairs";
    expect_shape(NAME, "out", out, x.rows * choices, x.columns);
    expect_apart(NAME, &[out], &[x, order]);
    let (order, _) = permutation(work, NAME, order, out.rows);
    if work.is_scalar() {
        return work.put(NAME, out, &reference::gather_pairs(&work.matrix(NAME, x), &order, choices), false);
    }
    let (sink, source) = (work.buffers.sink(NAME, out), work.buffers.source(NAME, x));
    let set = work.instruction_set();
    for_tiles(
        work.context,
        out.rows,
        out.columns,
        || [0.0; CHUNK],
        |values, tile| {
            let values = &mut values[..tile.count];
            source.load(set, order[tile.row] as usize / choices, tile.start, values);
            // SAFETY: tiles are disjoint.
            unsafe { sink.store(set, tile.row, tile.start, values) };
        },
    );
}

pub(super) fn combine_pairs(
    work: &Work<'_>,
    out: Tensor,
    y: Tensor,
    order: Tensor,
    weights: Option<Tensor>,
    choices: usize,
    accumulate: bool,
) {
    const NAME: &str = "combine_pairs";
    expect_shape(NAME, "y", y, out.rows * choices, out.columns);
    if let Some(weights) = weights {
        expect_shape(NAME, "weights", weights, out.rows, choices);
        expect_apart(NAME, &[out], &[weights]);
    }
    expect_apart(NAME, &[out], &[y, order]);
    let (order, place_of) = permutation(work, NAME, order, y.rows);
    if work.is_scalar() {
        let weights = work.optional_matrix(NAME, weights);
        return work.put(NAME, out, &reference::combine_pairs(&work.matrix(NAME, y), &order, weights.as_ref(), choices), accumulate);
    }
    let (sink, source) = (work.buffers.sink(NAME, out), work.buffers.source(NAME, y));
    let weights = weights.map(|weights| work.buffers.rows::<f32>(NAME, weights));
    let set = work.instruction_set();
    let scratch = || [[0.0; CHUNK]; 2];
    for_tiles(work.context, out.rows, out.columns, scratch, |[sum, values], tile| {
        let (sum, values) = (&mut sum[..tile.count], &mut values[..tile.count]);
        sum.fill(0.0);
        for choice in 0..choices {
            source.load(set, place_of[tile.row * choices + choice] as usize, tile.start, values);
            let weight = weights.as_ref().map_or(1.0, |weights| weights.row(tile.row)[choice]);
            lanes::add_scaled(set, sum, values, weight);
        }
        // SAFETY: tiles are disjoint.
        unsafe { sink.put(set, tile.row, tile.start, sum, accumulate) };
    });
}

#[expect(clippy::too_many_arguments, reason = "the operation has them")]
pub(super) fn combine_pairs_backward(
    work: &Work<'_>,
    dy: Tensor,
    dweights: Tensor,
    dout: Tensor,
    y: Tensor,
    order: Tensor,
    weights: Tensor,
    choices: usize,
) {
    const NAME: &str = "combine_pairs_backward";
    expect_shape(NAME, "dy", dy, dout.rows * choices, dout.columns);
    expect_shape(NAME, "y", y, dout.rows * choices, dout.columns);
    expect_shape(NAME, "weights", weights, dout.rows, choices);
    expect_shape(NAME, "dweights", dweights, dout.rows, choices);
    expect_apart(NAME, &[dy, dweights], &[dout, order, weights]);
    expect_apart(NAME, &[dweights], &[y]);
    expect_apart_or_same(NAME, dy, &[y]);
    let (order, _) = permutation(work, NAME, order, y.rows);
    if work.is_scalar() {
        let (dout, y, weights) = (work.matrix(NAME, dout), work.matrix(NAME, y), work.matrix(NAME, weights));
        let (dy_values, dweights_values) = reference::combine_pairs_backward(&dout, &y, &order, &weights, choices);
        work.put(NAME, dy, &dy_values, false);
        return work.put(NAME, dweights, &dweights_values, false);
    }
    let set = work.instruction_set();
    let (sink, dout, source) = (work.buffers.sink(NAME, dy), work.buffers.source(NAME, dout), work.buffers.source(NAME, y));
    let (dweights, weights) = (work.buffers.sink(NAME, dweights), work.buffers.rows::<f32>(NAME, weights));
    for_row_ranges(work.context, y.rows, y.columns, |rows| {
        let [mut gradient, mut values] = [[0.0; CHUNK]; 2];
        for row in rows {
            let (token, choice) = (order[row] as usize / choices, order[row] as usize % choices);
            let weight = weights.row(token)[choice];
            let mut sum = 0.0;
            for start in (0..y.columns).step_by(CHUNK) {
                let count = CHUNK.min(y.columns - start);
                let (gradient, values) = (&mut gradient[..count], &mut values[..count]);
                dout.load(set, token, start, gradient);
                source.load(set, row, start, values);
                sum += lanes::dot(set, gradient, values);
                lanes::scale(set, gradient, weight);
                // SAFETY: each row of pairs is written by one task.
                unsafe { sink.store(set, row, start, gradient) };
            }
            // SAFETY: the order names each pair once, so this element is this row's alone.
            unsafe { dweights.store(set, token, choice, &[sum]) };
        }
    });
}

fn write_integers(work: &Work<'_>, out: Tensor, values: &[u32]) {
    let rows = work.buffers.rows_mut::<u32>("route", out);
    for (row, values) in values.chunks_exact(out.columns.max(1)).enumerate() {
        // SAFETY: one thread writes.
        unsafe { rows.row(row) }.copy_from_slice(values);
    }
}

/// The largest probabilities, best first; of equals the lower expert.
fn choose(probabilities: &[f32], experts: &mut [u32], weights: &mut [f32]) {
    for choice in 0..experts.len() {
        let (mut best, mut best_expert) = (f32::NEG_INFINITY, None);
        for (expert, probability) in probabilities.iter().enumerate() {
            if (*probability > best || best_expert.is_none()) && !experts[..choice].contains(&(expert as u32)) {
                (best, best_expert) = (*probability, Some(expert));
            }
        }
        experts[choice] = best_expert.expect("there are at least as many experts as choices") as u32;
        weights[choice] = best;
    }
}

vectorized! {
    fn softmax<A: Arithmetic>(_arithmetic: A, out: &mut [f32], logits: &[f32]) {
        let mut largest = f32::NEG_INFINITY;
        for logit in logits {
            largest = if *logit > largest { *logit } else { largest };
        }
        for (out, logit) in out.iter_mut().zip(logits) {
            *out = exp::<A>(logit - largest);
        }
        let scale = 1.0 / sum_of(out, |value| value);
        for out in out {
            *out *= scale;
        }
    }
}

vectorized! {
    /// `gradient` comes as that of the probabilities and leaves as that of the logits.
    fn softmax_backward(gradient: &mut [f32], probabilities: &[f32]) {
        let level = sum_of_products(gradient, probabilities);
        for (gradient, probability) in gradient.iter_mut().zip(probabilities) {
            *gradient = probability * (*gradient - level);
        }
    }
}
