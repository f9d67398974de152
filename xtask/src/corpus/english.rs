//! The small rules of English that templates cannot know: articles, lists, capitals, numbers in
//! words. Apart from the grammar so that each rule has its own cases in the tests.

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// `n` in words, below ten thousand: `212` is "two hundred and twelve".
pub(super) fn number_words(n: usize) -> String {
    match n {
        0..20 => ONES[n].to_owned(),
        20..100 if n.is_multiple_of(10) => TENS[n / 10].to_owned(),
        20..100 => format!("{}-{}", TENS[n / 10], ONES[n % 10]),
        100..1000 if n.is_multiple_of(100) => format!("{} hundred", ONES[n / 100]),
        100..1000 => format!("{} hundred and {}", ONES[n / 100], number_words(n % 100)),
        _ if n.is_multiple_of(1000) => format!("{} thousand", number_words(n / 1000)),
        _ if n % 1000 < 100 => {
            format!("{} thousand and {}", number_words(n / 1000), number_words(n % 1000))
        }
        _ => format!("{} thousand {}", number_words(n / 1000), number_words(n % 1000)),
    }
}

/// "a" or "an" for the words that follow.
pub(super) fn article(following: &str) -> &'static str {
    let word = following.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("").to_lowercase();
    let silent_h = ["hour", "hourly", "honest", "honour", "heir"].contains(&word.as_str());
    let sounds_like_consonant = ["one", "once"].contains(&word.as_str())
        || ["uni", "use", "usu", "eu", "ewe"].iter().any(|start| word.starts_with(start))
            && !word.starts_with("unin")
            && !word.starts_with("unim");
    let number_with_vowel = word.starts_with('8') || word == "11" || word == "18";
    let vowel = word.starts_with(['a', 'e', 'i', 'o', 'u']) && !sounds_like_consonant;
    if silent_h || number_with_vowel || vowel { "an" } else { "a" }
}

/// `["salt", "flour", "eggs"]` as "salt, flour and eggs".
pub(super) fn list<S: AsRef<str>>(items: &[S]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [head @ .., last] => {
            let head: Vec<&str> = head.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", head.join(", "), last.as_ref())
        }
    }
}

/// The text with its first letter, perhaps behind a quotation mark, in upper case.
pub(super) fn capital(text: &str) -> String {
    let start = text.find(char::is_alphanumeric).unwrap_or(0);
    let mut letters = text[start..].chars();
    match letters.next() {
        Some(first) => text[..start].chars().chain(first.to_uppercase()).chain(letters).collect(),
        None => String::new(),
    }
}

/// Chooses every `a(n)`, and gives the first word of each sentence its capital.
pub(super) fn polish(text: &str) -> String {
    let mut chosen = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("(n) ") {
        // Everything up to the "a" or "A" that the choice begins with.
        chosen.push_str(&rest[..at]);
        rest = &rest[at + "(n) ".len()..];
        chosen.push_str(&article(rest)[1..]);
        chosen.push(' ');
    }
    chosen.push_str(rest);

    let mut polished = String::with_capacity(chosen.len());
    let mut starts_sentence = true;
    let mut previous = '\n';
    for letter in chosen.chars() {
        if letter == '\n' || (letter == ' ' && matches!(previous, '.' | '!' | '?' | ':') && previous != ':') {
            starts_sentence = true;
        }
        if starts_sentence && letter.is_alphanumeric() {
            polished.extend(letter.to_uppercase());
            starts_sentence = false;
        } else {
            polished.push(letter);
        }
        previous = letter;
    }
    polished
}

/// A quoted sentence that goes on with "said" ends in a comma: `"Yes." said Ann` is wrong.
pub(super) fn join_quotes(text: &str) -> String {
    let bytes = text.as_bytes();
    let goes_on = |at: usize| bytes.get(at + 3).is_some_and(u8::is_ascii_lowercase);
    let mut joined = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        let ends_quote = letter == '.' && text[at..].starts_with(".\" ");
        joined.push(if ends_quote && goes_on(at) { ',' } else { letter });
    }
    joined
}

/// The sentences of a text, for the statistics and for refusing repetition.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut start = 0;
        let bytes = line.as_bytes();
        for at in 0..bytes.len() {
            let ends = matches!(bytes[at], b'.' | b'!' | b'?') && (at + 1 == bytes.len() || bytes[at + 1] == b' ');
            let ends_quoted = bytes[at] == b'"'
                && at > 0
                && matches!(bytes[at - 1], b'.' | b'!' | b'?')
                && (at + 1 == bytes.len() || (bytes[at + 1] == b' ' && bytes.get(at + 2).is_some_and(|b| !b.is_ascii_lowercase())));
            if ends || ends_quoted {
                found.push(line[start..=at].trim());
                start = at + 1;
            }
        }
        if !line[start..].trim().is_empty() {
            found.push(line[start..].trim());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        for (n, expected) in [
            (0, "zero"),
            (14, "fourteen"),
            (40, "forty"),
            (99, "ninety-nine"),
            (212, "two hundred and twelve"),
            (1004, "one thousand and four"),
            (1840, "one thousand eight hundred and forty"),
        ] {
            assert_eq!(number_words(n), expected);
        }
    }

    #[test]
    fn articles() {
        for (following, expected) in [
            ("onion", "an"),
            ("leek", "a"),
            ("hour of sun", "an"),
            ("hour?", "an"),
            ("unit", "a"),
            ("used net", "a"),
            ("umbrella", "an"),
            ("uninvited gull", "an"),
            ("8-metre boat", "an"),
            ("18 cm tin", "an"),
            ("one-eyed cat", "a"),
        ] {
            assert_eq!(article(following), expected, "{following}");
        }
    }

    #[test]
    fn polishing() {
        for (rough, expected) in [
            ("she had a(n) egg. it was a(n) brown one.", "She had an egg. It was a brown one."),
            ("\"rain?\" asked Tom. \"yes!\" said Ann.", "\"Rain?\" asked Tom. \"Yes!\" said Ann."),
            ("one\n\ntwo", "One\n\nTwo"),
            ("\"A(n) owl!\"", "\"An owl!\""),
        ] {
            assert_eq!(polish(rough), expected);
        }
    }

    #[test]
    fn quotes_that_go_on() {
        for (rough, expected) in [
            ("\"Yes.\" said Ann.", "\"Yes,\" said Ann."),
            ("\"Yes.\" Ann nodded.", "\"Yes.\" Ann nodded."),
            ("\"Yes?\" said Ann.", "\"Yes?\" said Ann."),
        ] {
            assert_eq!(join_quotes(rough), expected);
        }
    }

    #[test]
    fn splitting_sentences() {
        assert_eq!(
            sentences("It rained. \"Will it stop?\" asked Tom. \"Yes.\" He smiled!"),
            ["It rained.", "\"Will it stop?\" asked Tom.", "\"Yes.\"", "He smiled!"],
        );
    }
}
