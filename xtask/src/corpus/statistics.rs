//! How varied the text is: repeated sentences, words, and the entropy of word sequences.

use std::collections::HashMap;
use std::fmt::Write;

use super::Demo;
use super::english::sentences;

/// A table for people.
pub(super) fn report(demo: &Demo) -> String {
    let mut report = String::new();
    for file in &demo.files {
        let lines = file.text.lines().filter(|line| !line.is_empty()).count();
        writeln!(report, "{:<16} {:>9} bytes {:>6} lines", file.name, file.text.len(), lines).expect("writing to a string");
    }
    let Some(corpus) = demo.files.first() else { return report };
    let all = sentences(&corpus.text);
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for sentence in &all {
        *counts.entry(sentence).or_default() += 1;
    }
    let words: Vec<&str> = corpus.text.split_whitespace().collect();
    let documents = corpus.text.split("\n\n").count();
    let mut row = |name: &str, value: String| {
        writeln!(report, "{name:<34} {value}").expect("writing to a string");
    };
    row("documents", documents.to_string());
    row("words", words.len().to_string());
    row("sentences", all.len().to_string());
    row("distinct sentences", counts.len().to_string());
    row("share of repeated sentences", format!("{:.1} %", 100.0 * (1.0 - counts.len() as f64 / all.len() as f64)));
    let mut tellings = demo.tellings.clone();
    tellings.sort_unstable();
    if let (Some(least), Some(median)) = (tellings.first(), tellings.get(tellings.len() / 2)) {
        row("facts, least and median tellings", format!("{}, {least}, {median}", tellings.len()));
    }
    for n in 1..=4 {
        let (distinct, entropy) = entropy_bits(&words, n);
        row(&format!("{n}-grams distinct, entropy"), format!("{distinct}, {entropy:.2} bits"));
    }
    let mut most: Vec<(&str, usize)> = counts.into_iter().collect();
    most.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    row("most repeated sentence", format!("{} times: {}", most[0].1, most[0].0));
    report
}

/// The number of distinct sequences of `n` words, and the entropy of their distribution.
fn entropy_bits(words: &[&str], n: usize) -> (usize, f64) {
    let mut counts: HashMap<&[&str], usize> = HashMap::new();
    for window in words.windows(n) {
        *counts.entry(window).or_default() += 1;
    }
    let total = (words.len() + 1 - n) as f64;
    // Summed in a fixed order, so that the printed figure does not wander.
    let mut frequencies: Vec<usize> = counts.values().copied().collect();
    frequencies.sort_unstable();
    let entropy = frequencies
        .iter()
        .map(|count| {
            let share = *count as f64 / total;
            -share * share.log2()
        })
        .sum();
    (counts.len(), entropy)
}
