//! What a conversation is called: one line in any script.

use unicode_segmentation::UnicodeSegmentation;

use crate::ChatsError;

/// Longest title.
///
/// # Units
/// Characters.
pub const TITLE_LENGTH_MAX: usize = 80;

/// Longest title that is made from a text.
const MADE_LENGTH_MAX: usize = 60;

/// Takes a title as a person wrote it, without white space around it.
///
/// # Errors
/// It is empty, longer than [`TITLE_LENGTH_MAX`], or has several lines.
pub fn check_title(text: &str) -> Result<String, ChatsError> {
    let title = text.trim();
    let reason = if title.is_empty() {
        "expected a title, found nothing"
    } else if title.chars().count() > TITLE_LENGTH_MAX {
        "expected at most 80 characters"
    } else if title.chars().any(|letter| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')) {
        "expected one line of text"
    } else {
        return Ok(title.to_owned());
    };
    Err(ChatsError::Title { reason })
}

/// A title from the first words of a text; none when it has nothing to show. Words are kept whole
/// where that leaves enough, letters with their marks always.
pub fn title_of(text: &str) -> Option<String> {
    let line = text.split(|letter: char| letter.is_control() || letter.is_whitespace()).filter(|word| !word.is_empty());
    let mut title = String::new();
    for word in line {
        let gap = usize::from(!title.is_empty());
        if title.chars().count() + gap + word.chars().count() <= MADE_LENGTH_MAX {
            title.push_str(&" "[..gap]);
            title.push_str(word);
            continue;
        }
        // Scripts without spaces, or one endless word: filled up letter by letter.
        if title.chars().count() < MADE_LENGTH_MAX / 2 {
            title.push_str(&" "[..gap]);
            for letter in word.graphemes(true) {
                if title.chars().count() + letter.chars().count() >= MADE_LENGTH_MAX {
                    break;
                }
                title.push_str(letter);
            }
        }
        let kept = title.trim_end().to_owned();
        title = kept + "…";
        break;
    }
    check_title(&title).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_in_any_script() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(check_title(text).ok().as_deref(), expected, "{text:?}");
        };
        check("  Refunds ", Some("Refunds"));
        check("Возврат / 返金", Some("Возврат / 返金"));
        check(&"字".repeat(80), Some(&"字".repeat(80)));
        check(&"字".repeat(81), None);
        check("", None);
        check(" \t", None);
        check("two\nlines", None);
        check("two\u{2028}lines", None);
    }

    #[test]
    fn first_words_make_a_title() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(title_of(text).as_deref(), expected, "{text:?}");
        };
        check("My invoice\n\n is  wrong", Some("My invoice is wrong"));
        check("", None);
        check("\u{0}\n ", None);
        check("<script>alert(1)</script>", Some("<script>alert(1)</script>"));
        let long = "Please tell me in a few words why the invoice of the last month is wrong";
        check(long, Some("Please tell me in a few words why the invoice of the last…"));
        check(&"字".repeat(100), Some(&("字".repeat(59) + "…")));
        // A letter of two characters is not cut.
        let marked = "e\u{301}".repeat(50);
        check(&marked, Some(&("e\u{301}".repeat(29) + "…")));
        // One that would never fit leaves nothing but the sign of a cut.
        check(&("e".to_owned() + &"\u{301}".repeat(100)), Some("…"));
    }
}
