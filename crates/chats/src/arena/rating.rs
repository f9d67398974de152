//! Strengths of models from votes, on the scale of Elo, with intervals.
//!
//! The model is that of Bradley and Terry: A beats B with probability 1 / (1 + e^(b − a)). A tie, and
//! a vote that both are bad, count as half a win for each. Each model also has one tie with an
//! imagined average model, so that one that never lost has a finite strength; with many votes this
//! hardly counts. Strengths are the likeliest ones; a rating is 1000 + 400 / ln 10 times the distance
//! from the mean strength, so that 400 points are odds of ten to one.
//!
//! # Source
//! Bradley and Terry 1952; percentile bootstrap: Efron 1979.

use std::collections::BTreeMap;

use super::{Choice, Pair};
use crate::ModelVersion;
use crate::random::Random;

/// How often the votes are drawn anew for the intervals.
pub const RESAMPLES: usize = 1000;

/// The mean of all ratings.
const RATING_MEAN: f64 = 1000.0;

/// Points of tenfold odds.
const RATING_DECADE: f64 = 400.0;

/// The weight of each model's tie with the average one.
const PRIOR_WEIGHT: f64 = 1.0;

/// A model on the leaderboard.
#[derive(Debug, Clone, PartialEq)]
pub struct Rating {
    /// The model.
    pub model: ModelVersion,
    /// Its strength in points.
    pub rating: f64,
    /// Lower end of the 95% interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Votes that prefer it.
    pub wins: u32,
    /// Votes that prefer the other.
    pub losses: u32,
    /// Votes for a tie.
    pub ties: u32,
    /// Votes that both are bad.
    pub both_bad: u32,
}

/// What the votes say.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaderboard {
    /// The strongest first.
    pub ratings: Vec<Rating>,
    /// How many votes there are.
    pub votes: usize,
    /// Whether every model was compared with every other one, be it over others. If not, ratings of
    /// different groups cannot be held against each other.
    pub is_connected: bool,
    /// Share of the preferring votes that prefer A, as it was shown; far from one half, people vote
    /// by place.
    pub a_share: Option<f64>,
}

/// One vote between the models `a` and `b`; `score` is what `a` gets of it.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    a: usize,
    b: usize,
    score: f64,
}

/// Computes the leaderboard. The same pairs and seed give the same numbers.
pub fn leaderboard<'a>(pairs: impl IntoIterator<Item = &'a Pair>, resamples: usize, seed: u64) -> Leaderboard {
    let voted: Vec<(&Pair, Choice)> = pairs.into_iter().filter_map(|pair| Some((pair, pair.choice?))).collect();
    let mut numbers: BTreeMap<&ModelVersion, usize> = BTreeMap::new();
    for (pair, _) in &voted {
        numbers.insert(&pair.a.model, 0);
        numbers.insert(&pair.b.model, 0);
    }
    numbers.values_mut().enumerate().for_each(|(at, number)| *number = at);
    let outcomes: Vec<Outcome> = voted
        .iter()
        .map(|(pair, choice)| Outcome { a: numbers[&pair.a.model], b: numbers[&pair.b.model], score: score_of(*choice) })
        .collect();
    let count = numbers.len();
    let start = vec![0.0; count];
    let strengths = strengths(&wins_of(&outcomes, count), count, &start);
    let intervals = intervals(&outcomes, count, &strengths, resamples, seed);
    let mut ratings: Vec<Rating> = numbers
        .iter()
        .zip(points(&strengths).into_iter().zip(intervals))
        .map(|((model, number), (rating, (low, high)))| {
            let tally = |of_a: Choice, of_b: Choice| {
                let of = |(at, (_, choice)): &(usize, &(&Pair, Choice))| {
                    outcomes[*at].a == *number && *choice == of_a || outcomes[*at].b == *number && *choice == of_b
                };
                u32::try_from(voted.iter().enumerate().filter(of).count()).unwrap_or(u32::MAX)
            };
            Rating {
                model: (*model).clone(),
                rating,
                low: low.min(rating),
                high: high.max(rating),
                wins: tally(Choice::A, Choice::B),
                losses: tally(Choice::B, Choice::A),
                ties: tally(Choice::Tie, Choice::Tie),
                both_bad: tally(Choice::BothBad, Choice::BothBad),
            }
        })
        .collect();
    ratings.sort_by(|one, other| other.rating.total_cmp(&one.rating).then_with(|| one.model.cmp(&other.model)));
    let for_a = voted.iter().filter(|(_, choice)| *choice == Choice::A).count();
    let for_b = voted.iter().filter(|(_, choice)| *choice == Choice::B).count();
    Leaderboard {
        ratings,
        votes: voted.len(),
        is_connected: is_connected(&outcomes, count),
        a_share: (for_a + for_b > 0).then(|| for_a as f64 / (for_a + for_b) as f64),
    }
}

fn score_of(choice: Choice) -> f64 {
    match choice {
        Choice::A => 1.0,
        Choice::B => 0.0,
        Choice::Tie | Choice::BothBad => 0.5,
    }
}

/// `wins[i · count + j]`: what `i` got against `j`.
fn wins_of(outcomes: &[Outcome], count: usize) -> Vec<f64> {
    let mut wins = vec![0.0; count * count];
    for outcome in outcomes {
        wins[outcome.a * count + outcome.b] += outcome.score;
        wins[outcome.b * count + outcome.a] += 1.0 - outcome.score;
    }
    wins
}

