//! What a run is called: a title in any script, and a folder name that every file system and shell
//! takes.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest name, so that paths inside the folder stay short enough everywhere.
const LENGTH_MAX: usize = 80;

/// A valid run name: letters, digits, `-`, `_` and `.`, not starting with `.` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunName(String);

/// A text that cannot name a run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("run name `{found}`: {reason}")]
pub struct RunNameError {
    found: String,
    reason: &'static str,
}

/// What a person calls a run: 1 to 80 characters in any script, on one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunTitle(String);

impl RunTitle {
    /// The title as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A folder name close to the title. What cannot stand in one becomes a dash; a title without
    /// any Latin letter or digit becomes `run`.
    pub fn folder_name(&self) -> RunName {
        let mut name = String::new();
        for letter in self.0.chars() {
            if letter.is_ascii_alphanumeric() || "_.".contains(letter) {
                name.push(letter);
            } else if !name.ends_with('-') {
                name.push('-');
            }
        }
        let name = name.trim_matches(['-', '.']);
        let name = &name[..name.len().min(LENGTH_MAX)];
        match name.trim_end_matches(['-', '.']).parse() {
            Ok(name) => name,
            Err(_) if is_device_name(name) => RunName(format!("run-{name}")),
            Err(_) => RunName("run".to_owned()),
        }
    }
}

impl FromStr for RunTitle {
    type Err = RunNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let title = text.trim();
        let reason = if title.is_empty() {
            "expected a name, found nothing"
        } else if title.chars().count() > LENGTH_MAX {
            "expected at most 80 characters"
        } else if title.chars().any(char::is_control) {
            "expected one line of text"
        } else if title.contains(['/', '\\']) {
            "expected a name, not a path"
        } else {
            return Ok(RunTitle(title.to_owned()));
        };
        Err(RunNameError { found: text.to_owned(), reason })
    }
}

impl RunName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunName {
    type Err = RunNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let reason = if text.is_empty() {
            "expected a name, found nothing"
        } else if text.len() > LENGTH_MAX {
            "expected at most 80 characters"
        } else if text.starts_with(['.', '-']) || text.ends_with('.') {
            "expected a letter or digit at both ends"
        } else if !text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            "expected only letters, digits, `-`, `_` and `.`"
        } else if is_device_name(text) {
            "expected another name: Windows keeps this one for a device"
        } else {
            return Ok(RunName(text.to_owned()));
        };
        Err(RunNameError { found: text.to_owned(), reason })
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_device_name(text: &str) -> bool {
    let stem = text.split('.').next().unwrap_or(text).to_ascii_lowercase();
    let numbered = |prefix: &str| stem.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && ("1"..="9").contains(&rest));
    matches!(stem.as_str(), "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_in_any_script_has_a_folder_name() {
        let check = |title: &str, expected: &str| {
            let title: RunTitle = title.parse().unwrap();
            assert_eq!(title.folder_name().as_str(), expected, "{title:?}");
        };
        check("Tone of voice, 3", "Tone-of-voice-3");
        check("  lora-1 ", "lora-1");
        check("Тон голоса", "run");
        check("naïve café", "na-ve-caf");
        check("con", "run-con");
        check(&"a".repeat(80), &"a".repeat(80));
        for title in ["", "   ", "two\nlines", "../evil", "a\\b", &"x".repeat(81)] {
            assert!(title.parse::<RunTitle>().is_err(), "{title:?}");
        }
    }

    #[test]
    fn only_names_that_every_file_system_takes() {
        let check = |text: &str, valid: bool| {
            assert_eq!(text.parse::<RunName>().is_ok(), valid, "{text:?}");
        };
        for name in ["lora-1", "A", "run.2", "my_run", "console"] {
            check(name, true);
        }
        let long = "x".repeat(81);
        for name in ["", ".hidden", "-rf", "a/b", "a\\b", "nul", "COM1.x", "é", "a.", "a b", &long] {
            check(name, false);
        }
    }
}
