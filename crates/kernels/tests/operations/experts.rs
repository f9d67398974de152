//! Cases of embeddings and of routing to experts.

use apertis_kernels::cpu::reference::{Matrix, embedding, experts};
use apertis_kernels::{Dtype, ExpertRouting, Owned};

use crate::support::{Bench, KINDS, Kind, numbers, plus};

pub(crate) fn suite(bench: &Bench) {
    for kind in KINDS {
        for (tokens, vocabulary, width) in [(1, 1, 3), (40, 7, 20), (300, 50, 33), (200, 1000, 530)] {
            embeddings(bench, tokens, vocabulary, width, kind);
        }
        for (tokens, expert_count, choices, width) in [(1, 2, 1, 3), (37, 5, 2, 20), (150, 16, 4, 530)] {
            for normalize in [false, true] {
                routes(bench, tokens, expert_count, width, &ExpertRouting { choices, normalize }, kind);
            }
        }
    }
    ties(bench);
}

/// Tokens, widths and experts of any small number.
pub(crate) fn tails(bench: &Bench, size: usize) {
    for kind in KINDS {
        embeddings(bench, size, 7, 3, kind);
        embeddings(bench, 5, 7, size, kind);
        embeddings(bench, 5, size, 4, kind);
        routes(bench, size, 5, 3, &ExpertRouting { choices: 2, normalize: true }, kind);
        routes(bench, 4, size, size, &ExpertRouting { choices: size.min(3), normalize: false }, kind);
    }
}

fn embeddings(bench: &Bench, tokens: usize, vocabulary: usize, width: usize, kind: Kind) {
    let backend = &bench.backend;
    let table = bench.weight(&numbers(vocabulary, width, 1), if kind.input == Dtype::Bf16 { Dtype::Bf16 } else { Dtype::F32 });
    // Some ids are frequent, some never come.
    let ids: Vec<u32> = (0..tokens).map(|token| ((token * token * 31) % vocabulary) as u32).collect();
    let mut order: Vec<u32> = (0..tokens as u32).collect();
    order.sort_by_key(|position| ids[*position as usize]);
    let (ids_tensor, order_tensor) = (bench.ids(&ids), bench.ids(&order));
    for (scale, accumulate) in [(1.0, false), (2.5, true)] {
        let out = bench.output(tokens, width, kind);
        backend.embed(out.tensor, table.tensor, *ids_tensor, scale, accumulate);
        let found = embedding::embed(&table.values, &ids, f64::from(scale));
        bench.expect("embed", &out, &if accumulate { plus(&out.values, &found) } else { found }, 2.0);
    }
    let dx = bench.input(tokens, width, kind, 2);
    let dtable = bench.plain(&numbers(vocabulary, width, 3));
    backend.embed_backward(dtable.tensor, dx.tensor, *ids_tensor, *order_tensor, 0.5);
    let expected = plus(&dtable.values, &embedding::embed_backward(vocabulary, &dx.values, &ids, 0.5));
    bench.expect("embed_backward", &dtable, &expected, 4.0 + tokens as f64);
}

fn integers(bench: &Bench, rows: usize, columns: usize) -> Owned {
    Owned::zeros(&bench.backend, rows, columns, Dtype::U32).expect("small")
}

fn routes(bench: &Bench, tokens: usize, expert_count: usize, width: usize, routing: &ExpertRouting, kind: Kind) {
    let backend = &bench.backend;
    let choices = routing.choices;
    let logits = bench.plain(&numbers(tokens, expert_count, 1).map(|value| 2.0 * value));
    let probabilities = bench.plain(&Matrix::zeros(tokens, expert_count));
    let weights = bench.plain(&Matrix::zeros(tokens, choices));
    let (experts_tensor, order_tensor) = (integers(bench, tokens, choices), integers(bench, 1, tokens * choices));
    let counts = backend.route(probabilities.tensor, *experts_tensor, weights.tensor, *order_tensor, logits.tensor, routing);
    let routed = experts::route(&logits.values, routing);
    assert_eq!(counts, routed.counts, "route: pairs of each expert");
    bench.expect("route, probabilities", &probabilities, &routed.probabilities, 8.0);
    bench.expect("route, weights", &weights, &routed.weights, 8.0);
    bench.expect_ids("route, experts", *experts_tensor, &routed.experts);
    bench.expect_ids("route, order", *order_tensor, &routed.order);

    let dweights = bench.plain(&numbers(tokens, choices, 2));
    let dlogits = bench.output(tokens, expert_count, Kind { output: Dtype::F32, ..kind });
    backend.route_backward(dlogits.tensor, dweights.tensor, probabilities.tensor, *experts_tensor, weights.tensor, routing);
    let expected = experts::route_backward(&dweights.values, &routed.probabilities, &routed.experts, &routed.weights, routing);
    bench.expect("route_backward", &dlogits, &expected, 32.0);

    let x = bench.input(tokens, width, kind, 3);
    let gathered = bench.output(tokens * choices, width, kind);
    backend.gather_pairs(gathered.tensor, x.tensor, *order_tensor, choices);
    bench.expect("gather_pairs", &gathered, &experts::gather_pairs(&x.values, &routed.order, choices), 1.0);

    let y = bench.input(tokens * choices, width, kind, 4);
    let given = bench.plain(&numbers(tokens, choices, 5));
    for (weights, accumulate) in [(Some(&given), false), (None, true)] {
        let out = bench.output(tokens, width, kind);
        backend.combine_pairs(out.tensor, y.tensor, *order_tensor, weights.map(|weights| weights.tensor), choices, accumulate);
        let sum = experts::combine_pairs(&y.values, &routed.order, weights.map(|weights| &weights.values), choices);
        bench.expect("combine_pairs", &out, &if accumulate { plus(&out.values, &sum) } else { sum }, 8.0);
    }
    let dout = bench.input(tokens, width, kind, 6);
    let (dy, dweights) = (bench.output(tokens * choices, width, kind), bench.plain(&Matrix::zeros(tokens, choices)));
    backend.combine_pairs_backward(dy.tensor, dweights.tensor, dout.tensor, y.tensor, *order_tensor, given.tensor, choices);
    let (dy_values, dweights_values) = experts::combine_pairs_backward(&dout.values, &y.values, &routed.order, &given.values, choices);
    bench.expect("combine_pairs_backward, dy", &dy, &dy_values, 2.0);
    bench.expect("combine_pairs_backward, dweights", &dweights, &dweights_values, 4.0 + width as f64 / 4.0);
}

/// Equal logits: the lower expert comes first, on every backend.
fn ties(bench: &Bench) {
    let routing = ExpertRouting { choices: 2, normalize: true };
    let logits = bench.plain(&Matrix::from_fn(3, 4, |row, column| if row == 0 { 1.0 } else { f64::from(u8::from(column != 1)) }));
    let (probabilities, weights) = (bench.plain(&Matrix::zeros(3, 4)), bench.plain(&Matrix::zeros(3, 2)));
    let (experts_tensor, order_tensor) = (integers(bench, 3, 2), integers(bench, 1, 6));
    let counts = bench.backend.route(probabilities.tensor, *experts_tensor, weights.tensor, *order_tensor, logits.tensor, &routing);
    assert_eq!(counts, [3, 1, 2, 0]);
    bench.expect_ids("ties", *experts_tensor, &[0, 1, 0, 2, 0, 2]);
    bench.expect_ids("ties, order", *order_tensor, &[0, 2, 4, 1, 3, 5]);
}
