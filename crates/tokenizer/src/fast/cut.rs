//! Where words begin and end, for the patterns of the common byte-level vocabularies.
//! Each function below is one pattern, alternative by alternative in its order.

use serde_json::Value;

use super::classes::{Classes, Kind};

/// Llama 3's pattern; Qwen's is the same with one digit a word.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
use crate::bpe_files::QWEN_PATTERN as QWEN;
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// A known way to cut text into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// GPT-2's; with `digits`, each digit is cut off before.
    Gpt2 { digits: bool },
    /// Llama 3's and Qwen's, with at most so many digits a word.
    Llama3 { digits_max: usize },
}

impl Cut {
    /// The cut of a `pre_tokenizer`, where it is a known one.
    pub(super) fn of(pre_tokenizer: &Value) -> Option<Self> {
        let kind = |step: &Value| step.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let flag = |step: &Value, name: &str, default: bool| step.get(name).and_then(Value::as_bool).unwrap_or(default);
        // Only a byte-level step that changes nothing but the alphabet.
        let level = |step: &Value, use_regex: bool| {
            kind(step) == "ByteLevel" && !flag(step, "add_prefix_space", true) && flag(step, "use_regex", true) == use_regex
        };
        if level(pre_tokenizer, true) {
            return Some(Self::Gpt2 { digits: false });
        }
        if kind(pre_tokenizer) != "Sequence" {
            return None;
        }
        let [first, second] = pre_tokenizer.get("pretokenizers")?.as_array()?.as_slice() else {
            return None;
        };
        if kind(first) == "Digits" && flag(first, "individual_digits", false) && level(second, true) {
            return Some(Self::Gpt2 { digits: true });
        }
        let isolated = first.get("behavior").and_then(Value::as_str) == Some("Isolated") && !flag(first, "invert", false);
        if kind(first) != "Split" || !isolated || !level(second, false) {
            return None;
        }
        match first.get("pattern")?.get("Regex")?.as_str()? {
            GPT2 => Some(Self::Gpt2 { digits: false }),
            QWEN => Some(Self::Llama3 { digits_max: 1 }),
            LLAMA3 => Some(Self::Llama3 { digits_max: 3 }),
            _ => None,
        }
    }

    /// Calls `take` with the beginning and end of every word, in order.
    pub(super) fn words(self, text: &str, classes: &Classes, mut take: impl FnMut(usize, usize)) {
        match self {
            Self::Gpt2 { digits: false } => each(text, 0, classes, gpt2_word, &mut take),
            Self::Gpt2 { digits: true } => {
                let mut start = 0;
                for (at, digit) in text.char_indices().filter(|(_, symbol)| symbol.is_numeric()) {
                    each(&text[start..at], start, classes, gpt2_word, &mut take);
                    start = at + digit.len_utf8();
                    take(at, start);
                }
                each(&text[start..], start, classes, gpt2_word, &mut take);
            }
            Self::Llama3 { digits_max } => {
                each(text, 0, classes, |cursor| llama3_word(cursor, digits_max), &mut take);
            }
        }
    }
}

/// Cuts one stretch, at which `base` bytes of the text precede.
fn each(text: &str, base: usize, classes: &Classes, word: impl Fn(&Cursor<'_>) -> usize, take: &mut impl FnMut(usize, usize)) {
    let mut start = 0;
    while start < text.len() {
        let end = start + word(&Cursor { rest: &text[start..], classes });
        take(base + start, base + end);
        start = end;
    }
}

/// The text from where a word begins.
struct Cursor<'a> {
    rest: &'a str,
    classes: &'a Classes,
}

impl Cursor<'_> {
    /// The character at a byte and its kind.
    fn at(&self, at: usize) -> Option<(char, Kind)> {
        let byte = *self.rest.as_bytes().get(at)?;
        let symbol = if byte < 0x80 { char::from(byte) } else { self.rest[at..].chars().next()? };
        Some((symbol, self.classes.kind(symbol)))
    }

    /// The end of the run of that kind from a byte on.
    fn run(&self, mut at: usize, kind: Kind) -> usize {
        while let Some((symbol, found)) = self.at(at) {
            if found != kind {
                break;
            }
            at += symbol.len_utf8();
        }
        at
    }

    /// `\s+(?!\S)|\s+`: all the space at the end of the text, else all but its last.
    fn space(&self) -> usize {
        let end = self.run(0, Kind::Space);
        if end == self.rest.len() {
            return end;
        }
        let last = self.rest[..end].chars().next_back().map_or(0, char::len_utf8);
        if end > last { end - last } else { end }
    }
}

fn gpt2_word(cursor: &Cursor<'_>) -> usize {
    let bytes = cursor.rest.as_bytes();
    if bytes[0] == b'\'' {
        match (bytes.get(1), bytes.get(2)) {
            (Some(b's' | b't' | b'm' | b'd'), _) => return 2,
            (Some(b'r' | b'v'), Some(b'e')) | (Some(b'l'), Some(b'l')) => return 3,
            _ => {}
        }
    }
    let start = usize::from(bytes[0] == b' ');
    match cursor.at(start) {
        Some((_, kind)) if kind != Kind::Space => cursor.run(start, kind),
        _ => cursor.space(),
    }
}

fn llama3_word(cursor: &Cursor<'_>, digits_max: usize) -> usize {
    if let Some(length) = contraction(cursor.rest) {
        return length;
    }
    let Some((first, kind)) = cursor.at(0) else {
        return 0;
    };
    let is_line_end = |symbol: char| matches!(symbol, '\r' | '\n');
    let second = first.len_utf8();
    match kind {
        Kind::Letter => return cursor.run(0, Kind::Letter),
        Kind::Number => {
            let digits = cursor.rest.chars().take(digits_max);
            return digits.take_while(|digit| cursor.classes.kind(*digit) == Kind::Number).map(char::len_utf8).sum();
        }
        Kind::Space | Kind::Other => {}
    }
    let next = cursor.at(second);
    if !is_line_end(first) && next.is_some_and(|(_, kind)| kind == Kind::Letter) {
        return cursor.run(second, Kind::Letter);
    }
    let start = usize::from(first == ' ');
    if cursor.at(start).is_some_and(|(_, kind)| kind == Kind::Other) {
        let end = cursor.run(start, Kind::Other);
        let line_ends = cursor.rest.as_bytes()[end..].iter().take_while(|byte| is_line_end(char::from(**byte)));
        return end + line_ends.count();
    }
    let end = cursor.run(0, Kind::Space);
    match cursor.rest[..end].rfind(is_line_end) {
        Some(last) => last + 1,
        None => cursor.space(),
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)`; the long s folds to s as well.
fn contraction(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\'')?;
    let mut symbols = rest.chars();
    let (first, second) = (symbols.next()?, symbols.next());
    match (first.to_ascii_lowercase(), second.map(|symbol| symbol.to_ascii_lowercase())) {
        ('s' | '\u{17F}' | 't' | 'm' | 'd', _) => Some(1 + first.len_utf8()),
        ('r' | 'v', Some('e')) | ('l', Some('l')) => Some(3),
        _ => None,
    }
}
