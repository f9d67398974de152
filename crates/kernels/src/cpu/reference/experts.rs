//! Slow references of routing tokens to experts.

use super::Matrix;
use crate::backend::ExpertRouting;

/// What the router decides.
pub struct Routed {
    /// Softmax over the experts, t × e.
    pub probabilities: Matrix,
    /// Chosen experts, best first, t × c row by row; of equals the lower number.
    pub experts: Vec<u32>,
    /// Their weights, t × c.
    pub weights: Matrix,
    /// Pair numbers sorted by expert, stable.
    pub order: Vec<u32>,
    /// Pairs of each expert.
    pub counts: Vec<usize>,
}

/// Softmax, choice and order.
pub fn route(logits: &Matrix, routing: &ExpertRouting) -> Routed {
    let (tokens, experts, choices) = (logits.rows, logits.columns, routing.choices);
    let mut probabilities = Matrix::zeros(tokens, experts);
    let mut chosen = Vec::new();
    let mut weights = Matrix::zeros(tokens, choices);
    for token in 0..tokens {
        let largest = (0..experts).map(|expert| logits.at(token, expert)).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = (0..experts).map(|expert| (logits.at(token, expert) - largest).exp()).sum();
        for expert in 0..experts {
            probabilities.set(token, expert, (logits.at(token, expert) - largest).exp() / sum);
        }
        let mut ranked: Vec<usize> = (0..experts).collect();
        ranked.sort_by(|a, b| probabilities.at(token, *b).total_cmp(&probabilities.at(token, *a)));
        let total: f64 = ranked[..choices].iter().map(|expert| probabilities.at(token, *expert)).sum();
        for (choice, expert) in ranked[..choices].iter().enumerate() {
            chosen.push(*expert as u32);
            weights.set(token, choice, probabilities.at(token, *expert) / if routing.normalize { total } else { 1.0 });
        }
    }
    let mut order: Vec<u32> = (0..chosen.len() as u32).collect();
    order.sort_by_key(|pair| chosen[*pair as usize]);
    let counts = (0..experts).map(|expert| chosen.iter().filter(|chosen| **chosen as usize == expert).count()).collect();
    Routed { probabilities, experts: chosen, weights, order, counts }
}

/// Gradient of the router's logits from those of the chosen weights.
pub fn route_backward(dweights: &Matrix, probabilities: &Matrix, experts: &[u32], weights: &Matrix, routing: &ExpertRouting) -> Matrix {
    let choices = routing.choices;
    let mut dlogits = Matrix::zeros(probabilities.rows, probabilities.columns);
    for token in 0..probabilities.rows {
        let chosen = |choice: usize| experts[token * choices + choice] as usize;
        let total: f64 = (0..choices).map(|choice| probabilities.at(token, chosen(choice))).sum();
        let along: f64 = (0..choices).map(|choice| dweights.at(token, choice) * weights.at(token, choice)).sum();
        let mut dprobabilities = vec![0.0; probabilities.columns];
        for choice in 0..choices {
            let dweight = dweights.at(token, choice);
            dprobabilities[chosen(choice)] = if routing.normalize { (dweight - along) / total } else { dweight };
        }
        let level: f64 = dprobabilities.iter().enumerate().map(|(expert, gradient)| gradient * probabilities.at(token, expert)).sum();
        for (expert, gradient) in dprobabilities.iter().enumerate() {
            dlogits.set(token, expert, probabilities.at(token, expert) * (gradient - level));
        }
    }
    dlogits
}

/// The token's row for each pair.
pub fn gather_pairs(x: &Matrix, order: &[u32], choices: usize) -> Matrix {
    Matrix::from_fn(order.len(), x.columns, |row, column| x.at(order[row] as usize / choices, column))
}

/// The weighted sum of each token's pairs.
pub fn combine_pairs(y: &Matrix, order: &[u32], weights: Option<&Matrix>, choices: usize) -> Matrix {
    let mut out = Matrix::zeros(order.len() / choices, y.columns);
    for (row, pair) in order.iter().enumerate() {
        let (token, choice) = (*pair as usize / choices, *pair as usize % choices);
        for column in 0..y.columns {
            out.add(token, column, weights.map_or(1.0, |weights| weights.at(token, choice)) * y.at(row, column));
        }
    }
    out
}

/// Gradients of the pairs' rows and of the weights.
pub fn combine_pairs_backward(dout: &Matrix, y: &Matrix, order: &[u32], weights: &Matrix, choices: usize) -> (Matrix, Matrix) {
    let mut dy = Matrix::zeros(y.rows, y.columns);
    let mut dweights = Matrix::zeros(weights.rows, weights.columns);
    for (row, pair) in order.iter().enumerate() {
        let (token, choice) = (*pair as usize / choices, *pair as usize % choices);
        for column in 0..y.columns {
            dy.set(row, column, weights.at(token, choice) * dout.at(token, column));
            dweights.add(token, choice, dout.at(token, column) * y.at(row, column));
        }
    }
    (dy, dweights)
}