/// The likeliest strengths, by Newton's method with halved steps; the likelihood is strictly concave.
fn strengths(wins: &[f64], count: usize, start: &[f64]) -> Vec<f64> {
    let mut strengths = start.to_vec();
    let mut likelihood = log_likelihood(wins, count, &strengths);
    for _ in 0..100 {
        let step = newton_step(wins, count, &strengths);
        let mut scale = 1.0;
        loop {
            let moved: Vec<f64> = strengths.iter().zip(&step).map(|(strength, step)| strength + scale * step).collect();
            let reached = log_likelihood(wins, count, &moved);
            if reached > likelihood {
                (strengths, likelihood) = (moved, reached);
                break;
            }
            scale *= 0.5;
            // No step up is left that numbers can tell.
            if scale < 1e-6 {
                return strengths;
            }
        }
        if step.iter().all(|step| (scale * step).abs() < 1e-9) {
            break;
        }
    }
    strengths
}

fn log_likelihood(wins: &[f64], count: usize, strengths: &[f64]) -> f64 {
    // ln of the chance to win by a distance.
    let log_chance = |distance: f64| -((-distance.abs()).exp().ln_1p() + (-distance).max(0.0));
    let mut sum = 0.0;
    for i in 0..count {
        sum += 0.5 * PRIOR_WEIGHT * (log_chance(strengths[i]) + log_chance(-strengths[i]));
        for j in (0..count).filter(|j| *j != i) {
            sum += wins[i * count + j] * log_chance(strengths[i] - strengths[j]);
        }
    }
    sum
}

/// Solves H · step = gradient, H being the negated second derivative.
fn newton_step(wins: &[f64], count: usize, strengths: &[f64]) -> Vec<f64> {
    let chance = |distance: f64| 1.0 / (1.0 + (-distance).exp());
    let mut gradient = vec![0.0; count];
    let mut curvature = vec![0.0; count * count];
    for i in 0..count {
        let against_average = chance(strengths[i]);
        gradient[i] += PRIOR_WEIGHT * (0.5 - against_average);
        curvature[i * count + i] += PRIOR_WEIGHT * against_average * (1.0 - against_average);
        for j in (0..count).filter(|j| *j != i) {
            let votes = wins[i * count + j] + wins[j * count + i];
            let chance = chance(strengths[i] - strengths[j]);
            gradient[i] += wins[i * count + j] - votes * chance;
            let weight = votes * chance * (1.0 - chance);
            curvature[i * count + i] += weight;
            curvature[i * count + j] -= weight;
        }
    }
    solve(curvature, gradient, count)
}

/// Solves a symmetric positive definite system by Cholesky's factors.
fn solve(mut matrix: Vec<f64>, mut right: Vec<f64>, count: usize) -> Vec<f64> {
    for j in 0..count {
        for k in 0..j {
            let factor = matrix[j * count + k];
            for i in j..count {
                matrix[i * count + j] -= matrix[i * count + k] * factor;
            }
        }
        // Strengths far apart leave a curvature below what numbers hold; the prior keeps it above 0.
        let root = matrix[j * count + j].max(f64::MIN_POSITIVE).sqrt();
        for i in j..count {
            matrix[i * count + j] /= root;
        }
    }
    for i in 0..count {
        for k in 0..i {
            right[i] -= matrix[i * count + k] * right[k];
        }
        right[i] /= matrix[i * count + i];
    }
    for i in (0..count).rev() {
        for k in i + 1..count {
            right[i] -= matrix[k * count + i] * right[k];
        }
        right[i] /= matrix[i * count + i];
    }
    right
}

fn points(strengths: &[f64]) -> Vec<f64> {
    let mean = strengths.iter().sum::<f64>() / strengths.len().max(1) as f64;
    let scale = RATING_DECADE / std::f64::consts::LN_10;
    strengths.iter().map(|strength| RATING_MEAN + scale * (strength - mean)).collect()
}

/// The middle 95% of the ratings from votes drawn anew, with replacement.
fn intervals(outcomes: &[Outcome], count: usize, start: &[f64], resamples: usize, seed: u64) -> Vec<(f64, f64)> {
    let mut random = Random::new(seed);
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(resamples); count];
    let mut sample = Vec::with_capacity(outcomes.len());
    for _ in 0..resamples {
        sample.clear();
        sample.extend((0..outcomes.len()).map(|_| outcomes[random.below(outcomes.len())]));
        let strengths = strengths(&wins_of(&sample, count), count, start);
        drawn.iter_mut().zip(points(&strengths)).for_each(|(drawn, rating)| drawn.push(rating));
    }
    drawn
        .into_iter()
        .map(|mut ratings| {
            ratings.sort_by(f64::total_cmp);
            (quantile(&ratings, 0.025), quantile(&ratings, 0.975))
        })
        .collect()
}

/// Between the two nearest of sorted numbers; without any, there are no bounds.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return if share < 0.5 { f64::NEG_INFINITY } else { f64::INFINITY };
    };
    let place = share * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

fn is_connected(outcomes: &[Outcome], count: usize) -> bool {
    let mut group: Vec<usize> = (0..count).collect();
    for outcome in outcomes {
        let (one, other) = (group[outcome.a], group[outcome.b]);
        group.iter_mut().filter(|group| **group == one).for_each(|group| *group = other);
    }
    group.windows(2).all(|pair| pair[0] == pair[1])
}
