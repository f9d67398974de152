//! The name of a run: a folder name that every file system and shell takes.

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
