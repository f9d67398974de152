//! Which conversations have a word: an index in memory, made when it is first asked. A query finds
//! parts of words too, so that scripts without spaces are searched like the others.

use std::collections::{HashMap, HashSet};

use crate::{ConversationId, MessageId};

/// Longest piece of a word that is indexed; longer ones are indexed in overlapping pieces.
const PIECE_LETTERS: usize = 64;

/// Longest part of a query's word that counts. Any part of this length lies whole in a piece.
const QUERY_LETTERS: usize = PIECE_LETTERS / 2;

/// Fewest outdated entries before the index is made anew.
const OUTDATED_MIN: usize = 4096;

/// Letters shown before and after a found word.
const EXCERPT_LETTERS: usize = 60;

/// Words and the conversations that have them.
#[derive(Debug, Default)]
pub(crate) struct SearchIndex {
    /// Whether all conversations were read.
    pub(crate) is_built: bool,
    numbers: HashMap<Box<str>, u32>,
    /// All words, a newline after each, so that one pass finds those that have a part.
    text: String,
    /// Where each word begins in it.
    starts: Vec<usize>,
    /// The entries that have each word.
    entries_of: Vec<Vec<u32>>,
    /// How many entries there were; one is never used again.
    entries: u32,
    current: HashMap<ConversationId, u32>,
}

/// What a search found.
#[derive(Debug)]
pub(crate) struct Matches {
    ids: HashSet<ConversationId>,
}

impl Matches {
    pub(crate) fn contains(&self, id: &ConversationId) -> bool {
        self.ids.contains(id)
    }
}

impl SearchIndex {
    /// Whether most of it is outdated.
    pub(crate) fn is_worn(&self) -> bool {
        let outdated = self.entries as usize - self.current.len();
        outdated >= OUTDATED_MIN && outdated > self.current.len()
    }

    /// Replaces what is known of a conversation.
    pub(crate) fn put<'a>(&mut self, id: &ConversationId, texts: impl Iterator<Item = &'a str>) {
        let entry = self.entries;
        self.entries += 1;
        self.current.insert(id.clone(), entry);
        for text in texts {
            each_word(text, |word| each_piece(word, |piece| self.note(piece, entry)));
        }
    }

    /// Notes that an entry, which is the newest, has a word.
    fn note(&mut self, word: &str, entry: u32) {
        let number = match self.numbers.get(word) {
            Some(number) => *number,
            None => self.add(word),
        };
        let entries = &mut self.entries_of[number as usize];
        if entries.last() != Some(&entry) {
            entries.push(entry);
        }
    }

    /// Forgets a conversation.
    pub(crate) fn remove(&mut self, id: &ConversationId) {
        self.current.remove(id);
    }

    /// The conversations that have all of the words, or parts of words. No words find nothing.
    pub(crate) fn find(&self, wanted: &[String]) -> Matches {
        if wanted.is_empty() {
            return Matches { ids: HashSet::new() };
        }
        let blocks = (self.entries as usize).div_ceil(64);
        let mut all = vec![u64::MAX; blocks];
        for word in wanted {
            let mut found = vec![0; blocks];
            for number in self.words_with(word) {
                for entry in &self.entries_of[number] {
                    found[*entry as usize / 64] |= 1 << (entry % 64);
                }
            }
            all.iter_mut().zip(found).for_each(|(all, found)| *all &= found);
        }
        let has = |entry: u32| all[entry as usize / 64] >> (entry % 64) & 1 == 1;
        let current = self.current.iter().filter(|(_, entry)| has(**entry));
        Matches { ids: current.map(|(id, _)| id.clone()).collect() }
    }

    fn add(&mut self, word: &str) -> u32 {
        let number = u32::try_from(self.starts.len()).expect("fewer words than four thousand million");
        self.numbers.insert(word.into(), number);
        self.starts.push(self.text.len());
        self.text.push_str(word);
        self.text.push('\n');
        self.entries_of.push(Vec::new());
        number
    }

    fn words_with(&self, part: &str) -> Vec<usize> {
        let mut numbers = Vec::new();
        let mut next_start = 0;
        for (at, _) in self.text.match_indices(part) {
            if at >= next_start {
                let number = self.starts.partition_point(|start| *start <= at) - 1;
                numbers.push(number);
                next_start = self.starts.get(number + 1).copied().unwrap_or(self.text.len());
            }
        }
        numbers
    }
}

/// Gives the words of a text, in lower case: runs of letters and digits, and each sign that is not
/// ASCII, such as an emoji, by itself.
fn each_word(text: &str, mut take: impl FnMut(&str)) {
    let mut word = String::new();
    for letter in text.chars() {
        if letter.is_alphanumeric() {
            word.extend(folded(letter));
            continue;
        }
        if !word.is_empty() {
            take(&word);
            word.clear();
        }
        if !letter.is_ascii() && !letter.is_whitespace() && !letter.is_control() {
            take(letter.encode_utf8(&mut [0; 4]));
        }
    }
    if !word.is_empty() {
        take(&word);
    }
}

