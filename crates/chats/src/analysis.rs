//! What is measured on an answer, and the scores of its tokens, which lie in a file beside the log.

use serde::{Deserialize, Deserializer, Serialize};

use crate::repeat;

/// What the caller measured while an answer was written.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// From the question to the first token; none when there was no token.
    ///
    /// # Units
    /// Milliseconds.
    pub first_token_ms: Option<f64>,
    /// From the question to the last token.
    ///
    /// # Units
    /// Milliseconds.
    pub last_token_ms: Option<f64>,
    /// Tokens of the prompt.
    pub tokens_in: u64,
    /// Tokens of the answer.
    pub tokens_out: u64,
}

/// What is shown under an answer. A number that cannot be told is missing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Analysis {
    /// From the question to the first token.
    ///
    /// # Units
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<f64>,
    /// Tokens after the first, by the time after the first.
    ///
    /// # Units
    /// Tokens a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Tokens of the prompt.
    pub tokens_in: u64,
    /// Tokens of the answer.
    pub tokens_out: u64,
    /// Mean natural logarithm of the probability of the answer's tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_log_probability: Option<f64>,
    /// e to the negated mean: between how many equally likely tokens it chose, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    /// Share of the text in repeated phrases, as [`repeat::share`] defines it.
    pub repeated_share: f64,
}

impl Analysis {
    /// Analyses an answer by what was measured, its tokens (none where no scores were computed),
    /// and its text.
    pub fn of(measured: &Measured, scores: &[TokenScore], text: &str) -> Analysis {
        let known = |number: f64| number.is_finite().then_some(number);
        let tokens_per_second = match (measured.first_token_ms, measured.last_token_ms) {
            (Some(first), Some(last)) if last > first && measured.tokens_out > 1 => {
                known((measured.tokens_out - 1) as f64 * 1000.0 / (last - first))
            }
            _ => None,
        };
        let sum: f64 = scores.iter().map(|score| f64::from(score.log_probability)).sum();
        let mean = if scores.is_empty() { None } else { known(sum / scores.len() as f64) };
        Analysis {
            first_token_ms: measured.first_token_ms.and_then(known),
            tokens_per_second,
            tokens_in: measured.tokens_in,
            tokens_out: measured.tokens_out,
            mean_log_probability: mean,
            perplexity: mean.and_then(|mean| known((-mean).exp())),
            repeated_share: repeat::share(text),
        }
    }
}

/// One token of an answer, with what stood in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenScore {
    /// Its number in the vocabulary.
    pub id: u32,
    /// What it adds to the text; empty where a letter needs several tokens, but for the last of them.
    pub text: String,
    /// Natural logarithm of its probability.
    #[serde(rename = "p", deserialize_with = "or_impossible")]
    pub log_probability: f32,
    /// The likeliest tokens in its place, likeliest first.
    #[serde(rename = "top", default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
}

/// A token that could have stood there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// Its number in the vocabulary.
    pub id: u32,
    /// Its text.
    pub text: String,
    /// Natural logarithm of its probability.
    #[serde(rename = "p", deserialize_with = "or_impossible")]
    pub log_probability: f32,
}

/// JSON has no infinity: the logarithm of probability 0 is written as null.
fn or_impossible<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    Ok(Option::<f32>::deserialize(deserializer)?.unwrap_or(f32::NEG_INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(log_probability: f32) -> TokenScore {
        TokenScore { id: 7, text: "a".to_owned(), log_probability, alternatives: Vec::new() }
    }

    #[test]
    fn numbers_follow_from_what_was_measured() {
        let measured = Measured { first_token_ms: Some(180.0), last_token_ms: Some(680.0), tokens_in: 12, tokens_out: 49 };
        let half = (0.5f32).ln();
        let analysis = Analysis::of(&measured, &[score(half), score(half), score(half)], "one two three");
        assert_eq!(analysis.first_token_ms, Some(180.0));
        assert_eq!(analysis.tokens_per_second, Some(96.0));
        assert_eq!((analysis.tokens_in, analysis.tokens_out), (12, 49));
        // One rounding of ln ½ to f32: relative error below 6e-8.
        assert!((analysis.perplexity.unwrap() - 2.0).abs() < 1e-6);
        assert!((analysis.mean_log_probability.unwrap() + std::f64::consts::LN_2).abs() < 1e-6);
        assert_eq!(analysis.repeated_share, 0.0);
    }

    #[test]
    fn what_cannot_be_told_is_missing() {
        let one_token = Measured { first_token_ms: Some(10.0), last_token_ms: Some(10.0), tokens_in: 1, tokens_out: 1 };
        let analysis = Analysis::of(&one_token, &[], "a");
        assert_eq!((analysis.tokens_per_second, analysis.perplexity), (None, None));
        let impossible = Analysis::of(&one_token, &[score(f32::NEG_INFINITY)], "a");
        assert_eq!((impossible.mean_log_probability, impossible.perplexity), (None, None));
        let none = Analysis::of(&Measured::default(), &[], "");
        assert_eq!(none, Analysis::default());
    }

    #[test]
    fn an_impossible_token_survives_its_file() {
        let mut written = score(f32::NEG_INFINITY);
        written.alternatives.push(Alternative { id: 1, text: "б".to_owned(), log_probability: -0.1 });
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<TokenScore>(&text).unwrap(), written, "{text}");
    }
}
