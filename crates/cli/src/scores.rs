//! How well a generated answer matches a reference: exact match, token F1, ROUGE-L, patterns.

use std::collections::HashMap;

use apertis_trainer::evaluate::bootstrap_interval;
use regex::Regex;

/// Scores of one answer, each 0 to 1; none where nobody asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct AnswerScores {
    pub(crate) exact_match: f64,
    pub(crate) token_f1: f64,
    pub(crate) rouge_l: f64,
    pub(crate) regex_match: Option<f64>,
    pub(crate) json_valid: Option<f64>,
}

/// Which patterns answers are held against.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    pub(crate) regex: Option<Regex>,
    pub(crate) wants_json: bool,
}

/// A mean with its 95% bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Interval {
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Interval {
    /// Of values, one a row.
    pub(crate) fn of(values: &[f64]) -> Interval {
        let mean = |sample: &[usize]| sample.iter().map(|index| values[*index]).sum::<f64>() / sample.len().max(1) as f64;
        let all: Vec<usize> = (0..values.len()).collect();
        let (low, high) = bootstrap_interval(values.len(), mean);
        Interval { mean: mean(&all), low, high }
    }
}

/// Scores an answer. Words are compared in lower case, without punctuation.
///
/// # Source
/// Token F1: Rajpurkar et al. 2016. ROUGE-L (F1 of the longest common subsequence): Lin 2004.
pub(crate) fn score(answer: &str, reference: &str, patterns: &Patterns) -> AnswerScores {
    let (said, wanted) = (words(answer), words(reference));
    let is_right = |right: bool| f64::from(u8::from(right));
    AnswerScores {
        exact_match: is_right(said == wanted),
        token_f1: f1(common(&said, &wanted), said.len(), wanted.len()),
        rouge_l: f1(longest_common_subsequence(&said, &wanted), said.len(), wanted.len()),
        regex_match: patterns.regex.as_ref().map(|regex| is_right(regex.is_match(answer))),
        json_valid: patterns.wants_json.then(|| is_right(serde_json::from_str::<serde::de::IgnoredAny>(answer.trim()).is_ok())),
    }
}

fn words(text: &str) -> Vec<String> {
    let plain = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    text.split_whitespace().map(plain).filter(|word| !word.is_empty()).collect()
}

/// Words that both have, as often as both have them.
fn common(said: &[String], wanted: &[String]) -> usize {
    let mut left: HashMap<&str, usize> = HashMap::new();
    wanted.iter().for_each(|word| *left.entry(word).or_default() += 1);
    let mut found = 0;
    for word in said {
        if let Some(count) = left.get_mut(word.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            found += 1;
        }
    }
    found
}

fn longest_common_subsequence(said: &[String], wanted: &[String]) -> usize {
    let mut lengths = vec![0; wanted.len() + 1];
    for word in said {
        let mut diagonal = 0;
        for (at, other) in wanted.iter().enumerate() {
            let above = lengths[at + 1];
            lengths[at + 1] = if word == other { diagonal + 1 } else { above.max(lengths[at]) };
            diagonal = above;
        }
    }
    lengths[wanted.len()]
}

/// Harmonic mean of the shares of both that are common; two empty texts agree.
fn f1(common: usize, said: usize, wanted: usize) -> f64 {
    match said + wanted {
        0 => 1.0,
        both => 2.0 * common as f64 / both as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_scored_by_their_words() {
        let check = |answer: &str, reference: &str, exact: f64, token_f1: f64, rouge_l: f64| {
            let found = score(answer, reference, &Patterns::default());
            let expected = AnswerScores { exact_match: exact, token_f1, rouge_l, ..AnswerScores::default() };
            assert_eq!(found, expected, "{answer:?} against {reference:?}");
        };
        check("The boat.", "the boat", 1.0, 1.0, 1.0);
        check("", "", 1.0, 1.0, 1.0);
        check("", "the boat", 0.0, 0.0, 0.0);
        // Both words are there, one of them in order: 2·2/4 and 2·1/4.
        check("boat the", "the boat", 0.0, 1.0, 0.5);
        // Two of three words, in order: 2·2/6.
        check("a red boat", "a blue boat", 0.0, 2.0 / 3.0, 2.0 / 3.0);
        // A word that is said twice counts once: 2·1/3.
        check("boat boat", "boat", 0.0, 2.0 / 3.0, 2.0 / 3.0);
    }

    #[test]
    fn patterns_look_at_the_answer_itself() {
        let patterns = Patterns { regex: Regex::new(r"^\{.*\d+").ok(), wants_json: true };
        let check = |answer: &str, matches: f64, is_json: f64| {
            let found = score(answer, "", &patterns);
            assert_eq!((found.regex_match, found.json_valid), (Some(matches), Some(is_json)), "{answer}");
        };
        check("{\"a\": 1}", 1.0, 1.0);
        check("{\"a\": 1", 1.0, 0.0);
        check(" [true] ", 0.0, 1.0);
        check("no", 0.0, 0.0);
    }

    #[test]
    fn intervals_lie_around_the_mean() {
        let found = Interval::of(&[0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(found.mean, 0.75);
        assert!(found.low < 0.75 && 0.75 < found.high && found.high <= 1.0, "{found:?}");
    }
}
