//! How much of a text repeats itself.
//!
//! The definition, exactly:
//! 1. The text is cut at the word boundaries of Unicode (UAX #29). Pieces of white space are left
//!    out, pieces longer than 12 letters (grapheme clusters) are cut every 12, and all are put in
//!    lower case. What is left are the *units*: words, signs, and single characters of scripts
//!    without spaces.
//! 2. A *phrase* starts at a unit and is the shortest run of units from there that has at least
//!    5 units and at least 12 bytes of UTF-8. Near the end of the text, where no such run is left,
//!    no phrase starts.
//! 3. A unit is *repeated* when it lies in a phrase whose very units also started earlier, be it
//!    overlapping.
//! 4. The share is the bytes of repeated units by the bytes of all units; 0 for a text without units.
//!
//! Five words in a row rarely return by chance; the bytes keep five short signs, as in "1, 2,", from
//! counting. The first occurrence never counts, so a text said twice has one half.

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation;

/// Fewest units of a phrase.
pub const PHRASE_UNITS_MIN: usize = 5;

/// Fewest bytes of one.
pub const PHRASE_BYTES_MIN: usize = 12;

/// Longest unit, in letters.
const UNIT_LETTERS_MAX: usize = 12;

/// The share of a text that lies in repeated phrases, 0 to 1.
pub fn share(text: &str) -> f64 {
    let units = units(text);
    let mut is_repeated = vec![false; units.len()];
    let mut seen: HashSet<&[String]> = HashSet::new();
    let (mut end, mut bytes) = (0, 0);
    let mut marked = 0;
    for start in 0..units.len() {
        while end < units.len() && (end - start < PHRASE_UNITS_MIN || bytes < PHRASE_BYTES_MIN) {
            bytes += units[end].len();
            end += 1;
        }
        if end - start < PHRASE_UNITS_MIN || bytes < PHRASE_BYTES_MIN {
            break;
        }
        if !seen.insert(&units[start..end]) {
            is_repeated[marked.max(start)..end].fill(true);
            marked = end;
        }
        bytes -= units[start].len();
    }
    let total: usize = units.iter().map(String::len).sum();
    let repeated: usize = units.iter().zip(&is_repeated).filter(|(_, is)| **is).map(|(unit, _)| unit.len()).sum();
    if total == 0 { 0.0 } else { repeated as f64 / total as f64 }
}

fn units(text: &str) -> Vec<String> {
    let mut units = Vec::new();
    for piece in text.split_word_bounds().filter(|piece| !piece.trim().is_empty()) {
        let piece = piece.to_lowercase();
        if piece.len() <= UNIT_LETTERS_MAX {
            units.push(piece);
            continue;
        }
        let letters: Vec<&str> = piece.graphemes(true).collect();
        units.extend(letters.chunks(UNIT_LETTERS_MAX).map(|letters| letters.concat()));
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_shares() {
        let check = |text: &str, expected: f64| {
            let found = share(text);
            // The quotient of two small whole numbers, computed the same way.
            assert!((found - expected).abs() < 1e-12, "{text:?}: found {found}, expected {expected}");
        };
        check("", 0.0);
        check(" \n\t", 0.0);
        check("I'm sorry about that. Could you tell me the number of the invoice?", 0.0);
        // 12 units of 34 bytes; the second half starts two phrases that started before.
        check("The cat sat on the mat the cat sat on the mat", 0.5);
        // Case does not count, signs do: 7 units of 18 bytes, twice.
        check("THE CAT SAT ON THE MAT. the cat sat on the mat.", 0.5);
        // Ten units, but ten bytes: not one phrase.
        check("a b c d e a b c d e", 0.0);
        // Nine units: the second time there is no phrase of five left.
        check("one two three four five one two three four", 0.0);
        // 10 units of 38 bytes; the phrase returns once.
        check("one two three four five one two three four five", 0.5);
        // One sign over and over: phrases have twelve, all but the first unit repeat.
        check(&"!".repeat(100), 0.99);
        // One endless word: 8 units of 12 and one of 4 letters; phrases of 5 whole units start at 0
        // to 3, that from 4 on has the short one and is new. Units 1 to 7 repeat.
        check(&"a".repeat(100), 0.84);
        // A script without spaces: each character is a unit of 3 bytes.
        check("今天天气很好今天天气很好", 0.5);
        check("今天天气很好我们去公园玩", 0.0);
        // Loops of words: 40 units of 4 and 5 bytes in turn, all but the first two repeat.
        check(&"good night ".repeat(20), 1.0 - 9.0 / 180.0);
        check("<script>alert(1)</script>", 0.0);
    }

    #[test]
    fn a_share_is_a_share() {
        let mut random = crate::random::Random::new(11);
        for _ in 0..500 {
            let words = ["a", "bb", "very", "long-word", "字", "!", "\n", "é"];
            let length = random.below(60);
            let text: String = (0..length).map(|_| words[random.below(words.len())].to_owned() + " ").collect();
            let once = share(&text);
            assert!((0.0..=1.0).contains(&once), "{text:?}: {once}");
            let longer = text.clone() + "and then something quite new was said here.";
            assert!(share(&longer) <= once + 1e-12, "{text:?}");
        }
    }
}
