//! Text files that a person adds to a message.

use serde::{Deserialize, Serialize};

use crate::ChatsError;

/// Largest file that can be attached.
///
/// # Units
/// Bytes.
pub const ATTACHMENT_BYTES_MAX: usize = 1 << 20;

/// Longest name of one.
const NAME_LENGTH_MAX: usize = 255;

/// A text file of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name, without folders.
    pub name: String,
    /// What it holds.
    pub text: String,
}

impl Attachment {
    /// Takes a file as it came. Of its name only the last part counts; a byte order mark is left out.
    ///
    /// # Errors
    /// It is too large, is no text in UTF-8, or has no name.
    pub fn new(name: &str, bytes: &[u8]) -> Result<Attachment, ChatsError> {
        let shown = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let shown: String = shown.chars().filter(|letter| !letter.is_control()).take(NAME_LENGTH_MAX).collect();
        let shown = shown.trim().to_owned();
        let refuse = |reason: String| Err(ChatsError::Attachment { name: shown.clone(), reason });
        if shown.is_empty() {
            return refuse("expected a file with a name".to_owned());
        }
        if bytes.len() > ATTACHMENT_BYTES_MAX {
            return refuse(format!("{} bytes, expected at most {ATTACHMENT_BYTES_MAX}", bytes.len()));
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return refuse("expected text in UTF-8, found other bytes".to_owned());
        };
        if text.contains('\0') {
            return refuse("expected text, found a zero byte".to_owned());
        }
        Ok(Attachment { name: shown, text: text.strip_prefix('\u{feff}').unwrap_or(text).to_owned() })
    }

    /// The file as it stands in the prompt: its name, and its text between fences that are longer
    /// than any in it.
    pub fn as_prompt(&self) -> String {
        let mut longest = 0;
        let mut current = 0;
        for letter in self.text.chars() {
            current = if letter == '`' { current + 1 } else { 0 };
            longest = longest.max(current);
        }
        let fence = "`".repeat(longest.max(2) + 1);
        let end = if self.text.ends_with('\n') { "" } else { "\n" };
        format!("File {}:\n{fence}\n{}{end}{fence}\n\n", self.name, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_with_a_name_is_attached() {
        let check = |name: &str, bytes: &[u8], expected: Option<(&str, &str)>| {
            let found = Attachment::new(name, bytes).ok();
            let found = found.as_ref().map(|file| (file.name.as_str(), file.text.as_str()));
            assert_eq!(found, expected, "{name:?}");
        };
        check("notes.txt", b"one", Some(("notes.txt", "one")));
        check("..\\..\\C:\\notes.txt", b"", Some(("notes.txt", "")));
        check("../../etc/no\ntes", b"\xef\xbb\xbfx", Some(("notes", "x")));
        check("заметки.md", "да".as_bytes(), Some(("заметки.md", "да")));
        check("folder/", b"x", None);
        check("", b"x", None);
        check("photo.txt", &[0xff, 0xd8], None);
        check("zero.txt", b"a\0b", None);
        let largest = vec![b'x'; ATTACHMENT_BYTES_MAX];
        assert!(Attachment::new("large", &largest).is_ok());
        assert!(Attachment::new("larger", &[largest, vec![b'x']].concat()).is_err());
    }

    #[test]
    fn a_fence_is_longer_than_those_inside() {
        let file = Attachment { name: "a.md".to_owned(), text: "````\ncode\n````".to_owned() };
        assert_eq!(file.as_prompt(), "File a.md:\n`````\n````\ncode\n````\n`````\n\n");
        let file = Attachment { name: "b.txt".to_owned(), text: "plain\n".to_owned() };
        assert_eq!(file.as_prompt(), "File b.txt:\n```\nplain\n```\n\n");
    }
}