/// The words of a text.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    each_word(text, |word| found.push(word.to_owned()));
    found
}

/// The words of a query, cut to what counts.
pub(crate) fn query_words(text: &str) -> Vec<String> {
    words(text).into_iter().map(|word| word.chars().take(QUERY_LETTERS).collect()).collect()
}

fn folded(letter: char) -> impl Iterator<Item = char> {
    letter.to_lowercase().map(|letter| if letter == 'ς' { 'σ' } else { letter })
}

/// Gives a word, or the overlapping pieces of a long one.
fn each_piece(word: &str, mut take: impl FnMut(&str)) {
    if word.len() <= PIECE_LETTERS {
        return take(word);
    }
    let places: Vec<usize> = word.char_indices().map(|(at, _)| at).chain([word.len()]).collect();
    let length = places.len() - 1;
    for start in (0..length).step_by(QUERY_LETTERS) {
        let end = length.min(start + PIECE_LETTERS);
        take(&word[places[start]..places[end]]);
        if end == length {
            break;
        }
    }
}

/// Where a searched word stands in a message. The three parts in a row are text of the message, line
/// breaks as spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The message.
    pub message: MessageId,
    /// What stands before it.
    pub before: String,
    /// What was found, as it is written there.
    pub found: String,
    /// What stands after it.
    pub after: String,
}

/// The first place where any of the words stands in a text.
pub(crate) fn excerpt(message: MessageId, text: &str, wanted: &[String]) -> Option<Excerpt> {
    let mut low = String::with_capacity(text.len());
    // For each byte in lower case, where its letter begins in the text.
    let mut origins = Vec::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        low.extend(folded(letter));
        origins.resize(low.len(), at);
    }
    let (start, end) = wanted.iter().filter_map(|word| low.find(word.as_str()).map(|at| (at, at + word.len()))).min()?;
    let (start, last) = (origins[start], origins[end - 1]);
    let end = last + text[last..].chars().next().map_or(0, char::len_utf8);
    let before: Vec<char> = text[..start].chars().rev().take(EXCERPT_LETTERS).collect();
    let flat = |letter: char| if letter.is_control() { ' ' } else { letter };
    Some(Excerpt {
        message,
        before: before.into_iter().rev().map(flat).collect(),
        found: text[start..end].to_owned(),
        after: text[end..].chars().take(EXCERPT_LETTERS).map(flat).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;

    #[test]
    fn words_of_any_script() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text), expected, "{text:?}");
        check("My invoice, No. 7 — wrong!", &["my", "invoice", "no", "7", "—", "wrong"]);
        check("ΟΔΟΣ Straße ПРИВЕТ", &["οδοσ", "straße", "привет"]);
        check("今天天气很好。", &["今天天气很好", "。"]);
        check("🎉🎉", &["🎉", "🎉"]);
        check(" \n\t", &[]);
    }

    #[test]
    fn any_part_of_a_long_word_is_found() {
        let word: String = (0..200).map(|number| char::from_u32(0x4e00 + number).unwrap()).collect();
        let id = ConversationId::new(Time::from_millis(1));
        let mut index = SearchIndex::default();
        index.put(&id, [word.as_str()].into_iter());
        let letters: Vec<char> = word.chars().collect();
        for start in 0..=200 - QUERY_LETTERS {
            let part: String = letters[start..start + QUERY_LETTERS].iter().collect();
            assert!(index.find(&query_words(&part)).contains(&id), "from {start}");
        }
        assert!(!index.find(&query_words("字字")).contains(&id));
    }

    #[test]
    fn an_entry_replaces_the_one_before() {
        let id = ConversationId::new(Time::from_millis(1));
        let mut index = SearchIndex::default();
        let has = |index: &SearchIndex, text: &str| index.find(&query_words(text)).contains(&id);
        index.put(&id, ["Refund of an invoice", "no"].into_iter());
        assert!(has(&index, "voic FUND") && !has(&index, "voice weather"));
        index.put(&id, ["weather"].into_iter());
        assert!(has(&index, "weather") && !has(&index, "invoice"));
        index.remove(&id);
        assert!(!has(&index, "weather"));
        assert!(!has(&index, ""));
    }

    #[test]
    fn an_excerpt_shows_the_text_as_it_is() {
        let check = |text: &str, query: &str, expected: Option<(&str, &str, &str)>| {
            let found = excerpt(MessageId(3), text, &query_words(query));
            let found = found.as_ref().map(|one| (one.before.as_str(), one.found.as_str(), one.after.as_str()));
            assert_eq!(found, expected, "{text:?} {query:?}");
        };
        check("My\nINVOICE is wrong", "wrong invoice", Some(("My ", "INVOICE", " is wrong")));
        check("İstanbul'da hava", "hava", Some(("İstanbul'da ", "hava", "")));
        check("<b>bold</b>", "bold", Some(("<b>", "bold", "</b>")));
        check("nothing", "else", None);
    }
}
